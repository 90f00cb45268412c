"""The study's arms: MetricOpt and its competitors, at equal metric evaluations and steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.metricopt.callback import MetricOpt
from tfzoo.metricopt.experiments.tasks import Problem
from tfzoo.metricopt.model import AdaptedModel, attach_adapters
from tfzoo.metricopt.optimizer import MetricOptimizer
from tfzoo.metricopt.value import ValueFunction
from tfzoo.metrics.held_out import HeldOut
from tfzoo.typing import Tensor

if TYPE_CHECKING:
    import tensorflow as tf

EXPLORATION = {"trajectories": 12, "trajectory_steps": 60, "observe_every": 5}
FINE_TUNING = 400
STEPS = 12 * 60 + FINE_TUNING
EVALUATIONS = 12 * (60 // 5 + 1) + 1 + FINE_TUNING // 5
BATCH, INIT_STD = 64, 0.3


@dataclass
class Best:
    """Keeps the parameters with the lowest cost among a fixed number of metric evaluations."""

    problem: Problem
    model: AdaptedModel
    budget: int = field(default_factory=lambda: EVALUATIONS)

    def __post_init__(self):
        self.metric = self.problem.black_box()
        self.held_out = HeldOut(self.problem.validation)
        self.cost, self.phi = np.inf, self.model.get_vector()

    def look(self) -> float:
        """Evaluates the current model; raises once the budget is spent."""
        if self.metric.calls >= self.budget:
            raise RuntimeError(f"more than {self.budget} metric evaluations")
        cost = self.metric.cost(self.held_out.evaluate(self.model, self.metric))
        if cost < self.cost:
            self.cost, self.phi = cost, self.model.get_vector()
        return cost

    def at(self, phi: np.ndarray) -> float:
        """Evaluates given parameters."""
        self.model.set_vector(phi)
        return self.look()

    def done(self) -> AdaptedModel:
        """Restores the best parameters."""
        self.model.set_vector(self.phi)
        return self.model


class Look(keras.callbacks.Callback):
    """Evaluates the metric every few steps, until the budget is spent."""

    def __init__(self, best: Best, every: int):
        super().__init__()
        self.best, self.every = best, every

    @override
    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if (batch + 1) % self.every == 0 and self.best.metric.calls < self.best.budget:
            self.best.look()


class SoftF1(keras.losses.Loss):
    """1 - F1 of probabilities instead of decisions: of class 1, or the mean over classes."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number per class, like Keras's Dice loss over the rows."""
        if y_pred.shape[-1] == 1:
            return keras.losses.dice(y_true, ops.sigmoid(y_pred), axis=0)
        y = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), y_pred.shape[-1])
        return keras.losses.dice(y, ops.softmax(y_pred), axis=0)


def base(problem: Problem, seed: int) -> keras.Model:
    """The converged model, unchanged."""
    return problem.base


def loss_only(problem: Problem, seed: int) -> keras.Model:
    """Fine-tunes on the task's loss."""
    return _relaxed(problem, problem.loss, seed)


def soft_f1(problem: Problem, seed: int) -> keras.Model:
    """Fine-tunes on a relaxed F1."""
    return _relaxed(problem, SoftF1(), seed)


def metricopt(problem: Problem, seed: int) -> keras.Model:
    """Fine-tunes by MetricOpt with our trust region."""
    return run_metricopt(problem, seed, value="trust_region")[0]


def paper(problem: Problem, seed: int) -> keras.Model:
    """Fine-tunes by MetricOpt with the paper's value network."""
    return run_metricopt(problem, seed)[0]


def run_metricopt(
    problem: Problem,
    seed: int,
    value_function: ValueFunction | None = None,
    steps: int | None = None,
    weight: float = 0.3,
    **settings: Any,
) -> tuple[keras.Model, MetricOpt]:
    """MetricOpt, and its callback."""
    model = attach_adapters(problem.base, problem.layers)
    model.compile(MetricOptimizer(_sgd(), weight), problem.loss)
    settings = {
        **EXPLORATION,
        "init_std": INIT_STD,
        "seed": seed,
        "value_function": value_function,
        "measure_noise": False,
    } | settings
    callback = MetricOpt(problem.black_box(), problem.validation, **settings)
    stream = _stream(problem, seed)
    model.fit(
        stream, steps_per_epoch=steps or STEPS, verbose=0, shuffle=False, callbacks=[callback]
    )
    return model, callback


def random_search(problem: Problem, seed: int) -> keras.Model:
    """Random adapters, of which the best are kept; scales are random from 0.1 to 1."""
    best, random = Best(problem, attach_adapters(problem.base, problem.layers)), _random(seed)
    best.look()
    for _ in range(EVALUATIONS - 1):
        scale = np.exp(random.uniform(np.log(0.1), 0.0))
        best.at(random.normal(0.0, scale, len(best.phi)))
    return best.done()


def cma_es(problem: Problem, seed: int) -> keras.Model:
    """Covariance matrix adaptation (the library `cma`) over the adapters."""
    import cma

    best = Best(problem, attach_adapters(problem.base, problem.layers))
    best.look()
    options = {"seed": seed + 1, "verbose": -9}
    search = cma.CMAEvolutionStrategy(np.zeros(len(best.phi)), INIT_STD, options)
    while best.metric.calls + search.popsize <= EVALUATIONS:
        asked = search.ask()
        search.tell(asked, [best.at(phi) for phi in asked])
    return best.done()


def thresholds(problem: Problem, seed: int) -> keras.Model:
    """Tunes only the output's biases, in turn: for two classes, the decision threshold."""
    model = attach_adapters(problem.base, problem.layers[-1], kind="shift")
    best, size = Best(problem, model), len(model.get_vector())
    best.look()
    width, per = 4.0, max(2, (EVALUATIONS - 1) // (2 * size))
    for _ in range(2):
        for i in range(size):
            center = best.phi.copy()
            for offset in np.linspace(-width, width, per):
                phi = center.copy()
                phi[i] += offset
                best.at(phi)
        width /= 4
    return best.done()


def logit_adjustment(problem: Problem, seed: int) -> keras.Model:
    """Logits minus tau times the log of the training class frequencies (arXiv:2007.07314).

    tau from 0 to 4 is chosen by the metric on validation.
    """
    model = attach_adapters(problem.base, problem.layers[-1], kind="shift")
    best, y = Best(problem, model), np.asarray(problem.train[1]).astype(int).ravel()
    share = (np.bincount(y, minlength=max(problem.classes, 2)) + 0.5) / len(y)
    prior = np.log(share) if problem.classes > 1 else np.log(share[1:] / share[0])
    for tau in np.linspace(0, 4, EVALUATIONS):
        best.at(-tau * prior)
    return best.done()


def tuned_threshold(problem: Problem, seed: int) -> keras.Model:
    """scikit-learn's `TunedThresholdClassifierCV` on the converged model's probabilities.

    Its threshold is moved into the output's bias, so that the metric's own threshold applies.
    """
    from scipy.special import expit, logit
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import TunedThresholdClassifierCV

    class Logits(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(2)

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, x: np.ndarray, y: np.ndarray) -> Logits:
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return (x[:, 0] > 0).astype(int)

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            p = expit(x[:, 0].astype("float64"))
            return np.stack([1 - p, p], 1)

    metric = problem.black_box()

    def score(y_true: np.ndarray, said: np.ndarray) -> float:
        return metric(y_true, said - 0.5)  # the metric's threshold is 0

    x, y = problem.validation
    scorer = make_scorer(score, greater_is_better=metric.mode == "max")
    tuner = TunedThresholdClassifierCV(
        Logits(), scoring=scorer, thresholds=EVALUATIONS, cv="prefit", refit=False
    )
    tuner.fit(problem.base.predict(x, verbose=0), y.astype(int).ravel())
    model = attach_adapters(problem.base, problem.layers[-1], kind="shift")
    model.set_vector([-logit(np.clip(tuner.best_threshold_, 1e-7, 1 - 1e-7))])
    return model


def arms(problem: Problem) -> dict[str, Callable[[Problem, int], keras.Model]]:
    """The arms that make sense for a problem."""
    methods: dict[str, Callable[[Problem, int], keras.Model]] = {
        "base": base,
        "loss only": loss_only,
        "MetricOpt": metricopt,
        "MetricOpt, paper's": paper,
    }
    methods |= {"random search": random_search, "CMA-ES": cma_es}
    if problem.metric in ("misclassification_rate", "f1"):  # thresholds do not change rankings
        methods |= {"thresholds": thresholds, "logit adjustment": logit_adjustment}
        if problem.classes == 1:
            methods["TunedThresholdClassifierCV"] = tuned_threshold
    if problem.classes:
        methods["soft F1"] = soft_f1
    return {name: methods[name] for name in problem.arms or methods}


def _relaxed(problem: Problem, loss: keras.losses.Loss, seed: int) -> keras.Model:
    model = attach_adapters(problem.base, problem.layers)
    model.compile(_sgd(), loss)
    best = Best(problem, model)
    best.look()
    look = Look(best, STEPS // (EVALUATIONS - 1))
    stream = _stream(problem, seed)
    model.fit(stream, steps_per_epoch=STEPS, verbose=0, shuffle=False, callbacks=[look])
    return best.done()


def _sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.02, momentum=0.9)


def _stream(problem: Problem, seed: int) -> tf.data.Dataset:
    import tensorflow as tf  # shuffling it orders the rows

    x, y = problem.train
    size = min(BATCH, len(x))
    rows = tf.data.Dataset.range(len(x)).shuffle(len(x), seed=seed).repeat().batch(size)
    return rows.map(lambda i: (tf.gather(x, i), tf.gather(y, i))).prefetch(2)


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 7])

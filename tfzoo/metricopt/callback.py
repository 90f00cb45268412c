"""The callback that observes the metric during `fit` and fits the value function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import keras
import numpy as np

from tfzoo import metrics
from tfzoo.config import Count, Natural, OneOf, Positive, checked
from tfzoo.environment import only_on
from tfzoo.errors import InputError
from tfzoo.metricopt import folding
from tfzoo.metricopt.buffer import Trajectory
from tfzoo.metricopt.interpolation import interpolate
from tfzoo.metricopt.model import AdaptedModel
from tfzoo.metricopt.noise import is_noisy, noise
from tfzoo.metricopt.optimizer import MetricOptimizer
from tfzoo.metricopt.searching import Search, SearchSettings
from tfzoo.metricopt.value import Observations, ValueFunction
from tfzoo.metrics import BlackBoxMetric
from tfzoo.metrics.held_out import HeldOut

VALUES = ("network", "trust_region")


class MetricOpt(keras.callbacks.Callback):
    """Fine-tunes an `AdaptedModel` for a black-box metric, within one `fit`.

    The model is compiled with a `MetricOptimizer`. The first `trajectories * trajectory_steps`
    steps collect fine-tuning trajectories on the loss alone, each from random adapters; the metric
    is observed at their start and every `observe_every` steps, and interpolated in between. Then
    the value function is fitted, and the remaining steps of `fit` fine-tune from the identity with
    its gradient; it is refitted as observations arrive. At the end the adapters with the best
    observed metric are restored.

    That is the paper's form, `value="network"`. `value="trust_region"` is ours, and spends the same
    number of observations differently: it follows the loss from the identity, without random
    trajectories; then it observes the metric at points near the best one so far where a Gaussian
    process expects improvement (`tfzoo.metricopt.search`), first changing only the last layer's
    shift, in closed form on its cached outputs, then all adapters. The final choice among the best
    observed points is the one that neighbouring observations support, which overfits less than the
    best one.

    All state is in the optimizer's variables: an interrupted `fit` resumes where it stopped.

    Args:
        metric: a name of `tfzoo.metrics.names()`, a `BlackBoxMetric`, or a function
            `(y_true, y_pred) -> float`, with its `mode`.
        validation_data: `(x, y)`, or batches of them; never the test split.
        mode: `"min"` or `"max"`, for a function.
        trajectories: number I of trajectories; 0 with a pre-trained `value_function`.
        trajectory_steps: steps n of each.
        init_std: standard deviation of a trajectory's initial adapters.
        observe_every: steps k between observations.
        refit_every: observations between refits of the value function.
        fit_steps: minibatches of its first fit.
        refit_steps: minibatches of a refit.
        noise: standard deviation of an observation, in standard deviations of the metric over
            the trajectories; at least the metric's resolution on the validation split.
        value_function: a pre-trained one (`meta_train`); its weights are copied.
        restore_best: whether the best adapters are restored at the end.
        seed: seed of trajectories and minibatches.
        batch_size: batch size for validation arrays.
        value: `"network"` or `"trust_region"`, see above; the latter requires the number of steps
            of `fit`, and uses only `observe_every`, `init_std` and `seed` of these settings.
        test_data: like `validation_data`; evaluated once, at the end, to report by how much
            validation is better.
        measure_noise: whether to estimate the metric's noise on the validation split when `fit`
            begins, from its values on 12 halves, and warn if it is large.
        search: settings of `"trust_region"`.

    Attributes:
        history: (step, value) of every observation.
        report: the numbers printed at the end of `fit`: the metric on validation and test data
            `before` and `after`, and its `noise`.

    Raises:
        InputError: a setting out of range, validation data without examples, or a model without
            `MetricOptimizer`.
        MetricError: during `fit`, if the metric raises or returns a non-finite value.
    """

    @checked
    def __init__(
        self,
        metric: BlackBoxMetric | Callable | str,
        validation_data: Any,
        mode: str | None = None,
        trajectories: Natural = 12,
        trajectory_steps: Count = 60,
        init_std: Positive = 0.3,
        observe_every: Count = 5,
        refit_every: Count = 4,
        fit_steps: Count = 600,
        refit_steps: Natural = 60,
        noise: Positive = 0.1,
        value_function: ValueFunction | None = None,
        restore_best: bool = True,
        seed: int = 0,
        batch_size: Count = 256,
        value: Annotated[str, OneOf(*VALUES)] = "network",
        test_data: Any = None,
        measure_noise: bool = True,
        search: SearchSettings = SearchSettings(),  # noqa: B008  frozen
    ):
        super().__init__()
        if trajectories == 0 and value_function is None:
            raise InputError("trajectories=0: must be at least 1 without a value_function")
        self.metric = metrics.get(metric, mode)
        self.held_out = HeldOut(validation_data, batch_size)
        self.trajectories, self.trajectory_steps = trajectories, trajectory_steps
        self.init_std, self.observe_every, self.refit_every = init_std, observe_every, refit_every
        self.fit_steps, self.refit_steps, self.noise = fit_steps, refit_steps, noise
        self.value_function = value_function
        self.restore_best, self.seed = restore_best, seed
        self.value, self.measure_noise, self.search = value, measure_noise, search
        self.tested = None if test_data is None else HeldOut(test_data, batch_size)
        self.history: list[tuple[int, float]] = []
        self.report: dict[str, float] = {}
        self._search: Search | None = None
        self._interpolated: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}

    @property
    def exploration(self) -> int:
        """Number of steps that collect trajectories."""
        return self.trajectories * self.trajectory_steps if self.value == "network" else 0

    @property
    def optimizer(self) -> MetricOptimizer:
        """The model's `MetricOptimizer`."""
        optimizer = self.model.optimizer
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = optimizer.inner_optimizer
        if not isinstance(optimizer, MetricOptimizer):
            raise InputError(
                f"optimizer={type(optimizer).__name__}: the model must be compiled with a "
                "tfzoo.metricopt.MetricOptimizer"
            )
        return optimizer

    @only_on(
        "tensorflow",
        why="where a callback can change a model's weights during fit",
        name="MetricOpt",
    )
    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts the first trajectory, or continues from a saved state."""
        replicas = self.model.distribute_strategy.num_replicas_in_sync
        if replicas > 1:
            raise InputError(
                f"model: is on {replicas} devices, must be on one: the value function observes one "
                "model"
            )
        optimizer = self.optimizer
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self._step = int(optimizer.steps)
        self._say_what_is_adapted()
        if self.value == "trust_region":
            self._search = Search(self, self._steps_of_fit(), self.search)
        if self._step:
            return
        if self._search is not None:
            self._search.begin()
        else:
            if self.value_function is not None:
                self._adopt(self.value_function)
            self._begin()
        if self.measure_noise:
            self._measure_noise()

    def _steps_of_fit(self) -> int:
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if not steps:
            raise InputError(
                "steps_per_epoch=None: must be given for value='trust_region', which spreads its "
                "observations over the steps of fit"
            )
        return steps * epochs

    def _say_what_is_adapted(self) -> None:
        """Reports, before training, which layers are adapted and whether they can be folded."""
        model = self.model
        if not isinstance(model, AdaptedModel):
            return
        if self.params.get("verbose"):
            paths, size = ", ".join(model.layer_paths), sum(self.optimizer.sizes)
            print(f"MetricOpt adapts {paths}: {size} parameters", flush=True)
        try:
            folding.check(model)
        except InputError as error:
            warnings.warn(f"fold() will refuse: {error}", stacklevel=2)

    def _measure_noise(self) -> None:
        labels, value = self.held_out.labels, self.history[0][1]
        deviation = noise(self.metric, labels, self.held_out.predictions(self.model))
        self.report["noise"] = deviation
        if is_noisy(value, deviation):
            count = len(keras.tree.flatten(labels)[0])
            warnings.warn(
                f"validation_data: metric {self.metric.name!r} is {value:.4g} on its {count} "
                f"examples{_rarest(labels)}, give or take {deviation:.2g} by the choice of "
                "examples; improvements on so few may be chance",
                stacklevel=2,
            )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Observes and fits when due."""
        before, self._step = self._step, int(self.optimizer.steps)
        if self._search is not None:
            self._search.after(before, self._step)
            return
        start = 0 if self._step <= self.exploration else self.exploration
        seen = (self._step - start) // self.observe_every
        fresh = seen > (max(before, start) - start) // self.observe_every
        if fresh:
            self._observe()
        if self._step <= self.exploration:
            if self._step // self.trajectory_steps > before // self.trajectory_steps:
                self._begin()
        elif fresh and seen % self.refit_every == 0 and self.refit_steps:
            self._fit(self.refit_steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Logs the latest and the best observed metric."""
        if logs is not None and self.history:
            sign = 1.0 if self.metric.mode == "min" else -1.0
            logs[f"val_{self.metric.name}"] = self.history[-1][1]
            logs[f"best_val_{self.metric.name}"] = sign * float(self.optimizer.best_cost)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Observes the last parameters and restores the best ones."""
        if self._step <= self.exploration:
            warnings.warn(
                f"fit: ended after {self._step} steps, the first {self.exploration} only collect "
                "trajectories; train longer, or with fewer or shorter ones",
                stacklevel=2,
            )
        if self._search is not None:
            self._search.end()
        elif self.history and self.history[-1][0] != self._step:
            self._observe()
        if self.restore_best:
            self.optimizer.restore_best()
            self._report()

    def _report(self) -> None:
        """Measures the gap between validation and test data, and prints it if `fit` prints."""
        model, says = self.model, bool(self.params.get("verbose"))
        if self.tested is None and not says or not isinstance(model, AdaptedModel):
            return
        splits = {"validation": self.held_out, "test": self.tested}
        after = model.get_vector()
        for moment, phi in (("before", np.zeros_like(after)), ("after", after)):
            model.set_vector(phi)
            for name, split in splits.items():
                if split is not None:
                    value = self.metric.function(
                        split.labels, split.predictions(model), **self.metric.options
                    )
                    self.report[f"{name}_{moment}"] = float(value)
        if not says:
            return
        report, metric = self.report, self.metric.name
        line = f"MetricOpt: {metric} {report['validation_before']:.4g} -> "
        line += f"{report['validation_after']:.4g} on validation ({len(self.history)} observations"
        line += f", noise {report['noise']:.2g})" if "noise" in report else ")"
        if self.tested is not None:
            ahead = report["validation_after"] - report["test_after"]
            line += f"; on test {report['test_before']:.4g} -> {report['test_after']:.4g}"
            line += f", validation minus test {ahead:+.4g}"
        print(line, flush=True)

    def observations(self) -> Observations:
        """All recorded steps with the interpolated metric: the value function's training data."""
        return self.interpolated(self.optimizer.buffer.trajectories())

    def interpolated(self, trajectories: Sequence[Trajectory]) -> Observations:
        """The same for given trajectories."""
        costs, value = np.concatenate([t.cost for t in trajectories]), self.optimizer.value
        # a fixed scale since the first fit, so that old trajectories need no new interpolation
        scale = float(value.std) if float(value.adapted) else max(float(np.std(costs)), 1e-12)
        noise = max(self.noise, resolution(costs) / scale)
        parts = []
        for t in trajectories:
            key = (t.number, len(t.steps), len(t.phi), scale, noise)
            if key not in self._interpolated:
                mean, variance = interpolate(
                    np.arange(len(t.phi)),
                    t.steps,
                    t.cost / scale,
                    length_scale=2.0 * self.observe_every,
                    noise=noise,
                )
                self._interpolated[key] = (mean * scale, variance * scale**2)
            parts.append((t.phi, *self._interpolated[key]))
        phi, cost, variance = (np.concatenate(p) for p in zip(*parts, strict=True))
        return Observations(phi, cost, variance)

    def _begin(self) -> None:
        """Starts the next trajectory or, when all are collected, the fine-tuning."""
        optimizer, number = self.optimizer, self._step // self.trajectory_steps
        dim = sum(optimizer.sizes)
        if self._step < self.exploration:
            random = np.random.default_rng([self.seed, number])
            phi = random.normal(0.0, self.init_std, dim).astype("float32")
        else:
            phi = np.zeros(dim, "float32")
            if self.trajectories:
                self._fit(self.fit_steps)
        optimizer.start_at(phi, number)
        self._observe()

    def _observe(self) -> None:
        value = self.held_out.evaluate(self.model, self.metric)
        self.history.append((self._step, value))
        self.optimizer.observe(self.metric.cost(value), self.model.get_vector())

    def _fit(self, steps: int) -> None:
        data = self.observations()
        if np.ptp(data.cost) < 1e-12:
            warnings.warn(
                f"metric {self.metric.name!r}: is {self.history[-1][1]} at all "
                f"{len(self.history)} observations; nothing can be learnt of a constant, only the "
                "loss is followed",
                stacklevel=2,
            )
            return
        self.optimizer.value.fit_observations(data, steps, self.seed + self._step)
        self.optimizer.coupling.assign(self.optimizer.weight)

    def _adopt(self, value: ValueFunction) -> None:
        own = self.optimizer.value
        if value.dim != own.dim or value.hidden != own.hidden:
            raise InputError(
                f"value_function: has {value.dim} parameters and widths {value.hidden}, must have "
                f"{own.dim} and {own.hidden}"
            )
        own.set_weights(value.get_weights())
        self.optimizer.coupling.assign(self.optimizer.weight)


def _rarest(labels: Any) -> str:
    """` (8 of the rarest class)`, for labels that are class indices."""
    if keras.tree.is_nested(labels):
        return ""
    y = np.asarray(labels)
    if y.size != len(y) or not np.array_equal(y, np.round(y)):
        return ""
    counts = np.unique(y, return_counts=True)[1]
    return f" ({counts.min()} of the rarest class)"


def resolution(values: Sequence[float] | np.ndarray) -> float:
    """The smallest difference between distinct values of a metric; 0 if all are equal."""
    steps = np.diff(np.unique(np.asarray(values, "float64")))
    steps = steps[steps > 1e-9]
    return float(min(steps.min(), np.std(values))) if len(steps) else 0.0

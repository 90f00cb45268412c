"""The study's arms, at equal steps and equal numbers of children."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.ala.alignment import Alignment
from tfzoo.ala.children import Children
from tfzoo.ala.controller import PAPER, LossController
from tfzoo.ala.experiments.controls import Evolution, Oracle, Population, Selection, knowing
from tfzoo.ala.experiments.tasks import Part, Problem, digits
from tfzoo.ala.learning import Schedule, SharedLearning
from tfzoo.ala.losses import ClassWeightLoss, CorrelationLoss, effective_number
from tfzoo.ala.metric_losses import DistanceMixtureLoss, FocalPairLoss
from tfzoo.ala.parametric import ParametricLoss
from tfzoo.metrics.held_out import HeldOut
from tfzoo.typing import Tensor

BATCH, CLASS_ROWS = 64, 4
CHUNK = 1000
RATE, EMBEDDING_RATE = 0.1, 1e-3
FEW = 50
"""Steps per window of an arm with a fixed loss, which is evaluated only for plots."""

DIGITS = (6, Schedule(100, 10, 1, 150))
IMAGES = (6, Schedule(60, 10, 1, 150))
EMBEDDINGS = (2, Schedule(40, 10, 1, 50))


@dataclass(frozen=True)
class Chosen:
    """The settings chosen by `choose` on validation splits of seeds that are not reported.

    Attributes:
        momentum: momentum of SGD, chosen with cross-entropy, for every arm except those without.
        tau: tau of logit adjustment.
        focus: gamma of the focal loss.
        smoothing: smoothing of labels.
        effective: beta of the class-balanced loss.
        perturbation: perturbation of the population's Phi, a standard deviation.
        spread: perturbation of the evolution strategy's Phi, a standard deviation.
        every: windows between the selections of both.
        random: `exploration` of the random policies.
        random_hold: windows for which they are kept.
        beta: step size of ALA, of the random policies and of the oracle.
        rate: learning rate of the controller's Adam.
        exploration: `exploration` of ALA.
        trace: `trace` of ALA.
    """

    momentum: float = 0.9
    tau: float = 1.0
    focus: float = 2.0
    smoothing: float = 0.1
    effective: float = 0.999
    perturbation: float = 0.3
    spread: float = 0.3
    every: int = 5
    random: float = 0.3
    random_hold: int = 20
    beta: float = 0.1
    rate: float = 3e-3
    exploration: float = 0.0
    trace: float = 1.0


CHOSEN = {
    "digits": Chosen(
        tau=1.5, perturbation=2.0, spread=1.0, random=1.0, beta=0.2, exploration=0.3, trace=0.97
    ),
    "mnist": Chosen(tau=1.5, effective=0.9999, perturbation=1.0, random=2.0, beta=0.2, trace=0.97),
    "cifar10_jpeg_error": Chosen(),
    "cifar10_jpeg_aucpr": Chosen(tau=0.5),
    "omniglot": Chosen(),
}
"""The output of `tfzoo study ala --choose` for each task, with four children for images."""


class Fixed(ParametricLoss):
    """A fixed per-row loss in place of a parametric one, with constant parameters.

    Args:
        rows: loss per row, from Phi [C], labels and logits.
        classes: number of classes C.
    """

    decisions = 1

    def __init__(self, rows: Callable[[Any, Any, Any], Any], classes: int, **keywords: Any):
        keywords.setdefault("name", "fixed")
        super().__init__(np.zeros(classes), None, 1.0, 1.0, **keywords)
        self.rows = rows

    def value(self, phi: Tensor, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B]."""
        return self.rows(phi, y_true, y_pred)

    @override
    def moved(self, phi: Tensor, delta: Tensor) -> Tensor:
        return ops.convert_to_tensor(phi)

    @override
    def decided(self, phi: np.ndarray) -> np.ndarray:
        return np.zeros(1, "float32")

    @override
    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.zeros((1, 2), "float32")


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        loss: a key of `LOSSES`, with its number if it has one.
        start: Phi_0 for a problem [...]; None: the loss's default.
        control: arguments of the controller that changes the loss; None: the loss is fixed.
        learn: whether the controller learns.
        source: creates the controller from a seed, instead of a new one.
        selection: what changes the loss instead of a controller: a class, the size of its
            perturbations and the windows between selections.
        oracle: whether the controller knows the answer.
        momentum: whether SGD has momentum.
        adjust: tau of the logit adjustment subtracted when the model is used.
        alone: whether there is a single child.
        common: whether the children have common random numbers: the same initial weights and the
            same batches.
        anchor: whether the first child keeps the loss as it starts.
    """

    loss: tuple[Any, ...] = ("class weights",)
    start: Callable[[Problem], np.ndarray] | None = None
    control: Mapping[str, Any] | None = None
    learn: bool = False
    source: Callable[[int], LossController] | None = None
    selection: tuple[type[Selection], float, int] | None = None
    oracle: bool = False
    momentum: float = 0.0
    adjust: float = 0.0
    alone: bool = False
    common: bool = False
    anchor: bool = False

    @property
    def moves(self) -> bool:
        """Whether the loss's parameters change."""
        return self.control is not None or self.source is not None or self.selection is not None


@dataclass
class Outcome:
    """The result of an arm.

    Attributes:
        learning: its components at the end of training.
        seconds: seconds of training and evaluating, without compilation: process time, so that
            other work on the machine does not count. With one thread it equals wall time.
        model: the child that was best on validation.
        validation: its validation metric at the end.
        phi: the children's parameters after each action [T, P, ...].
    """

    learning: SharedLearning
    seconds: float
    model: keras.Model
    child: int
    validation: float
    phi: np.ndarray = field(repr=False)


def settings(name: str) -> tuple[int, Schedule]:
    """Children and schedule for a task."""
    if name == "digits":
        return DIGITS
    return EMBEDDINGS if name == "omniglot" else IMAGES


def arms(problem: Problem, s: Chosen) -> dict[str, Arm]:
    """The arms of a task, by name, with settings `s`."""
    if not problem.classes:
        return _embedding_arms(s)
    m: dict[str, Any] = {"momentum": s.momentum}
    level, still = _controls(s)
    paired: dict[str, Any] = {"common": True, "anchor": True}
    of = {
        "CE": Arm(),
        "CE, momentum": Arm(**m),
        "focal": Arm(("focal", s.focus), **m),
        "label smoothing": Arm(("label smoothing", s.smoothing), **m),
        "PBT": Arm(selection=(Population, s.perturbation, s.every), **m),
        "evolution": Arm(selection=(Evolution, s.spread, s.every), common=True, **m),
        "persistent random": Arm(control=still, **paired, **m),
        "ALA, paper's credit": Arm(control=PAPER, learn=True, **m),
        "ALA": Arm(control=level, learn=True, **paired, **m),
        "ALA, transferred": Arm(source=from_digits, anchor=True, **m),
        "ALA, Eq. 6": Arm(("Eq. 6",), control=PAPER, learn=True, **m),
        "one child: CE, momentum": Arm(alone=True, **m),
        "one child: ALA": Arm(control=level, learn=True, alone=True, **m),
        "one child: ALA, transferred": Arm(source=from_digits, alone=True, **m),
    }
    if len(problem.rare):
        of |= {
            "inverse frequency": Arm(start=inverse),
            "inverse frequency, momentum": Arm(start=inverse, **m),
            "class-balanced": Arm(start=lambda p: effective_number(counted(p), s.effective), **m),
            "balanced softmax": Arm(("balanced softmax",), prior, **m),
            "logit adjustment": Arm(adjust=s.tau, **m),
            "oracle": Arm(control={"beta": s.beta, "learning_rate": 0.0}, oracle=True, **m),
            "oracle, Eq. 6": Arm(("Eq. 6",), control={"learning_rate": 0.0}, oracle=True, **m),
        }
    return of


def _controls(s: Chosen) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of our controllers and of the persistent random policies."""
    level = {"learning_rate": s.rate, "trace": s.trace, "exploration": s.exploration}
    still = {"learning_rate": 0.0, "exploration": s.random, "hold": s.random_hold}
    return {"beta": s.beta} | level, {"beta": s.beta} | still


def _embedding_arms(s: Chosen) -> dict[str, Arm]:
    level, still = _controls(s)
    paired: dict[str, Any] = {"common": True, "anchor": True}
    mixture, pairs = ("distance mixture",), ("focal pairs",)
    return {
        "triplet": Arm(mixture),
        "focal pairs": Arm(pairs),
        "PBT": Arm(mixture, selection=(Population, s.perturbation, s.every)),
        "evolution": Arm(mixture, selection=(Evolution, s.spread, s.every), common=True),
        "persistent random": Arm(mixture, control=still, **paired),
        "ALA, paper's credit": Arm(mixture, control=PAPER, learn=True),
        "ALA": Arm(mixture, control=level, learn=True, **paired),
        "ALA, focal pairs": Arm(pairs, control=level, learn=True, **paired),
        "oracle": Arm(mixture, control={"learning_rate": 0.0}, oracle=True),
        "oracle, focal pairs": Arm(pairs, control={"learning_rate": 0.0}, oracle=True),
        "one child: triplet": Arm(mixture, alone=True),
        "one child: ALA": Arm(mixture, control=level, learn=True, alone=True),
    }


def prior(problem: Problem) -> np.ndarray:
    """Logarithms of the class frequencies in the training examples [C]."""
    counts = np.maximum(counted(problem), 1)
    return np.log(counts / counts.sum())


def inverse(problem: Problem) -> np.ndarray:
    """Phi of class weights from inverse frequencies [C]."""
    return -prior(problem)


def counted(problem: Problem) -> np.ndarray:
    """Number of training examples of each class [C]."""
    return np.bincount(problem.train[1], minlength=problem.classes)


def _softmax_of(problem: Problem, rows: keras.losses.Loss) -> ParametricLoss:
    def of(phi: Tensor, y: Tensor, said: Tensor) -> Tensor:
        return rows(ops.one_hot(ops.cast(y, "int32"), problem.classes), said)

    return Fixed(of, problem.classes)


def _smoothed(problem: Problem, smoothing: float) -> ParametricLoss:
    settings = {"from_logits": True, "label_smoothing": smoothing, "reduction": None}
    return _softmax_of(problem, keras.losses.CategoricalCrossentropy(**settings))


def _focal(problem: Problem, focus: float) -> ParametricLoss:
    settings = {"from_logits": True, "gamma": focus, "alpha": 1.0, "reduction": None}
    return _softmax_of(problem, keras.losses.CategoricalFocalCrossentropy(**settings))


def _balanced(problem: Problem) -> ParametricLoss:
    def of(phi: Tensor, y: Tensor, said: Tensor) -> Tensor:
        return keras.losses.sparse_categorical_crossentropy(y, said + phi, from_logits=True)

    return Fixed(of, problem.classes)


def _weights(problem: Problem) -> ParametricLoss:
    return ClassWeightLoss(problem.classes, True)


def _correlation(problem: Problem) -> ParametricLoss:
    """Eq. 6, with steps by 1 / (C - 1) and entries up to a half."""
    return CorrelationLoss(problem.classes, True, scale=1 / (problem.classes - 1), limit=0.5)


LOSSES: dict[str, Callable[..., ParametricLoss]] = {
    "class weights": _weights,
    "Eq. 6": _correlation,
    "label smoothing": _smoothed,
    "focal": _focal,
    "balanced softmax": _balanced,
    "distance mixture": lambda problem: DistanceMixtureLoss(),
    "focal pairs": lambda problem: FocalPairLoss(),
}


def from_digits(seed: int) -> LossController:
    """A controller trained on digits of another split with other rare classes."""
    if seed not in _sources:
        problem, s = digits(1000 + seed), CHOSEN["digits"]
        outcome = train(problem, arms(problem, s)["ALA"], *DIGITS, seed)
        _sources[seed] = outcome.learning.alignment.controller
    return _sources[seed]


_sources: dict[int, LossController] = {}
_children: dict[tuple, Children] = {}


def train(problem: Problem, arm: Arm, count: int, schedule: Schedule, seed: int) -> Outcome:
    """Trains an arm's children from the seed's initial weights and batches."""
    controller = _controller(problem, arm, seed)
    learning = _learning(problem, arm, controller, 1 if arm.alone else count, schedule, seed)
    start = time.process_time()
    count = learning.children.count
    learning.fit(batches(problem, count, seed, arm.common), together=FEW)
    return _outcome(problem, arm, learning, time.process_time() - start)


def train_for(
    problem: Problem, arm: Arm, count: int, schedule: Schedule, seed: int, seconds: float
) -> tuple[Outcome, int]:
    """Trains for a number of seconds, with evaluations only at the end; also returns the steps."""
    learning = _learning(problem, arm, _controller(problem, arm, seed), count, schedule, seed)
    children, alignment, steps = learning.children, learning.alignment, 0
    phi, start = ops.convert_to_numpy(alignment.phi), time.process_time()
    stream = batches(problem, count, seed)
    while time.process_time() - start < seconds:
        x, y = _several(stream, count, FEW)
        np.asarray(children.steps(x, y, phi))  # waits for the device
        steps += FEW
    metric, labels = learning.metric, learning.held_out.labels
    costs = [metric.cost(metric(labels, p)) for p in children.predict(learning.held_out.inputs)]
    alignment.before.assign(costs)
    return _outcome(problem, arm, learning, time.process_time() - start), steps


def said(problem: Problem, arm: Arm, model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The predictions of an arm's model for inputs [N, C]."""
    parts = [x[i : i + CHUNK] for i in range(0, len(x), CHUNK)]
    # `predict` would compile anew for every model
    logits = np.concatenate([ops.convert_to_numpy(model(part, training=False)) for part in parts])
    return logits - arm.adjust * prior(problem) if arm.adjust else logits


def _outcome(problem: Problem, arm: Arm, learning: SharedLearning, seconds: float) -> Outcome:
    child, model = learning.best(), problem.make()
    learning.children.write(child, model)
    x, y = problem.validation
    value = problem.black_box()(y, said(problem, arm, model, x))
    trace = [phi for phi, _ in learning.alignment.trace]
    phi = np.array(trace or [ops.convert_to_numpy(learning.alignment.phi)])
    return Outcome(learning, seconds, model, child, value, phi)


def batches(problem: Problem, count: int, seed: int, common: bool = False) -> Iterator[Part]:
    """Rows for each child, separate or common; for embeddings, four rows of each of 16 classes."""
    if common:
        for x, y in batches(problem, 1, seed):
            yield np.concatenate([x] * count), np.concatenate([y] * count)
    random, (x, y) = np.random.default_rng(seed), problem.train
    by_class = [np.flatnonzero(y == c) for c in np.unique(y)]
    while True:
        if problem.classes:
            rows = random.integers(0, len(y), count * BATCH)
        else:
            several = [
                random.permutation(len(by_class))[: BATCH // CLASS_ROWS] for _ in range(count)
            ]
            chosen = [by_class[c] for part in several for c in part]
            rows = np.concatenate([random.permutation(c)[:CLASS_ROWS] for c in chosen])
        yield x[rows], y[rows]


def _several(stream: Iterator[Part], count: int, steps: int) -> list[np.ndarray]:
    """Inputs and labels [K, P, B, ...] for K steps."""
    pairs = zip(*itertools.islice(stream, steps), strict=True)
    whole = (np.stack(arrays) for arrays in pairs)
    return [a.reshape(steps, count, -1, *a.shape[2:]) for a in whole]


def _controller(problem: Problem, arm: Arm, seed: int) -> LossController:
    if arm.source is not None:
        return arm.source(seed)  # its training does not count in this arm's time
    keras.utils.set_random_seed(seed)
    if arm.oracle:
        oracle = Oracle(seed=seed, **(arm.control or {}))
        if arm.loss == ("class weights",):
            oracle.target = inverse(problem) - inverse(problem).mean()
        else:
            oracle.answer = knowing(arm.loss[0], problem)
        return oracle
    still = {"beta": 0.0, "learning_rate": 0.0}
    return LossController(seed=seed, **(arm.control or still))


def _learning(
    problem: Problem,
    arm: Arm,
    controller: LossController,
    count: int,
    schedule: Schedule,
    seed: int,
) -> SharedLearning:
    keras.utils.set_random_seed(seed)
    models = [problem.make() for _ in range(count)]
    if arm.common:
        for model in models[1:]:
            model.set_weights(models[0].get_weights())
    children = _compiled(problem, arm, count, models)
    loss = children.loss
    if isinstance(loss, ClassWeightLoss):
        loss.counts.assign(counted(problem))
    loss.phi.assign(loss.start if arm.start is None else arm.start(problem))
    if not arm.moves:  # the same number of steps, all with its own loss
        window = min(FEW, schedule.total)
        left = schedule.total % window
        schedule = Schedule(schedule.total // window, window, 1, left)
    total = schedule.actions
    if arm.selection is not None:
        way, size, every = arm.selection
        alignment: Alignment = way(loss, controller, count, total, children, size, every, seed)
    else:
        alignment = Alignment(loss, controller, count, total, arm.learn, arm.anchor)
    held = HeldOut(problem.validation, CHUNK)
    metric = problem.black_box()
    if arm.adjust:
        plain, shift = metric.function, arm.adjust * prior(problem)
        metric.function = lambda y, p, **options: plain(y, p - shift, **options)
    return SharedLearning(children, alignment, held, metric, schedule)


def _compiled(problem: Problem, arm: Arm, count: int, models: list[keras.Model]) -> Children:
    """Children that start as `models`; arms that differ only in Phi share the compiled step."""
    shapes = problem.train[0].shape[1:], problem.validation[0].shape
    key = (arm.loss, arm.momentum, count, shapes)
    if key not in _children:
        optimizer = keras.optimizers.SGD(RATE, momentum=arm.momentum)
        if not problem.classes:
            optimizer = keras.optimizers.Adam(EMBEDDING_RATE)
        name, *numbers = arm.loss
        given = iter(models)
        loss = LOSSES[name](problem, *numbers)
        children = Children(lambda: next(given), loss, optimizer, count, problem.mode)
        phi = np.broadcast_to(loss.start, (count, *loss.start.shape))
        x, y = _several(batches(problem, count, 0), count, FEW)
        for warm in (True, False):
            children.steps(x, y, phi, warm)  # compiles
        children.predict([problem.validation[0][:CHUNK]])
        _children[key] = children
    _children[key].begin(models)
    return _children[key]

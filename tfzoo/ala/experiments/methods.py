"""The study's arms, at equal steps and equal numbers of children."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.ala.alignment import Alignment
from tfzoo.ala.children import Children
from tfzoo.ala.controller import LossController
from tfzoo.ala.experiments.tasks import Part, Problem, digits
from tfzoo.ala.learning import Schedule, SharedLearning
from tfzoo.ala.losses import ClassWeightLoss, CorrelationLoss
from tfzoo.ala.metric_losses import DistanceMixtureLoss, FocalPairLoss
from tfzoo.ala.parametric import ParametricLoss
from tfzoo.metrics.held_out import HeldOut
from tfzoo.typing import Tensor

BATCH, CLASS_ROWS = 64, 4
CHUNK = 1000
RATE, EMBEDDING_RATE, CONTROLLER_RATE = 0.1, 1e-3, 3e-3
SMOOTHING, FOCUS = 0.1, 2.0

DIGITS = (6, Schedule(100, 10, 3, 150))
IMAGES = (4, Schedule(60, 10, 3, 150))
EMBEDDINGS = (2, Schedule(40, 10, 3, 50))


class Fixed(ParametricLoss):
    """A fixed loss of rows in the place of a parametric one; its one parameter does nothing."""

    decisions = 1

    def __init__(self, rows: Callable[[Any, Any], Any], **keywords: Any):
        keywords.setdefault("name", "fixed")
        super().__init__([0.0], None, 1.0, 1.0, **keywords)
        self.rows = rows

    def value(self, phi: Tensor, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B]."""
        return self.rows(y_true, y_pred)

    @override
    def moved(self, phi: Tensor, delta: Tensor) -> Tensor:
        return ops.convert_to_tensor(phi)

    @override
    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.zeros((1, 2), "float32")


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        loss: of a problem.
        act: whether the loss's parameters are moved.
        learn: whether the controller learns.
        source: makes the controller, of a seed; None is a new one.
        warm: whether it starts with the schedule's warm-up by the fixed loss.
        momentum: of the children's SGD.
    """

    loss: Callable[[Problem], ParametricLoss]
    act: bool = False
    learn: bool = False
    source: Callable[[int], LossController] | None = None
    warm: bool = True
    momentum: float = 0.0


@dataclass
class Outcome:
    """What an arm left behind.

    Attributes:
        learning: its parts.
        seconds: of training and evaluating, compilation included: the process's own, so that
            other work on the machine does not count. One thread: as many as on a clock.
        model: the child that was best on validation.
        child: which that is.
    """

    learning: SharedLearning
    seconds: float
    model: keras.Model
    child: int


def settings(name: str) -> tuple[int, Schedule]:
    """Children and schedule of a task."""
    if name == "digits":
        return DIGITS
    return EMBEDDINGS if name == "omniglot" else IMAGES


def arms(problem: Problem, every: bool = True) -> dict[str, Arm]:
    """Those of a task, by name; without `every`, less of Eq. 6."""
    if not problem.classes:
        return {
            "triplet": Arm(lambda p: DistanceMixtureLoss()),
            "focal pairs, fixed": Arm(lambda p: FocalPairLoss()),
            "ALA distance mixture": Arm(lambda p: DistanceMixtureLoss(), True, True),
            "ALA focal pairs": Arm(lambda p: FocalPairLoss(), True, True),
            "random distance mixture": Arm(lambda p: DistanceMixtureLoss(), True),
        }
    made = {
        "CE": Arm(weights),
        "CE, momentum 0.9": Arm(weights, momentum=0.9),
        "label smoothing": Arm(_smoothed, warm=False),
        "focal": Arm(_focal, warm=False),
        "inverse frequency": Arm(_balanced, warm=False),
        "ALA class weights": Arm(weights, True, True),
        "ALA Eq. 6": Arm(correlation, True, True),
        "random class weights": Arm(weights, True),
        "transferred class weights": Arm(weights, True, False, from_digits),
    }
    if every:
        made |= {"random Eq. 6": Arm(correlation, True), "Eq. 6, Phi = I": Arm(correlation)}
    return made


def weights(problem: Problem) -> ParametricLoss:
    """Class weights, at first cross-entropy."""
    return ClassWeightLoss(problem.classes, True)


def correlation(problem: Problem) -> ParametricLoss:
    """Eq. 6, with steps by 1 / (C - 1) and entries up to a half."""
    return CorrelationLoss(problem.classes, True, scale=1 / (problem.classes - 1), limit=0.5)


def _one_hot(problem: Problem, rows: keras.losses.Loss) -> ParametricLoss:
    def of(y: Tensor, said: Tensor) -> Tensor:
        return rows(ops.one_hot(ops.cast(y, "int32"), problem.classes), said)

    return Fixed(of)


def _smoothed(problem: Problem) -> ParametricLoss:
    made = {"from_logits": True, "label_smoothing": SMOOTHING, "reduction": None}
    return _one_hot(problem, keras.losses.CategoricalCrossentropy(**made))


def _focal(problem: Problem) -> ParametricLoss:
    made = {"from_logits": True, "gamma": FOCUS, "alpha": 1.0, "reduction": None}
    return _one_hot(problem, keras.losses.CategoricalFocalCrossentropy(**made))


def _balanced(problem: Problem) -> ParametricLoss:
    counts = np.bincount(problem.train[1], minlength=problem.classes)
    weights = np.clip(counts.mean() / np.maximum(counts, 1), np.exp(-3), np.exp(3))

    def of(y: Tensor, said: Tensor) -> Tensor:
        plain = keras.losses.sparse_categorical_crossentropy(y, said, from_logits=True)
        return plain * ops.take(ops.cast(weights, "float32"), ops.cast(y, "int32"))

    return Fixed(of)


def from_digits(seed: int) -> LossController:
    """A controller that learned on digits of another split with other rare classes."""
    if seed not in _sources:
        arm = Arm(weights, True, True)
        _sources[seed] = train(digits(1000 + seed), arm, *DIGITS, seed).learning.alignment
    return _sources[seed].controller


_sources: dict[int, Alignment] = {}


def train(problem: Problem, arm: Arm, count: int, schedule: Schedule, seed: int) -> Outcome:
    """Trains an arm's children from the seed's first weights and batches."""
    if arm.source is not None:
        arm.source(seed)  # its own training is no part of this one's time
    keras.utils.set_random_seed(seed)
    made = arm.source(seed) if arm.source else _controller(seed, arm)
    start = time.process_time()
    learning = _learning(problem, arm, made, count, schedule)
    learning.fit(batches(problem, count, seed))
    seconds, child = time.process_time() - start, learning.best()
    model = problem.make()
    learning.children.write(child, model)
    return Outcome(learning, seconds, model, child)


def train_for(
    problem: Problem, arm: Arm, count: int, schedule: Schedule, seed: int, seconds: float
) -> tuple[Outcome, int]:
    """Trains for so many seconds, without evaluations but for one at the end; and the steps."""
    keras.utils.set_random_seed(seed)
    start = time.process_time()
    learning = _learning(problem, arm, _controller(seed, arm), count, schedule)
    children, alignment, steps = learning.children, learning.alignment, 0
    phi = ops.convert_to_numpy(alignment.phi)
    for x, y in batches(problem, count, seed):
        if time.process_time() - start >= seconds:
            break
        inputs, labels = (a.reshape(count, -1, *a.shape[1:]) for a in (x, y))
        children.step(inputs, labels, phi)
        steps += 1
    said, metric = children.predict(learning.held_out.inputs), problem.black_box()
    costs = [metric.cost(metric(learning.held_out.labels, p)) for p in said]
    child, model = int(np.argmin(costs)), problem.make()
    children.write(child, model)
    return Outcome(learning, time.process_time() - start, model, child), steps


def batches(problem: Problem, count: int, seed: int) -> Iterator[Part]:
    """Rows for all children, of their own; of embeddings, four rows of each of 16 classes."""
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


def _controller(seed: int, arm: Arm) -> LossController:
    return LossController(
        beta=0.1 if arm.act else 0.0,
        learning_rate=CONTROLLER_RATE if arm.learn else 0.0,
        uniform=not arm.learn,
        seed=seed,
    )


def _learning(
    problem: Problem, arm: Arm, controller: LossController, count: int, schedule: Schedule
) -> SharedLearning:
    loss = arm.loss(problem)
    optimizer = keras.optimizers.SGD(RATE, momentum=arm.momentum)
    if not problem.classes:
        optimizer = keras.optimizers.Adam(EMBEDDING_RATE)
    children = Children(problem.make, loss, optimizer, count, problem.mode)
    alignment = Alignment(loss, controller, count, schedule.actions, arm.learn)
    held = HeldOut(problem.validation, CHUNK)
    if not arm.warm:  # the same number of steps, all of its own loss
        steps = schedule.total
        schedule = Schedule(schedule.actions, steps // schedule.actions, schedule.evaluations)
    return SharedLearning(children, alignment, held, problem.black_box(), schedule)

"""The callback that aligns a model's loss with a metric during `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tfzoo import metrics
from tfzoo.ala.alignment import Alignment
from tfzoo.ala.controller import LossController
from tfzoo.ala.parametric import ParametricLoss
from tfzoo.config import Count, Natural, check, checked
from tfzoo.environment import only_on
from tfzoo.errors import InputError
from tfzoo.metrics import BlackBoxMetric
from tfzoo.metrics.held_out import HeldOut


class AdaptiveLossAlignment(keras.callbacks.Callback):
    """Updates the parameters of a compiled `ParametricLoss` so that a validation metric improves.

    After a warm-up with the loss's fixed form, each window of `steps_per_action` steps ends with an
    action of the controller (arXiv:1905.05895, 3.1). The metric is evaluated only after the last
    `evaluations` steps of a window; the paper's Eq. 4 evaluates after every step.

    Args:
        controller: a `LossController`, pre-trained or new.
        validation_data: `(x, y)`, or batches of them; it drives the training, so report on a third
            split. Its size determines the callback's cost, and a part of a split is enough: with N
            rows an error rate e has the sampling standard deviation sqrt(e (1 - e) / N) (0.018 at
            0.2 and 500 rows); all windows use the same rows.
        metric: a name of `tfzoo.metrics.names()`, a `BlackBoxMetric`, or a function
            `(y_true, y_pred) -> float`, with its `mode`.
        mode: `"min"` or `"max"`, for a function.
        steps_per_action: steps per window K.
        evaluations: evaluations of the metric in a window, at most K.
        warmup_steps: steps with the fixed loss before the first window.
        learn: False applies the controller's policy without training it.
        total_steps: steps of the whole training, for the state's progress; None: those of `fit`.
        batch_size: batch size for validation arrays.

    Attributes:
        history: (step, value) of every evaluation.
        alignment: see `tfzoo.ala.Alignment`; None before `fit`.

    Raises:
        InputError: a setting out of range, no validation data, or a model whose loss is not a
            `ParametricLoss`.
        MetricError: during `fit`, if the metric raises or returns a non-finite value.
    """

    @checked
    def __init__(
        self,
        controller: LossController,
        validation_data: Any,
        metric: BlackBoxMetric | Callable | str,
        mode: str | None = None,
        steps_per_action: Count = 200,
        evaluations: Count = 1,
        warmup_steps: Natural = 0,
        learn: bool = True,
        total_steps: int | None = None,
        batch_size: int = 256,
    ):
        super().__init__()
        if not isinstance(controller, LossController):
            raise InputError(f"controller={type(controller).__name__}: must be a LossController")
        fits = 1 <= evaluations <= steps_per_action
        check(fits, "evaluations", evaluations, f"from 1 to {steps_per_action}, a window's steps")
        self.controller, self.metric = controller, metrics.get(metric, mode)
        self.held_out = HeldOut(validation_data, batch_size)
        self.steps_per_action, self.evaluations = steps_per_action, evaluations
        self.warmup_steps, self.learn, self.total_steps = warmup_steps, learn, total_steps
        self.history: list[tuple[int, float]] = []
        self.alignment: Alignment | None = None
        self._steps: keras.Variable = None  # a variable once `bind` has created the state
        self._count, self._batch = 0, 0

    def bind(self, loss: Any, total: int) -> AdaptiveLossAlignment:
        """Creates the state for a loss and a number of training steps; `fit` calls it itself.

        Raises:
            InputError: `loss` is not a `ParametricLoss`.
        """
        if not isinstance(loss, ParametricLoss):
            raise InputError(
                f"loss={getattr(loss, 'name', loss)!r}: the model must be compiled with a "
                "tfzoo.ala.ParametricLoss"
            )
        actions = max((total - self.warmup_steps) // self.steps_per_action, 1)
        self.alignment = Alignment(loss, self.controller, 1, actions, self.learn)
        self._steps = keras.Variable(0, trainable=False, dtype="int32", name="steps")
        return self

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that an exact resume needs; empty before `bind`."""
        return [self._steps, *self.alignment.variables] if self.alignment else []

    def _bound(self) -> Alignment:
        """The alignment, once `fit` is running."""
        assert self.alignment is not None
        return self.alignment

    @only_on(
        "tensorflow",
        why="where a callback can change a loss's parameters during fit",
        name="AdaptiveLossAlignment",
    )
    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts, or continues from a restored state."""
        if self.alignment is None or self.alignment.loss is not self.model.loss:
            own = self.params.get("epochs", 1) * (self.params.get("steps") or 0)
            self.bind(self.model.loss, self.total_steps or own)
        alignment = self._bound()
        loss = alignment.loss
        self._count = int(self._steps)
        if self._count:
            loss.phi.assign(alignment.phi[0])
        loss.warm.assign(float(self._count < self.warmup_steps))
        self._counts(True)

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Stops counting labels: those of an evaluation within `fit` are not training labels."""
        self._counts(False)

    def on_test_end(self, logs: dict | None = None) -> None:
        """Resumes counting labels."""
        self._counts(True)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Restarts the count of batches at 0."""
        self._batch = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Evaluates and acts when due."""
        before, self._count = self._count, self._count + batch + 1 - self._batch
        self._batch = batch + 1
        if before < self.warmup_steps <= self._count:
            self._bound().loss.warm.assign(0.0)
        every, start = self.steps_per_action, self.warmup_steps
        acts = max(self._count - start, 0) // every > max(before - start, 0) // every
        left = every - (self._count - start) % every
        if acts or (self._count > start and left < self.evaluations):
            self._evaluate(acts)
        self._steps.assign(self._count)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Logs the last value of the metric."""
        if logs is not None and self.history:
            logs[f"val_{self.metric.name}"] = self.history[-1][1]

    def on_train_end(self, logs: dict | None = None) -> None:
        """Warns of a metric that has told the controller nothing."""
        alignment = self._bound()
        alignment.loss.warm.assign(0.0)
        self._counts(False)
        alignment.close()

    def _counts(self, whether: bool) -> None:
        """Sets whether the loss observes the labels that it gets."""
        if self.alignment is not None:
            self.alignment.loss.counting.assign(float(whether))

    def _evaluate(self, acts: bool) -> None:
        alignment = self._bound()
        predictions = self.held_out.predictions(self.model)
        value = self.metric(self.held_out.labels, predictions)
        self.history.append((self._count, value))
        alignment.add(self.metric.cost(value))
        if acts:
            loss, labels = alignment.loss, self.held_out.labels
            told = loss.statistics(np.asarray(labels), np.asarray(predictions))
            loss.phi.assign(alignment.act(told[None])[0])

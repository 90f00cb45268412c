"""A run directory, with what a training needs from it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic

import keras
import tensorflow as tf

from tfzoo.training.callbacks import Backup, EpochLine, Log, StopFlag
from tfzoo.training.checkpoint import Checkpoints, state_variables
from tfzoo.training.config import C
from tfzoo.training.distribute import is_chief, share, spread, synchronised


@dataclass
class Run(Generic[C]):
    """A run directory, with what a training needs from it.

    A recipe whose training is one `fit` calls `fit`. A recipe with its own loop calls `restore`
    before it and `checkpoint` in it, and adds rows to `log`.

    Attributes:
        directory: folder of all the run's files.
        config: the resolved config.
        log: rows for `log.csv`.
        stop: has a `signum` once SIGINT or SIGTERM has been received.
        name: name of a phase; empty if there is only one.
    """

    directory: Path
    config: C
    strategy: tf.distribute.Strategy | None = None
    stop: StopFlag = field(default_factory=StopFlag)
    name: str = ""

    def __post_init__(self):
        """Opens the log and the checkpoints."""
        self.chief = is_chief(self.strategy)
        self.checkpoints = Checkpoints(self.directory / "backup" / self.name, self.chief)
        log = f"log-{self.name}.csv" if self.name else "log.csv"
        self.log = Log(self.directory / log, self.chief)

    def phase(self, name: str, epochs: int) -> Run[C]:
        """The phase of a training with that name, with its own checkpoints and log.

        A finished phase is restored, not repeated, when the run resumes.
        """
        return replace(self, name=name, config=replace(self.config, epochs=epochs))

    def scope(self) -> contextlib.AbstractContextManager:
        """Scope for creating models and optimizers, so that their variables are on all devices."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def restore(self, *objects: Any) -> dict[str, Any]:
        """Restores variables of models, optimizers, ... and returns the saved position, or {}."""
        position = self.checkpoints.restore(state_variables(*objects)) or {}
        self.log.rows = position.pop("log", [])
        return position

    def checkpoint(self, step: int, *objects: Any, **position: Any) -> None:
        """Saves the variables of models, optimizers, ... and a position of plain values."""
        position |= {"step": step, "log": self.log.rows}
        self.checkpoints.save(step, state_variables(*objects), position)

    def after_step(self, step: int, total: int, due: bool, save: Callable[[], None]) -> None:
        """To be called by a custom loop after its steps: saves when due, ends on a signal.

        Args:
            step: number of steps done.
            total: total steps of the training.
            due: whether to save after this step; the last one is always saved.
            save: writes a checkpoint and related files.

        Raises:
            TrainingInterrupted: on SIGINT or SIGTERM before the last step; the state is saved.
        """
        if due or step == total or self.stop.signum is not None:
            save()
        if step < total:
            self.stop.interrupt(step)

    def fit(
        self,
        model: keras.Model,
        datasets: Any,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        validate: bool = True,
        state: Sequence[Any] = (),
    ) -> None:
        """Calls `model.fit` from the run's current position up to `config.epochs`.

        Args:
            model: a compiled model.
            datasets: the training stream and validation batches.
            callbacks: additional callbacks.
            validate: whether each epoch ends with computing the loss on the validation batches.
            state: further objects with `variables` to save and restore, e.g. a callback.

        Raises:
            TrainingInterrupted: on SIGINT or SIGTERM; the state is saved.
            TrainingDiverged: the loss is NaN or infinite.
        """
        config, stream = self.config, datasets.train
        batches = datasets.validation if validate else stream.from_step(0)
        self._build_metrics(model, next(iter(batches)))
        steps, step = stream.steps_per_epoch, self.restore(model, *state).get("step", 0)
        if step:
            print(f"resuming after step {step} of {config.epochs * steps}", file=sys.stderr)
        while step < config.epochs * steps:
            epoch, done = divmod(step, steps)
            last = epoch + 1 if done else config.epochs  # first finish a partial epoch
            backup = Backup(
                self.checkpoints, self.log, self.stop, steps, config.save_every, step, state
            )
            with synchronised(self.strategy, model):
                model.fit(
                    share(self.strategy, stream.from_step(step), config.batch_size),
                    initial_epoch=epoch,
                    epochs=last,
                    steps_per_epoch=steps - done,
                    validation_data=spread(datasets.validation) if validate else None,
                    shuffle=False,  # the stream is shuffled, by the config's seed
                    verbose=1 if sys.stderr.isatty() and self.chief else 0,
                    callbacks=[*callbacks, *self._reports(), backup],
                )
            step = last * steps

    def _build_metrics(self, model: keras.Model, batch: Any) -> None:
        """Creates the states of compiled metrics, so that a checkpoint can restore them all.

        Keras creates them in the first step, too late for a resumed partial epoch; its `fit` calls
        this under a strategy.
        """
        with self.scope():
            model._symbolic_build(data_batch=batch)

    def _reports(self) -> list[keras.callbacks.Callback]:
        if not self.chief:
            return []
        folder = self.directory / "tensorboard" / self.name
        board = keras.callbacks.TensorBoard(str(folder), write_graph=False)
        lines = [] if sys.stderr.isatty() else [EpochLine(self.config.epochs)]
        return [board, *lines]

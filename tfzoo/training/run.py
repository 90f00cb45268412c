"""A run directory, and what a training needs from it."""

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
    """A run directory, and what a training needs from it.

    A recipe whose training is one `fit` calls `fit`. One with a loop of its own calls `restore`
    before it, `checkpoint` in it, and adds rows to `log`.

    Attributes:
        directory: where everything of the run lies.
        config: the resolved config.
        log: rows for `log.csv`.
        stop: has a `signum` once SIGINT or SIGTERM came.
        name: of a phase; empty for a training of one.
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
        """The part of a training that is called `name`, with checkpoints and a log of its own.

        A finished phase is restored, not repeated, when the run resumes.
        """
        return replace(self, name=name, config=replace(self.config, epochs=epochs))

    def scope(self) -> contextlib.AbstractContextManager:
        """Where models and optimizers are made, so that their variables are on all devices."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def restore(self, *objects: Any) -> dict[str, Any]:
        """Puts variables of models, optimizers, ... back and returns the saved position, or {}."""
        position = self.checkpoints.restore(state_variables(*objects)) or {}
        self.log.rows = position.pop("log", [])
        return position

    def checkpoint(self, step: int, *objects: Any, **position: Any) -> None:
        """Saves the variables of models, optimizers, ... and a position of plain values."""
        position |= {"step": step, "log": self.log.rows}
        self.checkpoints.save(step, state_variables(*objects), position)

    def after_step(self, step: int, total: int, due: bool, save: Callable[[], None]) -> None:
        """What a loop of its own calls after its steps: saves when it must, ends on a signal.

        Args:
            step: done.
            total: steps of the training.
            due: whether this step is one to save after, as the last is anyway.
            save: writes a checkpoint, and what belongs to it.

        Raises:
            TrainingInterrupted: SIGINT or SIGTERM came before the last step; the state is saved.
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
        """`model.fit` from where the run stands to `config.epochs`.

        Args:
            model: compiled.
            datasets: its training stream and validation batches.
            callbacks: more of them.
            validate: whether each epoch ends with the loss on the validation batches.
            state: what else, by its `variables`, training goes on from, e.g. a callback.

        Raises:
            TrainingInterrupted: SIGINT or SIGTERM came; the state is saved.
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
            last = epoch + 1 if done else config.epochs  # first finish a half epoch
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
        """Makes the states of compiled metrics, so that a checkpoint finds them all.

        Keras makes them in the first step, which is too late for a resumed half epoch; this is
        what its `fit` calls under a strategy.
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

"""Callbacks of every `fit`: checkpoints, the log, and stopping on NaN or a signal."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import keras

from tfzoo.files import write_csv
from tfzoo.training.checkpoint import Checkpoints, state_variables


class TrainingInterrupted(Exception):
    """Raised on SIGINT or SIGTERM; the state is saved, and the same command resumes from there."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.signum = signum


class TrainingDiverged(Exception):
    """The loss became NaN or infinite; the last good checkpoint is kept."""


class StopFlag:
    """Remembers the first SIGINT or SIGTERM instead of dying mid-step."""

    signum: int | None = None

    @contextmanager
    def watching(self) -> Iterator[StopFlag]:
        """Catches the signals inside the block; a second one takes effect at once."""
        try:
            old = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread, which no signal reaches
            old = {}
        try:
            yield self
        finally:
            for signum, handler in old.items():
                signal.signal(signum, handler)

    def interrupt(self, step: int) -> None:
        """Ends a training whose state after `step` is saved, if a signal was received.

        Raises:
            TrainingInterrupted: a signal was received.
        """
        if self.signum is None:
            return
        name = signal.Signals(self.signum).name
        raise TrainingInterrupted(
            f"{name}: stopped after step {step}, state saved; the same command resumes",
            self.signum,
        )

    def _note(self, signum: int, frame: FrameType | None) -> None:
        del frame
        if self.signum is not None:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        self.signum = signum


class Log:
    """Rows of numbers, kept in the checkpoints and written to a CSV file as a whole."""

    def __init__(self, path: Path, writer: bool = True):
        self.path = path
        self.writer = writer
        self.rows: list[dict[str, float]] = []

    def add(self, row: dict[str, float]) -> None:
        """Appends a row and rewrites the file."""
        self.rows.append(row)
        if not self.writer:
            return
        write_csv(self.path, self.rows)


class Backup(keras.callbacks.Callback):
    """Saves the training state every `save_every` steps and at the end of each epoch.

    Keras's `BackupAndRestore` saves neither seed generators, metric states nor the position within
    an epoch; with this callback a resumed run ends with exactly the weights of an uninterrupted
    one.

    Args:
        checkpoints: where to save.
        log: gets a row per epoch.
        stop: checked after each step.
        steps_per_epoch: length of an epoch.
        save_every: steps between checkpoints.
        step: number of steps already done.
        state: what else to save; see `Run.fit`.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        log: Log,
        stop: StopFlag,
        steps_per_epoch: int,
        save_every: int,
        step: int,
        state: Sequence[Any] = (),
    ):
        super().__init__()
        self.state = tuple(state)
        self.checkpoints = checkpoints
        self.log = log
        self.stop = stop
        self.steps_per_epoch = steps_per_epoch
        self.save_every = save_every
        self.step = step
        self._metrics: list[keras.metrics.Metric] | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Stores the metric states of a partial epoch before `fit` resets them."""
        if self.step % self.steps_per_epoch:
            variables = self.model.metrics_variables
            self._metrics = [keras.ops.convert_to_numpy(v) for v in variables]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Restores the metric states of a partial epoch."""
        if self._metrics is not None:
            for variable, value in zip(self.model.metrics_variables, self._metrics, strict=True):
                variable.assign(value)
            self._metrics = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Counts the step, checks for NaN, saves when due."""
        self.step += 1
        self._check(logs or {})
        if self.step % self.steps_per_epoch == 0:
            return  # the end of the epoch saves, including the log's row
        if self.stop.signum is not None or self.step % self.save_every == 0:
            self._save()
        self.stop.interrupt(self.step)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the log's row and saves."""
        self._check(logs or {})
        row = {"epoch": epoch + 1, "step": self.step}
        self.log.add(row | {name: float(value) for name, value in (logs or {}).items()})
        self._save()
        self.stop.interrupt(self.step)

    def _check(self, logs: dict) -> None:
        loss = float(logs.get("loss", 0.0))
        if not math.isfinite(loss):
            self._diverged(f"the loss is {loss}")

    def _save(self) -> None:
        position = {"step": self.step, "log": self.log.rows}
        try:
            self.checkpoints.save(self.step, state_variables(self.model, *self.state), position)
        except FloatingPointError as error:
            self._diverged(str(error))

    def _diverged(self, what: str) -> None:
        latest = self.checkpoints.latest()
        kept = f"last good checkpoint: {latest}" if latest else "no checkpoint was written yet"
        raise TrainingDiverged(f"step {self.step}: {what}; {kept}")


class EpochLine(keras.callbacks.Callback):
    """Prints one line per epoch, for output that is not a terminal."""

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Prints the epoch's metrics."""
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())
        print(f"epoch {epoch + 1}/{self.epochs}  {numbers}", file=sys.stderr, flush=True)

"""Training state on disk: every variable and the position, complete or not at all."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfzoo.errors import InputError
from tfzoo.files import replacing

KEEP = 2
_POSITION = "position.json"


def state_variables(*objects: Any) -> list[keras.Variable]:
    """All variables that determine how training continues, each once.

    For a `keras.Model` these are weights, seed generators, metric states and the optimizer's
    variables, and `optimizer_variables` if it has more than one optimizer; anything else
    contributes its `variables`.
    """
    variables: dict[int, keras.Variable] = {}
    for item in objects:
        groups = [item.variables]
        if isinstance(item, keras.Model):
            groups.append(item.metrics_variables)
            groups.append(getattr(item, "optimizer_variables", []))
            if getattr(item, "optimizer", None) is not None:
                if not item.optimizer.built:  # Keras's LossScaleOptimizer would rebuild it
                    item.optimizer.build(item.trainable_variables)
                groups.append(item.optimizer.variables)
        for variable in (v for group in groups for v in group):
            variables.setdefault(id(variable), variable)
    return list(variables.values())


class Checkpoints:
    """Numbered checkpoints in a folder, the newest `KEEP` of them.

    Args:
        directory: the folder; created on the first save.
        writer: False in a worker that must not write; only the chief does.
    """

    def __init__(self, directory: str | Path, writer: bool = True):
        self.directory = Path(directory)
        self.writer = writer

    def save(
        self, step: int, variables: Iterable[keras.Variable], position: Mapping[str, Any]
    ) -> None:
        """Writes a checkpoint to a temporary file and renames it into place.

        Raises:
            FloatingPointError: a variable holds NaN or infinity; nothing is written.
        """
        arrays = {}
        for index, variable in enumerate(variables):
            value = keras.ops.convert_to_numpy(variable)
            if value.dtype.kind not in "biuf":  # bfloat16 has no numpy file format
                value = value.astype("float32")
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise FloatingPointError(f"{variable.path} holds NaN or infinity")
            arrays[f"{index:05d} {variable.path}".replace("/", "|")] = value
        if not self.writer:
            return
        path = self.directory / f"{step:010d}.npz"
        arrays[_POSITION] = np.frombuffer(json.dumps(dict(position)).encode(), np.uint8)
        with replacing(path) as aside, aside.open("wb") as file:
            np.savez(file, **arrays)
        left = self.directory.glob(f".{'[0-9]' * 10}-*.npz")  # by killed processes of tfzoo 0.1
        for old in [*self._newest_first()[KEEP:], *left]:
            old.unlink(missing_ok=True)

    def restore(self, variables: Iterable[keras.Variable]) -> dict[str, Any] | None:
        """Assigns the newest readable checkpoint and returns its position, or None.

        A corrupt file is skipped in favour of the previous one.

        Raises:
            InputError: the checkpoint belongs to another model.
        """
        for path in self._newest_first():
            try:
                with np.load(path, allow_pickle=False) as archive:
                    arrays = {name: archive[name] for name in archive.files}
                position = json.loads(arrays.pop(_POSITION).tobytes())
            except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
                continue
            _assign(path, list(variables), list(arrays.values()))
            return position
        return None

    def latest(self) -> Path | None:
        """The newest checkpoint's path, or None."""
        return next(iter(self._newest_first()), None)

    def _newest_first(self) -> list[Path]:
        return sorted(self.directory.glob("[0-9]*.npz"), reverse=True)


def _assign(path: Path, variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    shapes = [tuple(v.shape) for v in variables]
    if shapes != [v.shape for v in values]:
        raise InputError(
            f"checkpoint {str(path)!r}: belongs to another model "
            f"({len(values)} variables, this one has {len(variables)}); use another run directory"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)

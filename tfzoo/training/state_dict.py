"""Reads PyTorch state dicts from `.npz` files: tensors by name, for a Keras model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfzoo.errors import InputError, first_line
from tfzoo.files import expanded


class StateDict:
    """The tensors of a state dict, each of which is taken once.

    In PyTorch `np.savez(path, **{k: v.cpu().numpy() for k, v in model.state_dict().items()})`
    writes such a file.

    Args:
        path: the `.npz` file.

    Raises:
        InputError: no such file, or not an `.npz` of plain arrays.
    """

    def __init__(self, path: str | Path):
        self.path = expanded(str(path))
        if not Path(self.path).is_file():
            raise InputError(f"path={self.path!r}: no such file")
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                self._tensors = {name: arrays[name] for name in arrays.files}
        except Exception as error:  # errors of zipfile, struct and numpy share no base
            raise InputError(
                f"path={self.path!r}: must be an .npz of plain arrays: {first_line(error)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        """Names of the tensors that have not been taken."""
        return iter(self._tensors)

    def size(self, name: str, axis: int = 0) -> int:
        """The size of a tensor's axis.

        Raises:
            InputError: there is no such tensor, or it has no such axis.
        """
        shape = self._find(name).shape
        if not -len(shape) <= axis < len(shape):
            raise InputError(f"path={self.path!r}: {name} is {list(shape)}, has no axis {axis}")
        return int(shape[axis])

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Takes out a tensor of a given shape, as float32.

        Raises:
            InputError: there is no such tensor, it has another shape, or its numbers are not
                finite.
        """
        arrays = self._find(name)
        if arrays.shape != tuple(shape):
            raise InputError(
                f"path={self.path!r}: {name} is {list(arrays.shape)}, must be {list(shape)}"
            )
        if arrays.dtype.kind not in "fiu" or not np.isfinite(arrays).all():
            raise InputError(f"path={self.path!r}: {name} must hold finite numbers")
        del self._tensors[name]
        return arrays.astype("float32")

    def kernel(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Takes out a kernel [outputs, inputs, ...] as Keras's [..., inputs, outputs] (`shape`)."""
        arrays = self.take(name, (shape[-1], shape[-2], *shape[:-2]))
        return np.moveaxis(arrays, (0, 1), (-1, -2))

    def end(self, of: str, ignored: tuple[str, ...] = ()) -> None:
        """Refuses a file with remaining tensors, except for batch counters.

        Args:
            of: the model whose tensors it must hold.
            ignored: prefixes of names that may remain.

        Raises:
            InputError: tensors remain; the message names one.
        """
        rest = [
            name
            for name in self
            if not name.endswith("num_batches_tracked") and not name.startswith(ignored)
        ]
        if rest:
            raise InputError(
                f"path={self.path!r}: has {rest[0]}, must hold only the tensors of {of}"
            )

    def _find(self, name: str) -> np.ndarray:
        if name not in self._tensors:
            raise InputError(f"path={self.path!r}: has no {name}")
        return self._tensors[name]

"""Properties of a recipe's data: shapes, classes, range and statistics of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np

from tfzoo.data.rows import CHUNK_BYTES
from tfzoo.errors import InputError


@dataclass(frozen=True)
class Info:
    """What building, evaluating and exporting a model requires about its data.

    A recipe whose model needs more adds fields in a subclass.

    Attributes:
        steps_per_epoch: batches in an epoch.
        examples: number of training examples.
        version: TFDS's `name/config/version` of the prepared data.
        shape: shape of one input as stored in the data; None where it varies.
        dtype: dtype of the input as stored in the data.
        low: smallest value of the input; None if unknown.
        high: largest value of the input; None if unknown.
        mean: mean of the training inputs, one number per channel (last axis).
        std: standard deviations, likewise.
        classes: names of the classes, in order of class index.
        guesses: names of the fields that a dry run cannot know without preparing the data.
    """

    steps_per_epoch: int
    examples: int = 0
    version: str = ""
    shape: tuple[int | None, ...] = ()
    dtype: str = "float32"
    low: float | None = None
    high: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Info:
        """Restores the fields of `dataclasses.asdict`, also of a subclass, from JSON."""
        known: dict[str, Any] = {}
        for field in fields(cls):
            if field.name in values:
                value = values[field.name]
                known[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**known)

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 without labels."""
        return len(self.classes)

    @property
    def limits(self) -> tuple[float, float]:
        """`low` and `high`; 8-bit images' range if unknown."""
        return (0.0, 255.0) if self.low is None or self.high is None else (self.low, self.high)

    @property
    def has_names(self) -> bool:
        """Whether the classes have names rather than just indices."""
        return bool(self.classes) and self.classes != tuple(map(str, range(len(self.classes))))

    @property
    def sizes(self) -> tuple[int, ...]:
        """`shape`, if all inputs have the same.

        Raises:
            InputError: the shape varies.
        """
        sizes = tuple(size for size in self.shape if size is not None)
        if len(sizes) != len(self.shape):
            raise InputError(f"data of shape {list(self.shape)}: must all have one size")
        return sizes

    @property
    def channels(self) -> int:
        """Size of the last axis."""
        return replace(self, shape=self.shape[-1:]).sizes[0]

    def by_channel(self, settings: HasPixels) -> dict[str, Any]:
        """`pixel_mean` and `pixel_std` of a config's group, or the data's, one per channel.

        A dry run, which measures nothing, uses 0 and 1.
        """
        mean, std = self._moments(settings)
        mean = mean if settings.pixel_mean is None else settings.pixel_mean
        std = tuple(v or 1.0 for v in std) if settings.pixel_std is None else settings.pixel_std
        return {"pixel_mean": _short(mean), "pixel_std": _short(std)}

    def over_all(self, settings: HasPixels) -> dict[str, Any]:
        """The same with one number for all channels."""
        mean, std = map(np.array, self._moments(settings))
        middle = float(mean.mean())
        spread = float(np.sqrt(np.maximum((std**2 + mean**2).mean() - middle**2, 0.0)))
        return _told(settings, middle, spread)

    def to_unit(self, settings: HasPixels) -> dict[str, Any]:
        """The same from the data's range, its middle and half its width: maps it onto [-1, 1]."""
        low, high = self.limits
        return _told(settings, (low + high) / 2, (high - low) / 2)

    def _moments(self, settings: HasPixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if self.mean is not None and self.std is not None:
            return self.mean, self.std
        wanted = settings.pixel_mean is None or settings.pixel_std is None
        if wanted and "mean" not in self.guesses:
            raise ValueError("pixel_mean=None: must be given, since the data were not measured")
        return (0.0,), (1.0,)


class HasPixels(Protocol):
    """A config group with the two keys; null uses the data's values."""

    @property
    def pixel_mean(self) -> Any: ...  # noqa: D102

    @property
    def pixel_std(self) -> Any: ...  # noqa: D102


def _told(settings: HasPixels, mean: float, std: float) -> dict[str, Any]:
    return {
        "pixel_mean": mean if settings.pixel_mean is None else settings.pixel_mean,
        "pixel_std": std or 1.0 if settings.pixel_std is None else settings.pixel_std,
    }


def _short(values: float | Sequence[float]) -> Any:
    if isinstance(values, Sequence):
        return values[0] if len(values) == 1 else list(values)
    return values


def epoch_steps(examples: int, batch_size: int, cap: int | None) -> int:
    """Number of whole batches in one pass over the examples, at least 1 and at most `cap`."""
    whole = max(examples // batch_size, 1)
    return min(whole, cap or whole)


def moments(values: np.ndarray) -> dict[str, Any]:
    """`low`, `high`, `mean` and `std` of an `Info`, from all training inputs [N, ..., C]."""
    rows = values.reshape(-1, values.shape[-1])
    low, high = value_range(rows.dtype, rows.min(), rows.max())
    mean = rows.mean(0, dtype=np.float64)
    step = max(1, CHUNK_BYTES // mean.nbytes)
    parts = (rows[i : i + step] for i in range(0, len(rows), step))
    squares = np.sum([((part - mean) ** 2).sum(0) for part in parts], 0)
    std = np.sqrt(squares / len(rows))
    return {"low": low, "high": high, "mean": tuple(mean.tolist()), "std": tuple(std.tolist())}


def value_range(dtype: Any, low: float, high: float) -> tuple[float, float]:
    """The range of inputs whose extremes in the training data are `low` and `high`.

    Integers that reach the upper half of their dtype's range get the whole range, as the brightest
    training pixel of ordinary images is not always 255. Others keep their extremes, e.g. 0 and 16.
    """
    if np.issubdtype(dtype, np.unsignedinteger):
        limit = np.iinfo(dtype).max
        return 0.0, float(limit if high > limit / 2 else high)
    return float(low), float(high)

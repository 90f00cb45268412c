"""Checks a user's inputs to the front end, as the recipe checks its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tfzoo.data import Transitions
from tfzoo.data.control.discrete import check_continuous
from tfzoo.errors import InputError
from tfzoo.typing import Tensor

BORDER = 1e-4
"""How far an action may exceed the limits, relative to their distance, and be clipped."""

_NAMES = {
    "observation": ("observation", "observations", "obs"),
    "action": ("action", "actions"),
    "reward": ("reward", "rewards"),
    "discount": ("discount", "discounts"),
    "next_observation": ("next_observation", "next_observations", "next_obs"),
}
_ENDS = ("terminations", "terminals", "terminated", "terminal")
"""Names in gymnasium's and D4RL's buffers instead of the discount: 1 where an episode
terminates."""


def limited(
    action: np.ndarray, limits: tuple[ArrayLike, ArrayLike], named: str, clip: bool
) -> np.ndarray:
    """Clips actions to the limits: all of them, or those that hardly exceed them.

    Args:
        action: [N, A].
        limits: smallest and largest action, each [A].
        named: the source's name, for messages.
        clip: whether to clip also those far outside.

    Raises:
        InputError: an action is outside the limits.
    """
    low, high = (np.asarray(limit, "float32") for limit in limits)
    room = BORDER * (high - low)
    outside = (action < low - room) | (action > high + room)
    if outside.any() and not clip:
        row, column = np.argwhere(outside)[0]
        raise InputError(
            f"{named}: action {action[row, column]:.6g} of transition {row} must be from "
            f"{low[column]:g} to {high[column]:g}; set action_low and action_high to the task's "
            "limits, or clip_actions=true if the environment clipped them"
        )
    return np.clip(action, low, high)


def transitions_of(dataset: Transitions | Mapping[str, Any]) -> Transitions:
    """Transitions from arrays by name, with all checks except the limits of actions.

    Args:
        dataset: transitions; or arrays under their names, or those of gymnasium's and D4RL's
            buffers (`observations`, `next_observations`, `terminations`, ...).

    Raises:
        InputError: a name is missing, an array has another shape or dtype, actions are discrete,
            discounts are outside [0, 1], or numbers are not finite.
    """
    given = dataset.arrays() if isinstance(dataset, Transitions) else dict(dataset)
    arrays: dict[str, np.ndarray] = {}
    for name, names in _NAMES.items():
        here = next((n for n in names if n in given), None)
        if here is None and name == "discount" and (ends := _ends(given)) is not None:
            arrays[name] = 1.0 - _numbers("terminations", ends)
        elif here is None:
            raise InputError(f"dataset: has no {name}; must have {', '.join(_NAMES)}")
        else:
            arrays[name] = _numbers(name, given[here], raw=name == "action")
    count = len(np.atleast_1d(arrays["reward"]))
    if arrays["action"].ndim == 1 and arrays["action"].dtype.kind in "iub":
        check_continuous(arrays["action"], "dataset")
    for name, array in arrays.items():
        wanted = 1 if name in ("reward", "discount") else 2
        if array.ndim != wanted or len(array) != count or not count:
            raise InputError(
                f"dataset: {name} {list(array.shape)} must have {wanted} axes and "
                f"{count or 'at least 1'} rows"
            )
    check_continuous(arrays["action"], "dataset")
    widths = [arrays[name].shape[1] for name in ("observation", "next_observation")]
    if widths[0] != widths[1]:
        raise InputError(
            f"dataset: next_observation has {widths[1]} numbers, must have {widths[0]}, as "
            "observation has"
        )
    arrays = {name: np.asarray(array, "float32") for name, array in arrays.items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(f"dataset: {name} holds NaN or infinity")
    outside = (arrays["discount"] < 0) | (arrays["discount"] > 1)
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            f"dataset: discount {arrays['discount'][row]:g} of transition {row} must be from 0, "
            "where an episode ends, to 1"
        )
    rows: dict[str, Any] = arrays
    return Transitions(**rows)


def rows_of(name: str, value: Tensor, width: int) -> np.ndarray:
    """A user's rows as finite float32 [B, width].

    Raises:
        InputError: another shape, or non-finite numbers.
    """
    array = np.asarray(_numbers(name, value), "float32")
    if array.ndim != 2 or array.shape[1] != width:
        raise InputError(f"{name}: {list(array.shape)}, must be [B, {width}]")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: holds NaN or infinity")
    return array


def _ends(given: Mapping[str, Any]) -> Any:
    return next((given[name] for name in _ENDS if name in given), None)


def _numbers(name: str, value: Any, raw: bool = False) -> np.ndarray:
    """An array of numbers, with `raw` in its own dtype."""
    if isinstance(value, Mapping):
        raise InputError(
            f"{name}: is a dict of {', '.join(map(str, value))}, must be one array [N, D]; "
            "gymnasium.spaces.flatten or FlattenObservation makes one"
        )
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise InputError(f"{name}: must be one array, its rows have different lengths") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name}: {array.dtype} values, must be numbers")
    return array if raw else array.astype("float32")

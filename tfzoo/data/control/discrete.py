"""Detects and refuses discrete actions."""

from __future__ import annotations

import numpy as np

from tfzoo.errors import InputError


class Continuous:
    """Examines a data set's actions, one part at a time, and finally refuses discrete ones.

    Args:
        named: the data set's name, for the message.
    """

    def __init__(self, named: str):
        self.named = named
        self._numbers = self._one_hot = True
        self._highest = -np.inf

    def see(self, actions: np.ndarray) -> None:
        """Takes actions [n, A] into account.

        Raises:
            InputError: their dtype is integer or boolean.
        """
        if actions.dtype.kind in "iub":
            refuse(self.named, f"{actions.dtype}, indices of discrete actions")
        if not actions.size:
            return
        whole = bool((actions == np.round(actions)).all() and actions.min() >= 0)
        self._numbers &= whole and actions.shape[1] == 1
        ones = (actions == 1).sum(1) == 1
        zeros = (actions == 0).sum(1) == actions.shape[1] - 1
        self._one_hot &= actions.shape[1] > 1 and bool((ones & zeros).all())
        self._highest = max(self._highest, float(actions.max()))

    def end(self) -> None:
        """Refuses the actions if, taken together, they are discrete.

        Raises:
            InputError: a single column of integers from 0 upwards, or one-hot rows.
        """
        if np.isfinite(self._highest) and self._one_hot:
            refuse(self.named, "one-hot, which stands for discrete actions")
        if self._highest >= 1 and self._numbers:
            refuse(self.named, f"whole numbers from 0 to {self._highest:g}, discrete actions")


def check_continuous(actions: np.ndarray, named: str) -> None:
    """Refuses discrete actions [N, A] or [N].

    Raises:
        InputError: integers or one-hot rows; see `Continuous`.
    """
    told = Continuous(named)
    told.see(actions.reshape(len(actions), -1))
    told.end()


def refuse(named: str, what: str) -> None:
    """Raises the error for discrete actions.

    Raises:
        InputError: always.
    """
    raise InputError(f"{named}: actions are {what}; must be continuous, floats on an interval")

"""Recorded episodes as transitions in memory."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfzoo.data import prepare
from tfzoo.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


@dataclass(frozen=True)
class Transitions:
    """Steps (s, a, r, discount, s') in memory, float32.

    Attributes:
        observation: [N, D].
        action: [N, A].
        reward: [N].
        discount: [N], 0 where s' is terminal, 1 otherwise, also at a time limit.
        next_observation: [N, D].
        version: full name of the data set.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    discount: np.ndarray
    next_observation: np.ndarray
    version: str = ""

    def __len__(self) -> int:
        return len(self.reward)

    def arrays(self) -> dict[str, np.ndarray]:
        """The five arrays by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[:-1]}


def transitions(found: tfds.core.DatasetBuilder, split: str = "train") -> Transitions:
    """All transitions of a prepared RLDS builder, in order.

    Never across the border of two episodes. Only a terminal state takes the discount 0: a cut by
    a time limit is no end.

    Raises:
        InputError: another form, no transition, or numbers that are not finite.
    """
    import tensorflow_datasets as tfds

    steps = dict(found.info.features).get("steps")
    if not isinstance(steps, tfds.features.Dataset):
        raise InputError(f"data.name={found.name!r}: must hold episodes of steps (RLDS)")
    whole = prepare.split(found, split).map(
        lambda e: e["steps"].batch(2**31 - 1).get_single_element()
    )
    parts = [_of_episode(episode) for episode in whole.as_numpy_iterator()]
    s, a, reward, discount, after = map(np.concatenate, zip(*parts, strict=True))
    made = Transitions(s, a, reward, discount, after, found.info.full_name)
    if not len(made):
        raise InputError(f"data.name={found.name!r}: must have transitions, has none")
    for name, array in made.arrays().items():
        if not np.isfinite(array).all():
            raise InputError(f"data.name={found.name!r}: {name} holds NaN or infinity")
    return made


def _of_episode(steps: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    kept = ~steps["is_last"][:-1]
    discount = np.where(steps["is_terminal"][1:], 0.0, 1.0)
    arrays = (
        _flat(steps["observation"])[:-1],
        _flat(steps["action"])[:-1],
        steps["reward"][:-1],
        discount,
        _flat(steps["observation"])[1:],
    )
    return tuple(a[kept].astype("float32") for a in arrays)


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)

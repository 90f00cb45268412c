"""Recorded episodes as transitions in memory."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfzoo.data import memory, prepare
from tfzoo.data.control import offline_files
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
        discount: [N], 0 where s' is terminal, otherwise 1, including at a time limit.
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


def transitions(builder: tfds.core.DatasetBuilder, split: str = "train") -> Transitions:
    """All transitions of a prepared RLDS builder, in order.

    Never across the boundary of two episodes. Only a terminal state has discount 0: a time limit
    does not terminate an episode.

    Raises:
        InputError: not RLDS, no transitions, or non-finite numbers.
    """
    import tensorflow_datasets as tfds

    steps = dict(builder.info.features).get("steps")
    if not isinstance(steps, tfds.features.Dataset):
        raise InputError(f"data.name={builder.name!r}: must hold episodes of steps (RLDS)")

    def of_episode(episode: dict[str, Any]) -> tf.data.Dataset:
        whole = episode["steps"].batch(2**31 - 1).get_single_element()
        return tf.data.Dataset.from_tensor_slices(_of_episode(whole))

    rows = prepare.split(builder, split).flat_map(of_episode)
    count = int(rows.reduce(np.int64(0), lambda n, _: n + 1))
    if not count:
        raise InputError(f"data.name={builder.name!r}: must have transitions, has none")
    whole = memory.arrays(rows, count)
    for name, array in whole.items():
        if not np.isfinite(array).all():
            raise InputError(f"data.name={builder.name!r}: {name} holds NaN or infinity")
    return Transitions(**whole, version=builder.info.full_name)


def minari_transitions(dataset: Any) -> Transitions:
    """All transitions of a Minari data set, in order; needs `tfzoo[rl]`.

    Args:
        dataset: a `minari.MinariDataset`, also a filtered one; or the id of a downloaded one.

    Raises:
        InputError: not downloaded, no episodes, discrete actions, or non-finite numbers.
    """
    if isinstance(dataset, str):
        folder = offline_files.located(dataset)
        name, episodes = dataset, offline_files.episodes(folder)
    elif not hasattr(dataset, "spec"):
        raise InputError(f"dataset={dataset!r}: must be a Minari data set or its id")
    else:
        name, episodes = dataset.spec.dataset_id, offline_files.minari_episodes(dataset)
    parts: dict[str, list[np.ndarray]] = {}
    for episode in episodes:
        discount = np.ones(len(episode.rewards))
        discount[-1] = not episode.terminal
        rows = {
            "observation": episode.observations[:-1],
            "action": episode.actions,
            "reward": episode.rewards,
            "discount": discount,
            "next_observation": episode.observations[1:],
        }
        for key, array in rows.items():
            parts.setdefault(key, []).append(np.asarray(array, "float32"))
    return Transitions(**{key: np.concatenate(part) for key, part in parts.items()}, version=name)


def _of_episode(steps: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    kept = ~steps["is_last"][:-1]
    rows = {
        "observation": _flat(steps["observation"])[:-1],
        "action": _flat(steps["action"])[:-1],
        "reward": steps["reward"][:-1],
        "discount": tf.where(steps["is_terminal"][1:], 0.0, 1.0),
        "next_observation": _flat(steps["observation"])[1:],
    }
    return {name: tf.cast(tf.boolean_mask(x, kept), tf.float32) for name, x in rows.items()}


def _flat(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [-1, math.prod(x.shape[1:])])

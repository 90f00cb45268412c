"""Data for offline reinforcement learning: RLDS episodes through TFDS.

`tfzoo_pointmass_offline` and `tfzoo_pendulum_offline`, one config for each mixture of behaviours;
`tfzoo_transitions` reads a user's file; `tfzoo_mujoco/...` reads D4RL-like files written by
`tools/mujoco_sets.py`. TFDS's own `d4rl_*` builders have the same form.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.config import DataConfig
from tfzoo.data.control import offline_files, tasks
from tfzoo.data.control.offline_files import Episode
from tfzoo.data.faults import Faults
from tfzoo.data.user_config import UserConfig
from tfzoo.errors import InputError

MUJOCO = {"hopper": (11, 3), "halfcheetah": (17, 6)}
"""Sizes of an observation and of an action, by task."""
_KINDS = ("random", "medium", "medium_replay", "expert", "medium_expert")


@dataclasses.dataclass
class TransitionsConfig(UserConfig):
    """The user's file, and the sizes of its observations and actions."""

    observations: int = 1
    actions: int = 1
    files: tuple[str, ...] = ()


def source(config: DataConfig) -> TransitionsConfig | None:
    """Reads and checks the user's file, after whose content the builder config is named.

    Raises:
        InputError: no path, no such file, or a wrong format.
    """
    if config.name.split("/")[0] == "tfzoo_mujoco":
        return _mujoco(config)
    if config.name != "tfzoo_transitions":
        return None
    if config.path is None:
        raise InputError(
            "data.path: must be set, to a D4RL-style .npz or .hdf5 file or a Minari data set's "
            "folder or id, for tfzoo_transitions"
        )
    path = offline_files.located(config.path)
    for episode in offline_files.episodes(path, Faults(config.on_error)):  # checks them all
        sizes = episode.observations.shape[1], episode.actions.shape[1]
    return TransitionsConfig(
        name=f"file-{offline_files.fingerprint(path)[:12]}",
        path=path,
        unread=offline_files.unread_arrays(path),
        observations=sizes[0],
        actions=sizes[1],
    )


def mujoco_sizes(name: str) -> tuple[int, int]:
    """Sizes of an observation and of an action of `tfzoo_mujoco/<task>_<kind>`.

    Raises:
        InputError: no such data set.
    """
    task, _, kind = name.removeprefix("tfzoo_mujoco/").partition("_")
    if task not in MUJOCO or kind not in _KINDS:
        sets = ", ".join(f"tfzoo_mujoco/{t}_{k}" for t in MUJOCO for k in _KINDS)
        raise InputError(f"data.name={name!r}: must be one of {sets}")
    return MUJOCO[task]


def _mujoco(config: DataConfig) -> TransitionsConfig:
    sizes = mujoco_sizes(config.name)
    task, _, kind = config.name.removeprefix("tfzoo_mujoco/").partition("_")
    kinds = ("medium", "expert") if kind == "medium_expert" else (kind,)
    names = [f"{task}_{k}.npz" for k in kinds]
    if config.path is None:
        raise InputError(
            f"data.path: must be set, to the folder of {' and '.join(names)}, for {config.name}"
        )
    files = [str(Path(config.path) / name) for name in names]
    for file in files:
        for episode in offline_files.episodes(file, Faults(config.on_error)):  # checks them all
            widths = episode.observations.shape[1], episode.actions.shape[1]
        if widths != sizes:
            raise InputError(
                f"data.path: {file!r} has observations and actions of {widths} numbers, must be of "
                f"{sizes}, as {task} has"
            )
    word = hashlib.sha256("".join(map(offline_files.fingerprint, files)).encode()).hexdigest()
    return TransitionsConfig(
        name=f"{task}_{kind}-v0-{word[:12]}",
        path=config.path,
        observations=sizes[0],
        actions=sizes[1],
        files=tuple(files),
    )


class _Episodes(tfds.core.GeneratorBasedBuilder):
    """RLDS `steps` of an episode; the last has only an observation, its other fields are zeros."""

    VERSION = tfds.core.Version("1.0.0")

    def _form(self, observations: int, actions: int) -> tfds.core.DatasetInfo:
        tensor = tfds.features.Tensor
        steps = {
            "observation": tensor(shape=(observations,), dtype=np.float32),
            "action": tensor(shape=(actions,), dtype=np.float32),
            "reward": tfds.features.Scalar(dtype=np.float32),
            "discount": tfds.features.Scalar(dtype=np.float32),
            "is_first": tfds.features.Scalar(dtype=np.bool_),
            "is_last": tfds.features.Scalar(dtype=np.bool_),
            "is_terminal": tfds.features.Scalar(dtype=np.bool_),
        }
        features = tfds.features.FeaturesDict({"steps": tfds.features.Dataset(steps)})
        return self.dataset_info_from_configs(
            description=self.__doc__, features=features, metadata=tfds.core.MetadataDict()
        )

    def _generate_examples(self, episodes: Iterable[Episode]) -> Iterator[tuple[int, dict]]:
        for i, episode in enumerate(episodes):
            yield i, {"steps": list(episode.steps())}


class _Control(_Episodes):
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in tasks.MIXTURES]
    task: tasks.ControlTask

    def _info(self) -> tfds.core.DatasetInfo:
        return self._form(self.task.observations, self.task.actions)

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        collected = tasks.collect(self.task, self.builder_config.name)
        episodes = [
            Episode(o, a, r, terminal=False)  # all of them end by the time limit
            for o, a, r in zip(
                collected["observations"], collected["actions"], collected["rewards"], strict=True
            )
        ]
        return {"train": self._generate_examples(episodes)}


class TfzooPointmassOffline(_Control):
    """A point mass to be moved to the origin: episodes of 100 steps by fixed behaviours.

    Configs: `random`, `medium`, `expert`, `random_expert`, `medium_expert` (4,000 transitions
    each), `human` (1,000). RLDS form, see `tfzoo.data.control.tasks`. Drawn by a fixed seed.
    """

    name = "tfzoo_pointmass_offline"
    task = tasks.POINT_MASS


class TfzooPendulumOffline(_Control):
    """Gymnasium's pendulum, actions in [-1, 1] and rewards / 10: episodes of 200 steps.

    Configs as for `tfzoo_pointmass_offline`.
    """

    name = "tfzoo_pendulum_offline"
    task = tasks.PENDULUM


class TfzooTransitions(_Episodes):
    """Episodes from a user's D4RL-style file or Minari data set; see `offline_files.episodes`."""

    name = "tfzoo_transitions"
    BUILDER_CONFIGS = [TransitionsConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        return self._form(self.builder_config.observations, self.builder_config.actions)

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        if not self.builder_config.path:
            raise InputError(f"{self.name}: needs files, given by DataConfig.path")
        faults = Faults(self.builder_config.on_error, self.info.metadata.setdefault("skipped", {}))
        files = self.builder_config.files or (self.builder_config.path,)
        episodes = (offline_files.episodes(file, faults) for file in files)
        return {"train": self._generate_examples(itertools.chain.from_iterable(episodes))}


class TfzooMujoco(TfzooTransitions):
    """`tfzoo/<task>_<kind>-v0`: D4RL-like episodes of gymnasium's v5 tasks, not D4RL's own.

    Reads a folder of `.npz` files collected by `tools/mujoco_sets.py` with soft actor-critic:
    hopper and halfcheetah, each `random`, `medium`, `medium_replay`, `expert`, and `medium_expert`,
    which combines two of them.
    """

    name = "tfzoo_mujoco"
    BUILDER_CONFIGS = [TransitionsConfig(name="none")]

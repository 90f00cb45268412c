"""Episodes out of files: D4RL-style arrays (.npz, .hdf5) and Minari's folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.errors import InputError
from tfzoo.files import read_npz
from tfzoo.zoo import digest

KEYS = ("observations", "actions", "rewards", "terminals")
_NAMES = (*KEYS, "timeouts", "next_observations")
_MINARI = Path("data") / "metadata.json"
_MINARI_04 = Path("data") / "main_data.hdf5"  # where Minari 0.4 has everything, 0.5 arrays


@dataclass(frozen=True)
class Episode:
    """One episode of H steps.

    Attributes:
        observations: [H + 1, D], the last is where it ended.
        actions: [H, A].
        rewards: [H].
        terminal: whether the last state is an end, not a time limit's cut.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminal: bool

    def steps(self) -> Iterator[dict[str, Any]]:
        """The H + 1 steps of RLDS."""
        last = len(self.rewards)
        for t in range(last + 1):
            ends = self.terminal and t >= last - 1
            yield {
                "observation": self.observations[t].astype("float32"),
                "action": (self.actions[t] if t < last else 0 * self.actions[0]).astype("float32"),
                "reward": np.float32(self.rewards[t] if t < last else 0),
                "discount": np.float32(0 if ends else 1),
                "is_first": t == 0,
                "is_last": t == last,
                "is_terminal": self.terminal and t == last,
            }


def fingerprint(path: str) -> str:
    """sha256 of the file, or of what lies in a Minari folder."""
    if not Path(path).is_dir():
        return digest(path)
    if (main := Path(path) / _MINARI_04).is_file():
        return digest(main)
    files = sorted(p for p in (Path(path) / "data").rglob("*") if p.is_file())
    lines = "".join(f"{p.relative_to(path)} {digest(p)}\n" for p in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def read(path: str) -> list[Episode]:
    """The episodes of a file or folder.

    D4RL-style arrays: `observations` [N, D], `actions` [N, A], `rewards` [N], `terminals` [N], and
    perhaps `timeouts` [N] and `next_observations` [N, D]. An episode ends at a terminal, at a
    timeout, at the end of the file, and where the next observation is not the next row's. Without
    `next_observations` the state after the last step of an episode is unknown: that step is left
    out, unless it is terminal, where the state does not matter.

    Minari: a data set's folder, as the library reads it (HDF5, Arrow, Parquet). Parts of a `Dict`
    or `Tuple` space lie side by side in the space's order, as `gymnasium.spaces.flatten` has them
    (whole numbers stay numbers). Folders of Minari 0.4 are read without the library.

    Raises:
        InputError: no such file, another form, a missing key, unequal lengths, an empty file,
            numbers that are not finite, or Minari is missing.
    """
    file = Path(path)
    if file.is_dir():
        if (file / _MINARI).is_file():
            return _checked(path, _minari(path))
        if (file / _MINARI_04).is_file():
            return _checked(path, _minari_04(path))
        raise InputError(
            f"data.path={path!r}: has no {_MINARI} or {_MINARI_04.name}; must be a Minari data set"
        )
    if not file.is_file():
        raise InputError(f"data.path={path!r}: no such file")
    if file.suffix not in (".npz", ".hdf5", ".h5"):
        raise InputError(f"data.path={path!r}: must end in .npz, .hdf5 or .h5")
    arrays = read_npz(path, "data.path", _NAMES) if file.suffix == ".npz" else _hdf5(path)
    return _checked(path, _episodes(path, arrays))


def _hdf5(path: str) -> dict[str, np.ndarray]:
    import h5py

    try:
        with h5py.File(path) as file:
            found = {n: file.get(n) for n in _NAMES}
            return {n: _array(x) for n, x in found.items() if isinstance(x, h5py.Dataset)}
    except Exception as error:  # h5py's for damaged files share no base
        raise InputError(f"data.path={path!r}: not readable as HDF5: {error}") from None


def _array(x: Any) -> np.ndarray:
    return np.asarray(x[()])  # a data set may be empty, which h5py gives as no array


def _minari(path: str) -> list[Episode]:
    try:
        from minari import MinariDataset
    except ImportError:
        raise InputError("data.path: Minari's folders need `pip install tfzoo[rl]`") from None
    try:
        told = json.loads((Path(path) / _MINARI).read_text(encoding="utf-8"))
        for key in ("observation_space", "action_space"):
            if key not in told:  # Minari would make the environment that the file names, any code
                raise InputError(f"data.path={path!r}: {_MINARI} has no {key}")
        found = MinariDataset(Path(path) / "data")
        spaces = found.observation_space, found.action_space
        return [
            _minari_episode(
                path,
                f"episode {e.id}",
                observations=_flat(e.observations, spaces[0]),
                actions=_flat(e.actions, spaces[1]),
                rewards=e.rewards,
                terminations=e.terminations,
            )
            for e in found
        ]
    except InputError:
        raise
    except Exception as error:  # pyarrow's, h5py's, json's and Minari's own share no base
        raise InputError(
            f"data.path={path!r}: not readable as a Minari data set: {error}"
        ) from None


def _flat(values: Any, space: Any) -> np.ndarray:
    """Rows [N, D] of a space's values."""
    if isinstance(values, dict):
        parts = [(values[key], part) for key, part in space.spaces.items()]
    elif isinstance(values, tuple):
        parts = list(zip(values, space.spaces, strict=True))
    else:
        return _rows(np.asarray(values))
    return np.concatenate([_flat(*part) for part in parts], 1)


def _minari_04(path: str) -> list[Episode]:
    import h5py

    found = []
    try:
        with h5py.File(Path(path) / _MINARI_04) as opened:
            groups = [g for g in opened if g.startswith("episode_")]
            for name in sorted(groups, key=lambda g: int(g.split("_")[1])):
                arrays = {}
                for key in ("observations", "actions", "rewards", "terminations"):
                    if not isinstance(opened[name].get(key), h5py.Dataset):
                        raise InputError(f"data.path={path!r}: {name} has no array {key}")
                    arrays[key] = _array(opened[name][key])
                found.append(_minari_episode(path, name, **arrays))
    except InputError:
        raise
    except Exception as error:  # h5py's for damaged files share no base
        raise InputError(
            f"data.path={path!r}: not readable as a Minari data set: {error}"
        ) from None
    return found


def _minari_episode(path: str, name: str, **arrays: np.ndarray) -> Episode:
    steps = len(arrays["rewards"])
    for key, wanted in (("observations", steps + 1), ("actions", steps), ("terminations", steps)):
        if len(arrays[key]) != wanted or not steps:
            raise InputError(
                f"data.path={path!r}: {name} has {len(arrays[key])} {key}; must be {wanted} for "
                f"{steps} rewards, at least 1"
            )
    return Episode(
        _rows(arrays["observations"]),
        _rows(arrays["actions"]),
        arrays["rewards"].reshape(steps),
        bool(arrays["terminations"][-1]),
    )


def _episodes(path: str, arrays: dict[str, np.ndarray]) -> list[Episode]:
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        raise InputError(f"data.path={path!r}: has no {missing[0]}; must have {', '.join(KEYS)}")
    for key in arrays:
        if arrays[key].dtype.kind not in "biuf":
            raise InputError(f"data.path={path!r}: {key} are {arrays[key].dtype}; must be numbers")
    count = len(arrays["rewards"]) if arrays["rewards"].ndim else 0
    for key in _NAMES:
        if key in arrays and arrays[key].shape[:1] != (count,):
            raise InputError(
                f"data.path={path!r}: {key} {list(arrays[key].shape)} must have {count} rows, as "
                "rewards have"
            )
    for key in ("rewards", "terminals", "timeouts"):
        if key in arrays and arrays[key].size != count:
            raise InputError(
                f"data.path={path!r}: {key} {list(arrays[key].shape)} must be one a transition"
            )
    if not count:
        raise InputError(f"data.path={path!r}: must have transitions, has none")
    observations, actions = _rows(arrays["observations"]), _rows(arrays["actions"])
    rewards = arrays["rewards"].reshape(count)
    terminals = arrays["terminals"].reshape(count).astype(bool)
    timeouts = arrays.get("timeouts", np.zeros(count, bool)).reshape(count).astype(bool)
    following = arrays.get("next_observations")
    ends = terminals | timeouts
    if following is not None:
        following = _rows(following)
        ends[:-1] |= (following[:-1] != observations[1:]).any(1)
    ends[-1] = True
    found, start = [], 0
    for end in (np.flatnonzero(ends) + 1).tolist():
        rows = slice(start, end)
        start, terminal = end, bool(terminals[end - 1])
        if following is not None:
            last = following[end - 1 : end]
        elif terminal:
            last = observations[end - 1 : end]  # its value is never asked for
        else:
            last, rows = observations[end - 1 : end], slice(rows.start, end - 1)
        if rows.stop > rows.start:
            seen = np.concatenate([observations[rows], last])
            found.append(Episode(seen, actions[rows], rewards[rows], terminal))
    return found


def _rows(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, "float32").reshape(len(x), -1)


def _checked(path: str, episodes: list[Episode]) -> list[Episode]:
    if not episodes:
        raise InputError(f"data.path={path!r}: must have transitions, has none")
    for name in ("observations", "actions", "rewards"):
        widths = {getattr(e, name).shape[1:] for e in episodes}
        if len(widths) > 1:
            raise InputError(f"data.path={path!r}: {name} differ in size between episodes")
        if not all(np.isfinite(getattr(e, name)).all() for e in episodes):
            raise InputError(f"data.path={path!r}: {name} hold NaN or infinity")
    return episodes

"""Reads episodes from files: D4RL-style arrays (.npz, .hdf5) and Minari's folders."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.data.control.discrete import Continuous, refuse
from tfzoo.data.faults import Faults
from tfzoo.data.rows import Archive
from tfzoo.data.synonyms import ROWS, chosen, unread
from tfzoo.errors import InputError, first_line
from tfzoo.zoo import digest

KEYS = ("observations", "actions", "rewards", "terminals")
_WANTED = {
    "observations": ["observations", "obs", "states"],
    "actions": ["actions", "action"],
    "rewards": ["rewards", "reward"],
    "terminals": ["terminals", "terminations", "terminated"],
    "dones": ["dones", "done"],
    "timeouts": ["timeouts", "truncations", "truncated"],
    "next_observations": ["next_observations", "next_obs", "next_states"],
}
_ONES = ("rewards", "terminals", "dones", "timeouts")
_DENSEST = 2000  # deflate expands a byte to at most 1032
_MINARI_ID = re.compile(r"([\w-]+/)*[\w-]+-v\d+")
_MINARI = Path("data") / "metadata.json"
_MINARI_04 = Path("data") / "main_data.hdf5"  # all data of Minari 0.4, the arrays of 0.5


@dataclass(frozen=True)
class Episode:
    """One episode of H steps.

    Attributes:
        observations: [H + 1, D], the last one is the final state.
        actions: [H, A].
        rewards: [H].
        terminal: whether the last state is terminal, not cut off by a time limit.
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


def located(path: str) -> str:
    """The folder of a downloaded Minari data set, if `path` is its id and no file's name."""
    if Path(path).exists() or not _MINARI_ID.fullmatch(path):
        return path
    with contextlib.suppress(ImportError):
        from minari.storage import get_dataset_path

        folder = Path(get_dataset_path(path))
        if (folder / "data").is_dir():
            return str(folder)
    raise InputError(
        f"data.path={path!r}: no such file, and no downloaded Minari data set (to download it: "
        f"`minari download {path}`)"
    )


def fingerprint(path: str) -> str:
    """sha256 of the file, or of a Minari folder's content."""
    if not Path(path).is_dir():
        return digest(path)
    if (main := Path(path) / _MINARI_04).is_file():
        return digest(main)
    files = sorted(p for p in (Path(path) / "data").rglob("*") if p.is_file())
    lines = "".join(f"{p.relative_to(path)} {digest(p)}\n" for p in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def read(path: str) -> list[Episode]:
    """All episodes of a file or folder; see `episodes`."""
    return list(episodes(path))


def episodes(path: str, faults: Faults | None = None) -> Iterator[Episode]:
    """The episodes of a file or folder, one at a time in memory.

    D4RL-style arrays: `observations` [N, D], `actions` [N, A], `rewards` [N], `terminals` [N], and
    optionally `timeouts` [N] and `next_observations` [N, D], also under Gymnasium's names
    (`terminations`, `truncations`, `next_obs`, ...). `dones` count as terminals except at a
    timeout. An episode ends at a terminal, at a timeout, at the end of the file, and where the next
    observation differs from the next row's. Without `next_observations` the state after an
    episode's last step is unknown: that step is dropped, unless it is terminal and the state does
    not matter.

    Minari: a data set's folder, as the library reads it (HDF5, Arrow, Parquet). Parts of a `Dict`
    or `Tuple` space are concatenated in the space's order, as by `gymnasium.spaces.flatten`
    (integers are not one-hot encoded). Folders of Minari 0.4 are read without the library.

    Args:
        path: the file or folder.
        faults: handles episodes that cannot be used; None: raise.

    Raises:
        InputError: no such file, an unknown format, a missing key, unequal lengths, an empty file,
            two names for the same array with different values, non-finite numbers, or Minari is
            missing.
    """
    faults, file = faults or Faults(), Path(path)
    if file.is_dir():
        if (file / _MINARI).is_file():
            return _checked(path, _minari(path), faults)
        if (file / _MINARI_04).is_file():
            return _checked(path, _minari_04(path), faults)
        raise InputError(
            f"data.path={path!r}: has no {_MINARI} or {_MINARI_04.name}; must be a Minari data set"
        )
    return _checked(path, _of_arrays(path), faults)


def minari_episodes(dataset: Any) -> Iterator[Episode]:
    """The episodes of a `minari.MinariDataset`; see `episodes`.

    Raises:
        InputError: actions are discrete, or numbers are not finite.
    """
    named = dataset.spec.dataset_id
    return _checked(named, _of_minari(named, dataset), Faults())


def unread_arrays(path: str) -> tuple[str, ...]:
    """Names of a file's arrays that are not read; none for a Minari data set."""
    if Path(path).is_dir():
        return ()
    with _columns(path) as columns:
        return unread(columns, _WANTED)


@contextlib.contextmanager
def _columns(path: str) -> Iterator[Mapping[str, Any]]:
    """A file's content by name; arrays have `shape`, `dtype` and rows by slices."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"data.path={path!r}: no such file")
    if file.suffix not in (".npz", ".hdf5", ".h5"):
        raise InputError(f"data.path={path!r}: must end in .npz, .hdf5 or .h5")
    if file.suffix == ".npz":
        yield Archive(path)
        return
    import h5py

    try:
        with h5py.File(path) as opened:
            yield opened
    except InputError:
        raise
    except Exception as error:  # h5py's errors for damaged files share no base
        raise InputError(f"data.path={path!r}: not readable as HDF5: {first_line(error)}") from None


def _of_arrays(path: str) -> Iterator[Episode]:
    import h5py

    with _columns(path) as file:
        arrays = file
        if isinstance(file, h5py.File):
            for name in (n for n in KEYS if isinstance(file.get(n), h5py.Group)):
                raise InputError(
                    f"data.path={path!r}: {name} are a dict of {', '.join(file[name])}, must be "
                    "one array [N, D]"
                )
            arrays = {name: x for name, x in file.items() if isinstance(x, h5py.Dataset)}
        yield from _episodes(path, chosen(path, arrays, _WANTED))


def _check_stored(path: str, name: str, x: Any) -> None:
    """Refuses an HDF5 array that declares far more data than the file can hold."""
    import h5py

    if isinstance(x, h5py.Dataset) and x.size and not x.is_virtual and not x.external:
        stored = x.id.get_storage_size()
        if x.nbytes > _DENSEST * stored + 2**20:
            raise InputError(
                f"data.path={path!r}: {name} {list(x.shape)} declares {x.nbytes} bytes, of which "
                f"the file holds {stored}"
            )


def _array(x: Any) -> np.ndarray:
    return np.asarray(x[()])  # for an empty data set h5py returns no array


def _minari(path: str) -> Iterator[Episode]:
    try:
        from minari import MinariDataset
    except ImportError:
        raise InputError("data.path: Minari data sets need `pip install tfzoo[rl]`") from None
    try:
        told = json.loads((Path(path) / _MINARI).read_text(encoding="utf-8"))
        for key in ("observation_space", "action_space"):
            if key not in told:  # Minari would run the environment's code
                raise InputError(f"data.path={path!r}: {_MINARI} has no {key}")
        yield from _of_minari(path, MinariDataset(Path(path) / "data"))
    except InputError:
        raise
    except Exception as error:  # errors of pyarrow, h5py, json and Minari share no base
        raise InputError(
            f"data.path={path!r}: not readable as a Minari data set: {error}"
        ) from None


def _of_minari(path: str, dataset: Any) -> Iterator[Episode]:
    spaces = dataset.observation_space, dataset.action_space
    if (kind := type(spaces[1]).__name__) in ("Discrete", "MultiDiscrete", "MultiBinary"):
        refuse(f"data.path={path!r}", f"of the space {kind}, discrete actions")
    for e in dataset:
        yield _minari_episode(
            path,
            f"episode {e.id}",
            observations=_flat(e.observations, spaces[0]),
            actions=_flat(e.actions, spaces[1]),
            rewards=e.rewards,
            terminations=e.terminations,
        )


def _flat(values: Any, space: Any) -> np.ndarray:
    """The values of a space as rows [N, D]."""
    if isinstance(values, dict):
        parts = [(values[key], part) for key, part in space.spaces.items()]
    elif isinstance(values, tuple):
        parts = list(zip(values, space.spaces, strict=True))
    else:
        return _rows(np.asarray(values))
    return np.concatenate([_flat(*part) for part in parts], 1)


def _minari_04(path: str) -> Iterator[Episode]:
    import h5py

    try:
        with h5py.File(Path(path) / _MINARI_04) as opened:
            groups = [g for g in opened if g.startswith("episode_")]
            for name in sorted(groups, key=lambda g: int(g.split("_")[1])):
                arrays = {}
                for key in ("observations", "actions", "rewards", "terminations"):
                    if isinstance(opened[name].get(key), h5py.Group):
                        raise InputError(
                            f"data.path={path!r}: {key} are a dict of "
                            f"{', '.join(opened[name][key])}; Minari 0.5 reads such data: install "
                            "it, or flatten them"
                        )
                    if not isinstance(opened[name].get(key), h5py.Dataset):
                        raise InputError(f"data.path={path!r}: {name} has no array {key}")
                    arrays[key] = opened[name][key]
                    _check_stored(path, f"{name}/{key}", arrays[key])
                if arrays["actions"].dtype.kind in "iub":
                    kind = arrays["actions"].dtype
                    refuse(f"data.path={path!r}", f"{kind}, indices of discrete actions")
                yield _minari_episode(path, name, **arrays)
    except InputError:
        raise
    except Exception as error:  # h5py's errors for damaged files share no base
        raise InputError(
            f"data.path={path!r}: not readable as a Minari data set: {first_line(error)}"
        ) from None


def _minari_episode(path: str, name: str, **arrays: Any) -> Episode:
    steps = len(arrays["rewards"])
    for key, wanted in (("observations", steps + 1), ("actions", steps), ("terminations", steps)):
        if len(arrays[key]) != wanted or not steps:
            raise InputError(
                f"data.path={path!r}: {name} has {len(arrays[key])} {key}; must be {wanted} for "
                f"{steps} rewards, at least 1"
            )
    arrays = {key: _array(x) for key, x in arrays.items()}  # now that lengths are known to match
    return Episode(
        _rows(arrays["observations"]),
        _rows(arrays["actions"]),
        arrays["rewards"].reshape(steps),
        bool(arrays["terminations"][-1]),
    )


def _episodes(path: str, arrays: dict[str, Any]) -> Iterator[Episode]:
    """Episodes from columns; shapes are compared before any row is read."""
    if "terminals" not in arrays and "dones" in arrays:
        missing = [key for key in KEYS[:3] if key not in arrays]
    else:
        missing = [key for key in KEYS if key not in arrays]
    if missing:
        raise InputError(f"data.path={path!r}: has no {missing[0]}; must have {', '.join(KEYS)}")
    for key, x in arrays.items():
        dtype = np.dtype(object) if x.shape is None else x.dtype  # an empty HDF5 data set
        if dtype.kind not in "biuf":
            raise InputError(f"data.path={path!r}: {key} are {dtype}; must be numbers")
    count = len(arrays["rewards"]) if arrays["rewards"].shape else 0
    for key, x in arrays.items():
        if x.shape[:1] != (count,):
            raise InputError(
                f"data.path={path!r}: {key} {list(x.shape)} must have {count} rows, as rewards has"
            )
        if key in _ONES and x.size != count:
            raise InputError(
                f"data.path={path!r}: {key} {list(x.shape)} must be one number per transition"
            )
        _check_stored(path, key, x)
    widths = [arrays[k].shape[1:] for k in ("observations", "next_observations") if k in arrays]
    if len(set(widths)) > 1:
        raise InputError(
            f"data.path={path!r}: next_observations have {list(widths[1])} numbers, must have "
            f"{list(widths[0])}, as observations have"
        )
    if not count:
        raise InputError(f"data.path={path!r}: must have transitions, has none")
    if arrays["actions"].dtype.kind in "iub":
        refuse(f"data.path={path!r}", f"{arrays['actions'].dtype}, indices of discrete actions")
    terminals, ends = _ends(path, arrays, count)
    observations, actions = arrays["observations"], arrays["actions"]
    following = arrays.get("next_observations")
    start = 0
    for end in (np.flatnonzero(ends) + 1).tolist():
        rows, terminal = slice(start, end), bool(terminals[end - 1])
        start = end
        seen = _rows(observations[rows])
        if following is not None:
            last = _rows(following[end - 1 : end])
        else:
            last = seen[-1:]  # its value is never used for a terminal step
            if not terminal:
                rows, seen = slice(rows.start, end - 1), seen[:-1]
        if rows.stop > rows.start:
            yield Episode(
                np.concatenate([seen, last]),
                _rows(actions[rows]),
                np.asarray(arrays["rewards"][rows]).reshape(-1),
                terminal,
            )


def _ends(path: str, arrays: dict[str, Any], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are terminal, and which end an episode: bool [N] each."""

    def flags(key: str) -> np.ndarray:
        if key not in arrays:
            return np.zeros(count, bool)
        return np.asarray(arrays[key][:count]).reshape(count).astype(bool)

    terminals, timeouts, dones = flags("terminals"), flags("timeouts"), flags("dones")
    if "terminals" not in arrays:
        terminals = dones & ~timeouts
    elif "dones" in arrays and not any(
        np.array_equal(dones, x) for x in (terminals, terminals | timeouts)
    ):
        raise InputError(
            f"data.path={path!r}: dones and terminals differ by more than the timeouts; must agree"
        )
    ends = terminals | timeouts
    ends[-1] = True
    if (following := arrays.get("next_observations")) is not None:
        observations = arrays["observations"]
        for start in range(0, count - 1, ROWS):
            stop = min(start + ROWS, count - 1)
            after = _rows(observations[start : stop + 1])[1:]
            ends[start:stop] |= (_rows(following[start:stop]) != after).any(1)
    return terminals, ends


def _rows(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, "float32").reshape(len(x), -1)


def _checked(path: str, episodes: Iterator[Episode], faults: Faults) -> Iterator[Episode]:
    """The episodes whose numbers are finite; all must have the same sizes."""
    names, widths, count = ("observations", "actions", "rewards"), None, 0
    actions = Continuous(f"data.path={path!r}")
    for i, episode in enumerate(episodes):
        with faults.of(f"{path}: episode {i}"):
            shapes = [getattr(episode, name).shape[1:] for name in names]
            widths = widths or shapes
            for name, one, other in zip(names, widths, shapes, strict=True):
                if one != other:
                    raise InputError(f"data.path={path!r}: {name} differ in size between episodes")
                if not np.isfinite(getattr(episode, name)).all():
                    raise InputError(f"{name} hold NaN or infinity")
            count += 1
            actions.see(episode.actions)
            yield episode
    if not count:
        raise InputError(f"data.path={path!r}: must have transitions, has none")
    actions.end()

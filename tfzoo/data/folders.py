"""A user's folder of files: its splits, drawn where missing, and a name for its state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tfzoo.data.splits import SPLITS, drawn
from tfzoo.errors import InputError

_ALIASES = {"val": "validation"}


def inside(folder: Path) -> list[Path]:
    """A folder's entries that are not hidden, sorted."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def parts(folder: str, layout: str) -> dict[str, Path]:
    """Folders by split if there is a `train`; otherwise the whole folder is the training split.

    Args:
        folder: the user's folder.
        layout: what it must hold, for error messages.

    Raises:
        InputError: no such folder, or a folder beside `train` that is not a split.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"data.path={folder!r}: no such folder")
    if not (root / "train").is_dir():
        return {"train": root}
    folders = {_ALIASES.get(path.name, path.name): path for path in inside(root) if path.is_dir()}
    unknown = sorted(set(folders) - set(SPLITS))
    if unknown:
        raise InputError(
            f"data.path={folder!r}: has {unknown[0]!r} beside 'train'; must hold {layout}"
        )
    return folders


def completed(
    files: dict[str, list[Path]], folder: str, kind: str, layout: str
) -> dict[str, list[Path]]:
    """Files of all splits; missing splits are drawn from train, 10 % each.

    Args:
        files: files by split.
        folder: the user's folder, for error messages.
        kind: what the files are, e.g. `images`, for error messages.
        layout: what it must hold, for error messages.

    Raises:
        InputError: too few training files.
    """
    train = files["train"]
    rows = drawn(len(train), [name for name in SPLITS if name not in files])
    if rows is None:
        raise InputError(
            f"data.path={folder!r}: has {len(train)} training {kind}, too few; must hold {layout}"
        )
    return files | {name: [train[i] for i in part] for name, part in rows.items()}


def state(paths: Iterable[Path], more: str = "") -> str:
    """Twelve hex digits that change with the files' names, sizes and times, and with `more`."""
    told = hashlib.sha256(more.encode())
    for path in paths:
        stat = path.stat()
        told.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return told.hexdigest()[:12]

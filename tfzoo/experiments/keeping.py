"""Caches a study's finished parts, so that repeating an interrupted command resumes it."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tfzoo.experiments.statistics import Row
from tfzoo.files import write_text

T = TypeVar("T")
_PACKAGE = Path(__file__).parent.parent


def kept(folder: Path, name: str, settings: Any, compute: Callable[..., T], *arguments: Any) -> T:
    """The result of `compute`, or its cached result if an earlier command has finished it.

    Args:
        folder: the study's folder; results are cached in `finished/` below it.
        name: name of the part, e.g. its arm and seed.
        settings: everything else that it depends on, compared by `repr`.
        compute: returns rows, arrays, numbers and strings, in lists and in dicts with string keys.
            Cached results of other settings or other code are not used.
        *arguments: arguments of `compute`.
    """
    plain = re.sub(r"[^\w.=-]+", "_", name)
    path = folder / "finished" / f"{plain}.json"
    mark = fingerprint(settings, compute.__module__)
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"), object_hook=_decode)
        if stored["fingerprint"] == mark:
            print(f"{name}: already finished", flush=True)
            return stored["result"]
    result = compute(*arguments)
    write_text(path, json.dumps({"fingerprint": mark, "result": result}, default=_encode))
    return result


def fingerprint(settings: Any, module: str) -> str:
    """A digest of settings, by their `repr`, and of the code of `module`'s method."""
    words = module.split(".")
    method = words[1] if words[0] == "tfzoo" and len(words) > 1 else ""
    return hashlib.sha256(f"{settings!r} {_code(method)}".encode()).hexdigest()


@functools.cache
def _code(method: str) -> str:
    """Digest of the package without other methods; ignores comments, docstrings and formatting."""
    others = {path.parent for path in _PACKAGE.glob("*/recipe.py")} - {_PACKAGE / method}
    state = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        if others.isdisjoint(path.parents):
            tree = ast.parse(path.read_bytes())
            for node in ast.walk(tree):
                body = getattr(node, "body", None)
                if isinstance(body, list):
                    node.body = [part for part in body if not _is_text(part)]  # type: ignore
            state.update(f"{path.relative_to(_PACKAGE)} {ast.dump(tree)}".encode())
    return state.hexdigest()


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _encode(value: Any) -> Any:
    if isinstance(value, Row):
        return {"row of a study": asdict(value)}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__}: cannot be kept as JSON")


def _decode(value: dict[str, Any]) -> Any:
    if value.keys() == {"row of a study"}:
        return Row(**value["row of a study"])
    if value.keys() == {"array", "dtype"}:
        return np.array(value["array"], value["dtype"])
    return value

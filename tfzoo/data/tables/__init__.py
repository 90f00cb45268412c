"""Tabular data: CSV files, arrays, rare classes."""

from __future__ import annotations

import importlib
import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    """The names of the module `tfzoo.data.tables` of 0.1; TFDS is imported with the first."""
    csv = importlib.import_module(f"{__name__}.csv")
    if name.startswith("_") or not hasattr(csv, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"{__name__}.{name} is now {csv.__name__}.{name}; the old name goes away in tfzoo 0.4",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(csv, name)

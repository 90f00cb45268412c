"""On what a number was measured: versions, hardware, commit, date, command."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "tfzoo",
    "tensorflow",
    "keras",
    "jax",
    "numpy",
    "tensorflow-probability",
    "tensorflow-datasets",
    "tf-agents",
)

VARIABLES = ("TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
"""Environment variables that change speed or rounding."""


def environment(seed: int | None = None) -> dict[str, Any]:
    """What a reader needs in order to repeat a run, as plain values for JSON."""
    import keras
    import tensorflow as tf

    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seed": seed,
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": versions_of(*PACKAGES),
        "backend": keras.backend.backend(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "variables": {k: os.environ[k] for k in VARIABLES if k in os.environ},
        "devices": [d.name for d in tf.config.list_physical_devices()],
    }


def columns(made: dict[str, Any]) -> dict[str, Any]:
    """The part of an `environment()` that every row of a CSV file of figures holds."""
    versions = {name: made["versions"].get(name, "") for name in ("tensorflow", "keras")}
    told = {name: made[name] for name in ("date", "commit", "processor", "cores", "python")}
    return told | versions


def versions_of(*packages: str) -> dict[str, str]:
    """Versions of those that are installed."""
    return {name: version for name in packages if (version := _version(name))}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with `+` when it has uncommitted changes; None outside one."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        words = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    """The model and its widest vectors: one name covers several, whose rounding differs."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        widest = [v for v in ("avx512f", "avx2", "avx") if v in told.get("flags", "").split()][:1]
        return ", ".join([told["model name"], *widest])
    except (OSError, KeyError):
        return platform.processor() or platform.machine()

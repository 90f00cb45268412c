"""What tfzoo runs on: supported backends, and the machine behind a measurement."""

from __future__ import annotations

import datetime
import functools
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import keras

from tfzoo.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])


class Limit(NamedTuple):
    """The Keras backends that a part works on, why on no others, and what a message calls it."""

    backends: tuple[str, ...]
    why: str
    name: str = ""


LIMITS: dict[str, Limit] = {}
"""The parts limited by `only_on`, by module and name: which part works on which backend."""


def only_on(*backends: str, why: str, name: str = "") -> Callable[[F], F]:
    """Limits a function or method to some Keras backends; on `__init__` it limits the class.

    Args:
        backends: those of `tensorflow`, `jax` and `torch` that it works on.
        why: ends the message: "which ...".
        name: its name in messages; default: its name in the code.

    Raises:
        InputError: the function is called on another backend; raised before anything else.
    """

    def limit(function: F) -> F:
        LIMITS[f"{function.__module__}.{function.__qualname__}"] = Limit(backends, why, name)

        @functools.wraps(function)
        def limited(*args: Any, **keywords: Any) -> Any:
            if keras.backend.backend() not in backends:
                what = name or _called(function, args)
                raise InputError(
                    f"KERAS_BACKEND={keras.backend.backend()!r}: must be {' or '.join(backends)} "
                    f"for {what}, {why}"
                )
            return function(*args, **keywords)

        return cast(F, limited)

    return limit


def _called(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """`EnergyGAN.fit`, even if a base class defines `fit`; `EnergyGAN` for its `__init__`."""
    if "." not in function.__qualname__:
        return function.__name__
    owner, method = type(args[0]).__name__, function.__name__
    return owner if method == "__init__" else f"{owner}.{method}"


PACKAGES = (
    "tfzoo",
    "tensorflow",
    "keras",
    "jax",
    "numpy",
    "tensorflow-probability",
    "tensorflow-datasets",
    "tf-agents",
    "torch",
    "torchvision",
)

VARIABLES = ("TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
"""Environment variables that affect speed or rounding."""


def environment(seed: int | None = None) -> dict[str, Any]:
    """What is needed to repeat a run, as plain values for JSON."""
    import tensorflow as tf

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": _command(),
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


def columns(machine: dict[str, Any]) -> dict[str, Any]:
    """The part of an `environment()` that goes into every row of a results CSV."""
    versions = {name: machine["versions"].get(name, "") for name in ("tensorflow", "keras")}
    told = {name: machine[name] for name in ("date", "commit", "processor", "cores", "python")}
    return told | versions


def versions_of(*packages: str) -> dict[str, str]:
    """Versions of the packages that are installed."""
    return {name: version for name in packages if (version := _version(name))}


def _command() -> str:
    """The command without the folders of absolute paths, which are of this machine alone."""
    program = Path(sys.argv[0])
    name = "tfzoo" if program.name == "__main__.py" else program.name
    words = [re.sub(r"(?<![\w.~:/])/(?:[^\s/=,]+/)*", "", word) for word in sys.argv[1:]]
    return " ".join([name, *words])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with `+` if it has uncommitted changes; None outside a checkout."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        words = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    """Processor name and widest vector extension, on which its rounding depends."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        widest = [v for v in ("avx512f", "avx2", "avx") if v in told.get("flags", "").split()][:1]
        return ", ".join([told["model name"], *widest])
    except (OSError, KeyError):
        return platform.processor() or platform.machine()

"""Loads tfzoo for the command line: a few light modules at first, all of it when needed.

`import tfzoo` registers every Keras object and so loads TensorFlow, which takes seconds and, before
any setting is read, writes lines to standard error that are not errors.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Iterator

_NOISE = re.compile(
    rb"All log messages before absl::InitializeLog"
    rb"|^I\d{4} [\d:. ]+\S+\.(cc|h):\d+\]"  # informational
    rb"|^\d{4}-\d\d-\d\d [\d:. ]+I "  # the same in TensorFlow's older form
    rb"|^To enable the following instructions: "  # cpu_feature_guard's second line
    rb"|cuInit: .*UNKNOWN ERROR \(303\)"  # no driver is installed
    rb"|Unable to register cu\w+ factory"
    rb"|computation placer already registered"
    rb"|oneDNN supports DT_INT\d+ only on platforms with AVX-512"  # on those platforms, too
    # a parallel map that determinism makes sequential keeps this attribute
    rb"|NodeDef mentions attribute use_unbounded_threadpool which is not in the op definition: "
    rb"Op<name=MapDataset;"
)
"""Messages of TensorFlow that say nothing to a user, on machines with and without a GPU."""


@contextlib.contextmanager
def light_modules() -> Iterator[None]:
    """Makes `tfzoo.zoo` and its imports available without `tfzoo/__init__.py` inside the block.

    After it tfzoo is as if it had never been imported.
    """
    if "tfzoo" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("tfzoo")
    assert spec is not None  # the packages are installed together
    sys.modules["tfzoo"] = importlib.util.module_from_spec(spec)  # with a path but no code run
    try:
        yield
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "tfzoo"]:
            del sys.modules[name]


def load_tfzoo(verbose: bool = False) -> None:
    """Imports tfzoo and lets TensorFlow detect its devices.

    Args:
        verbose: whether to show all of TensorFlow's messages, including those at start-up.
    """
    if "tfzoo" in sys.modules:
        return
    if verbose:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
        import tfzoo  # noqa: F401

        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _filter_noise()
    import tensorflow as tf

    import tfzoo  # noqa: F401

    tf.config.list_physical_devices()


def _filter_noise() -> None:
    """Drops `_NOISE` from file descriptor 2, to which TensorFlow writes, until the program ends.

    A separate process filters the lines, so that the last lines before a crash appear, too. Python
    goes on writing to the original, which may be a terminal.
    """
    if not hasattr(os, "fork"):  # Windows
        return
    try:
        original = os.dup(2)
    except OSError:  # standard error is closed
        return
    sys.stderr.flush()
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(write)
        _copy(read, original)
    os.close(read)
    os.dup2(write, 2)
    os.close(write)
    encoding, errors = sys.stderr.encoding, sys.stderr.errors
    sys.stderr = os.fdopen(original, "w", 1, encoding=encoding, errors=errors)


def _copy(read: int, write: int) -> None:
    """Copies lines until no process holds the pipe's other end, then exits; does nothing else."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the program may go on
            signal.signal(number, signal.SIG_IGN)
        os.dup2(write, 2)  # closes this process's copy of the pipe
        with os.fdopen(read, "rb") as lines:
            for line in lines:
                if not _NOISE.search(line):
                    os.write(write, line)
    finally:
        os._exit(0)

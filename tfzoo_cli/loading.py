"""Loads tfzoo for the command line: a few light modules at first, all of it when needed.

`import tfzoo` registers every Keras object and so loads TensorFlow, which takes seconds and, before
any setting is read, writes lines to standard error that are not errors.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
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
)
"""TensorFlow's start-up messages, on machines with and without a GPU."""


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
    with _without_noise():
        import tensorflow as tf

        import tfzoo  # noqa: F401

        tf.config.list_physical_devices()
        with tf.device("CPU"):  # oneDNN's line on integers comes once, with their first transpose
            tf.function(tf.transpose)(tf.zeros((2, 2), tf.int32))


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Drops `_NOISE` from file descriptor 2; other lines pass at once.

    A separate process filters the lines, so that the last lines before a crash appear, too.
    """
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    try:
        if not hasattr(os, "fork"):  # Windows
            yield
            return
        sys.stderr.flush()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            _filter(read, kept)
        os.close(read)
        os.dup2(write, 2)
        os.close(write)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.waitpid(child, 0)
    finally:
        os.close(kept)


def _filter(read: int, write: int) -> None:
    """Copies lines until the pipe ends, then exits; the process does nothing else."""
    try:
        os.dup2(write, 2)  # the pipe ends when no other process holds its write end
        with os.fdopen(read, "rb") as lines:
            for line in lines:
                if not _NOISE.search(line):
                    os.write(write, line)
    finally:
        os._exit(0)

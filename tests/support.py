"""Helpers for several test files."""

import contextlib
import importlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parent


def slow(value, **keywords):
    """A value of `parametrize` that only `make test-all` tries."""
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.slow, **keywords)


def torch_or_skip(*also):
    """PyTorch as the benches import it; skips the test without it, or without `also`."""
    from tfzoo.experiments import peers

    for name in ("torch", *also):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: extra peers")
    return peers.import_torch()


def load_module(path):
    """A helper file of the tests, as a module."""
    name = str(path).replace("/", "_").removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, TESTS / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared(name):
    """The values called `name` in `tests/<method>/cases.py`, by method."""
    modules = {p.parent.name: load_module(p.relative_to(TESTS)) for p in TESTS.glob("*/cases.py")}
    return {k: getattr(m, name) for k, m in sorted(modules.items()) if hasattr(m, name)}


def load_cases():
    """`CASES` of every `tests/<method>/cases.py`, by registered name."""
    return {
        f"tfzoo.{method}>{name}": case
        for method, cases in declared("CASES").items()
        for name, case in cases.items()
    }


def start(*words, program="toy_cli.py", env=None, **keywords):
    """Starts the command line, with the toy recipe registered, in a separate process."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(env or {})}
    return subprocess.Popen(
        [sys.executable, str(TESTS / program), *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **keywords,
    )


def command(*words, env=None, timeout=240, **keywords):
    """Runs Python with these arguments: (exit status, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **keywords,
    )
    return done.returncode, done.stdout, done.stderr


def run(*words, timeout=240, **keywords):
    """Runs the command line to its end: (exit status, stdout, stderr)."""
    process = start(*words, **keywords)
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def here(*words):
    """Runs the command line in this process, with the toy recipe: (exit status, stdout, stderr)."""
    import toy  # noqa: F401  registers it
    from tfzoo_cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return status, out.getvalue(), err.getvalue()


def whole(folder):
    """Whatever has its final name below a folder is complete."""
    import keras
    import tensorflow as tf

    for path in folder.rglob("*.keras"):
        if not path.name.startswith("."):
            assert zipfile.ZipFile(path).testzip() is None
            keras.models.load_model(path, compile=False)
    for path in folder.rglob("[0-9]*.npz"):
        with np.load(path, allow_pickle=False) as archive:
            assert all(archive[name] is not None for name in archive.files)
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    for path in folder.rglob("saved_model.pb"):
        if path.parent.name.isdigit():
            tf.saved_model.load(str(path.parent))


class LocalWorker:
    """Replaces `Worker` in the test's own process; memory is not measured."""

    alive = True

    def ask(self, kind, *arguments, time_limit=None):
        """Responds like the worker's process."""
        if kind == "build":
            module, function = arguments[0].split(":")
            self._step = getattr(importlib.import_module(module), function)(**arguments[1])
            return self._step()
        if kind == "time":
            start = time.perf_counter()
            self._step()
            return time.perf_counter() - start
        return 0

    def another(self):
        return self

    def close(self):
        pass

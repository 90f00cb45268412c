"""Fixtures for all tests."""

import contextlib
import os
import resource
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# the workers share the cores: small tests do not benefit from threads that wait for each other
for _threads in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

# XLA compiles the same programs without LLVM's passes, since a test runs each only once or twice
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import pytest  # noqa: E402

from forked import ForkedFiles  # noqa: E402
from support import LocalWorker  # noqa: E402


def pytest_configure(config):
    """Prepared data go to a folder of the test run, never to the user's."""
    folder = tempfile.TemporaryDirectory(prefix="tfzoo-tests-")
    os.environ["TFDS_DATA_DIR"] = folder.name
    config.add_cleanup(folder.cleanup)
    if hasattr(config, "workerinput") and sys.platform == "linux":
        config.pluginmanager.register(ForkedFiles())


@pytest.fixture(autouse=True)
def _plain_keras():
    """Every test starts seeded and in float32, and leaves float32 for the next module's
    fixtures."""
    import keras  # here, since the process that hands tests to workers runs none

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def local_workers(monkeypatch):
    """Benches measure in this process: starting workers is tested once, in `test_bench.py`."""

    from tfzoo.experiments import bench

    @contextlib.contextmanager
    def workers(names, **limits):
        yield {name: LocalWorker() for name in names}

    monkeypatch.setattr(bench, "workers", workers)


def _peak_gb() -> float:
    """Peak memory of the largest process: this one, or a child that ran a file's tests."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) / 2**20


START, PEAKS = time.monotonic(), {}


def pytest_sessionfinish(session):
    """A pytest-xdist worker reports its peak."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["peak_gb"] = _peak_gb()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """The controller receives it."""
    PEAKS[node.gateway.id] = getattr(node, "workeroutput", {}).get("peak_gb", float("nan"))


def pytest_terminal_summary(terminalreporter):
    """Reports time and peak memory, which README and `make test` promise to keep small."""
    peaks = PEAKS or {"this process": _peak_gb()}
    said = ", ".join(f"{name} {peak:.1f} GB" for name, peak in sorted(peaks.items()))
    minutes = (time.monotonic() - START) / 60
    terminalreporter.write_line(f"{minutes:.1f} minutes; peak memory: {said}")

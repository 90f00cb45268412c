"""The suite's own workers: one process per file, and a test that kills its process."""

import sys

import pytest

from support import TESTS, command

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files are forked on Linux")

CONFTEST = """
import forked

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(forked.ForkedFiles())
"""
NOTE = """
import os, pathlib, pytest

@pytest.fixture(scope="module")
def module():
    yield
    pathlib.Path(__file__).with_suffix(".torn").touch()

@pytest.mark.parametrize("n", range(3))
def test_note(module, n):
    with pathlib.Path(__file__).with_suffix(".pids").open("a") as file:
        print(os.getpid(), os.getppid(), file=file)
    assert n != 1, "the second"
"""
DIES = """
import os

def test_before(): pass
def test_dies(): os.abort()
def test_after(): pass
"""


def test_a_process_a_file(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name, text in {"a": NOTE, "b": NOTE, "c": DIES}.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    words = ["-m", "pytest", "-ra", "-n", "1", "--dist", "loadfile", "-p", "no:cacheprovider"]
    status, out, err = command(*words, env={"PYTHONPATH": str(TESTS)}, cwd=tmp_path)
    assert status == 1, out + err
    assert "FAILED test_c.py::test_dies - the file's process ended with exit status -6" in out
    assert "3 failed, 6 passed" in out and out.count("AssertionError: the second") >= 2
    processes = [(tmp_path / f"test_{name}.pids").read_text().split("\n")[:-1] for name in "ab"]
    assert [len(p) for p in processes] == [3, 3] and [len(set(p)) for p in processes] == [1, 1]
    assert processes[0][0] != processes[1][0]
    assert (tmp_path / "test_a.torn").exists() and (tmp_path / "test_b.torn").exists()

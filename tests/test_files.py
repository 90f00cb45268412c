"""Files that appear complete or not at all, and locks."""

import os
import subprocess
import sys
import threading
import time

import pytest

from support import command
from tfzoo import files

HOLD = "import sys, time, tfzoo.files as f\nwith f.locked(sys.argv[1]):\n print(1, flush=True)\n"
HOLD += " time.sleep(60)"


@pytest.fixture
def held(tmp_path):
    """A lock file, and the process that holds it."""
    path = tmp_path / ".lock"
    words = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "1\n"
    yield path, process
    process.kill()
    process.communicate()


def test_a_lock_ends_with_its_process_however_that_ends(held):
    path, process = held
    with pytest.raises(BlockingIOError), files.locked(path):
        pass
    process.kill()
    process.wait()
    for _ in range(2):
        with files.locked(path):
            pass


def test_waiting_for_a_lock(held):
    path, process = held
    begun = time.monotonic()
    timer = threading.Timer(0.5, process.kill)
    timer.start()
    with files.locked(path, wait=True):
        assert time.monotonic() - begun > 0.4
    timer.join()


def test_a_thread_is_turned_away_too(tmp_path):
    said = []

    def take():
        try:
            with files.locked(tmp_path / ".lock"):
                said.append("taken")
        except BlockingIOError:
            said.append("held")

    with files.locked(tmp_path / ".lock"):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    take()
    assert said == ["held", "taken"]


def test_a_lock_that_cannot_be_written(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError), files.locked(tmp_path / "a" / ".lock"):
        pass


def test_files_have_the_mode_of_the_umask_and_it_stays_untouched(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", None)  # a change would show in other threads
            files.write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_two_writers_write_aside_each_in_a_file_of_its_own(tmp_path):
    with files.replacing(tmp_path / "a.txt") as one, files.replacing(tmp_path / "a.txt") as two:
        assert one != two and {one.suffix, two.suffix} == {".txt"}
        assert one.parent == two.parent == tmp_path and one.name.startswith(".a-")
        one.write_text("one")
        two.write_text("two")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "one"


def test_nothing_is_left_of_what_fails(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(KeyError), files.replacing(tmp_path / "a.txt") as aside:
        aside.write_text("half")
        raise KeyError
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


KILLED = """
import os, sys, pathlib, tfzoo.files as f
with f.replacing(sys.argv[1]) as file, f.aside(pathlib.Path(sys.argv[2])) as folder:
    file.write_text("half")
    (folder / "part").mkdir(parents=True)
    os.kill(os.getpid(), 9)
"""


def test_what_killed_ones_left_goes_when_the_next_begins(tmp_path):
    """By its lock: process id and host name are not reliable."""
    command("-c", KILLED, tmp_path / "a.txt", tmp_path / "b")
    assert len(list(tmp_path.iterdir())) == 4, "two leftovers, two locks"
    (tmp_path / ".kept-0000000.lock").touch()  # not ours
    with files.aside(tmp_path / "c") as alive:
        alive.mkdir()
        files.write_text(tmp_path / "d.txt", "whole")
        assert alive.is_dir(), "its maker lives"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".kept-0000000.lock", "d.txt"]


def test_a_users_path_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    files.write_text("~/a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"


def test_windows_opens_no_folder(tmp_path, monkeypatch):
    """On Windows `os.open` of a folder fails, and a file opened for reading cannot be flushed."""
    opened, real = [], os.open
    (tmp_path / "a").touch()
    monkeypatch.setattr(files.sys, "platform", "win32")
    monkeypatch.setattr(os, "open", lambda p, flags: opened.append((p, flags)) or real(p, flags))
    files.sync(tmp_path)
    files.sync(tmp_path / "a")
    assert opened == [(tmp_path / "a", os.O_RDWR)]


@pytest.mark.slow
def test_it_imports_without_fcntl():
    code = "import sys; sys.modules['fcntl'] = None; import tfzoo.files, tfzoo.runner"
    status, _, err = command("-c", code)
    assert status == 0, err[-2000:]

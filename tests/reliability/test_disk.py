"""A full or unwritable disk: one line, nothing half-written, and resuming works."""

import subprocess

import keras
import numpy as np
import pytest

from support import run, whole

pytestmark = pytest.mark.slow
TRAIN = ["train", "aft/digits", "epochs=2", "save_every=10", "--no-export", "--run-dir"]


def mount(folder, options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)


@pytest.fixture(params=["1m"])
def small_disk(request, tmp_path):
    """A separate 1 MB file system; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount(folder, f"size={request.param}")
    except (subprocess.CalledProcessError, OSError):
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("small_disk", ["4k", "8k", "1m"], indirect=True)
def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_with_more(small_disk, tmp_path):
    status, _, err = run(*TRAIN, small_disk / "run")
    said = [line for line in err.splitlines() if line.startswith("tfzoo: ")]
    assert status == 1 and len(said) == 1 and "No space left" in said[0], err[-2000:]
    assert "Traceback" not in err and str(small_disk / "run") in said[0]
    whole(small_disk)
    mount(small_disk, "remount,size=100m")
    for folder in (small_disk / "run", tmp_path / "whole"):
        status, _, err = run(*TRAIN, folder)
        assert status == 0, err[-2000:]
    a, b = (
        keras.models.load_model(f / "model.keras", compile=False)
        for f in (small_disk / "run", tmp_path / "whole")
    )
    for v, w in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(v, w)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(small_disk):
    mount(small_disk, "remount,ro")
    status, _, err = run(*TRAIN, small_disk / "run")
    said = [line for line in err.splitlines() if line.startswith("tfzoo: ")]
    assert status == 1 and len(said) == 1 and "Read-only" in said[0], err[-2000:]
    assert "Traceback" not in err and not list(small_disk.iterdir())

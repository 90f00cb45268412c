"""Runs survive interruption: a resumed one has exactly the weights of an uninterrupted one."""

import json
import os
import random
import shutil
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import toy
from support import here, run, slow, start
from tfzoo import runner


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    path.write_text("task: toy.regression\nepochs: 3\nbatch_size: 4\nsave_every: 2\n")
    return path


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    status, out, err = here("train", recipe, "--run-dir", folder)
    assert status == 0, err
    return folder


def weights(folder):
    model = keras.models.load_model(folder / "model.keras")
    return [keras.ops.convert_to_numpy(v) for v in model.weights]


def final_state(folder):
    """Weights, optimizer, metrics and seed generators (which a .keras file leaves out)."""
    with np.load(max((folder / "backup").glob("*.npz"))) as archive:
        return {name: archive[name] for name in archive.files}


def assert_same_state(a, b):
    x, y = final_state(a), final_state(b)
    assert x.keys() == y.keys() and any("seed" in name for name in x)
    for name in x:
        np.testing.assert_array_equal(x[name], y[name], err_msg=name)
    for v, w in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(v, w)


def test_what_data_draw_does_not_change_a_run(recipe, tmp_path, monkeypatch):
    """TFDS draws random numbers when it prepares a data set, which it does only the first time."""
    resolved = runner.resolve(str(recipe), ["epochs=1", "deterministic=false"])
    plain = toy.Toy.datasets

    def drawing(self, config):
        random.random()
        np.random.rand()
        return plain(self, config)

    runner.run_recipe(resolved, tmp_path / "later", export=False)
    monkeypatch.setattr(toy.Toy, "datasets", drawing)
    runner.run_recipe(resolved, tmp_path / "first", export=False)
    for a, b in zip(weights(tmp_path / "later"), weights(tmp_path / "first"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_leaves_what_it_promises(whole):
    names = {p.name for p in whole.iterdir()}
    assert names == {
        "config.yaml", "environment.json", "log.csv", "tensorboard", "backup",
        "model.keras", "metrics.json", "export", ".lock",
    }  # fmt: skip
    assert json.loads((whole / "environment.json").read_text())["versions"]["keras"]
    rows = (whole / "log.csv").read_text().splitlines()
    assert len(rows) == 4 and rows[0].startswith("epoch,step,") and rows[3].startswith("3,24,")
    assert (whole / "export" / "toy" / "1" / "saved_model.pb").is_file()


def test_a_finished_run_says_so_and_trains_no_more(whole, recipe):
    before = (whole / "model.keras").stat().st_mtime_ns
    status, _, err = here("train", recipe, "--run-dir", whole)
    assert status == 0 and "already finished" in err
    assert (whole / "model.keras").stat().st_mtime_ns == before


def test_another_config_is_refused(whole, recipe):
    status, _, err = here("train", recipe, "seed=1", "--run-dir", whole)
    assert status == 2 and "seed: 0 there, seed: 1 here" in err and "Traceback" not in err


def test_a_run_of_an_earlier_version_is_known_again(whole, recipe, tmp_path):
    """It lacks a key added later, or has a removed one."""
    for name in ("config.yaml", "metrics.json"):
        shutil.copy(whole / name, tmp_path)
    config = tmp_path / "config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith("jit_compile")))
    status, _, err = here("train", recipe, "--run-dir", tmp_path)
    assert status == 0 and "already finished" in err
    config.write_text("".join(lines) + "rounds: 3\n")
    status, _, err = here("train", recipe, "--run-dir", tmp_path)
    assert status == 2 and "rounds: no such key" in err


def begun(recipe, folder):
    """A training that has written a checkpoint and is in the middle of an epoch."""
    process = start("train", recipe, "--run-dir", folder, env={"TOY_PAUSE": "0.1"})
    deadline = time.monotonic() + 120
    while not (folder / "backup" / "0000000010.npz").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("name", ["SIGTERM", slow("SIGKILL"), slow("SIGINT")])
def test_an_interrupted_run_ends_with_the_same_weights(name, whole, recipe, tmp_path):
    folder = tmp_path / "run"
    process = begun(recipe, folder)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=60)
    if name == "SIGKILL":
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + getattr(signal, name), err
        assert "the same command resumes" in err
    assert not (folder / "model.keras").exists()
    status, _, err = here("train", recipe, "--run-dir", folder)
    assert status == 0, err
    assert "resuming after step" in err
    assert_same_state(folder, whole)
    assert (folder / "log.csv").read_text() == (whole / "log.csv").read_text()


@pytest.mark.slow
def test_a_clock_that_goes_backwards(whole, recipe, tmp_path):
    process = begun(recipe, tmp_path)
    process.kill()
    process.communicate()
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for i, path in enumerate(files):  # the newest looks oldest, and all are in the future
        os.utime(path, (time.time() + 10_000 - i,) * 2)
    status, _, err = run("train", recipe, "--run-dir", tmp_path, env={"TOY_CLOCK": "-86400"})
    assert status == 0 and "resuming after step 10" in err, err
    assert_same_state(tmp_path, whole)
    assert (tmp_path / "log.csv").read_text() == (whole / "log.csv").read_text()
    again = ["export", tmp_path, "--output", next((tmp_path / "export").iterdir())]
    status, _, err = run(*again, env={"TOY_CLOCK": "-864000"})
    assert status == 0, err
    assert {p.name for p in (tmp_path / "export").glob("*/*")} == {"1", "2"}


def test_a_second_process_is_turned_away(whole, recipe, tmp_path):
    first = start("train", recipe, "--run-dir", tmp_path, "--no-export", env={"TOY_PAUSE": "1"})
    deadline = time.monotonic() + 120
    while not (tmp_path / "config.yaml").exists():
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()[1]
        time.sleep(0.01)
    status, _, err = here("train", recipe, "--run-dir", tmp_path)
    first.kill()
    first.communicate()
    assert status == 2 and "in use by another process" in err
    status, _, err = here("train", recipe, "--run-dir", tmp_path, "--no-export")  # none now
    assert status == 0, err
    assert_same_state(tmp_path, whole)


def test_a_diverging_run_names_the_step_and_keeps_the_last_good_state(recipe, tmp_path):
    folder = tmp_path / "run"
    words = ["train", recipe, "explode=true", "save_every=1", "--run-dir", folder]
    status, _, err = here(*words)
    assert status == 1 and "Traceback" not in err
    assert "step " in err and ("loss is" in err or "NaN" in err)
    for path in (folder / "backup").glob("*.npz"):
        with np.load(path) as archive:
            assert all(np.isfinite(archive[n]).all() for n in archive.files)
    assert not (folder / "model.keras").exists()


def test_a_disk_too_full_for_tensorboard_is_named(recipe, tmp_path, monkeypatch):
    """It is written by TensorFlow, which raises its own error."""

    def full(folder, **_):
        raise tf.errors.ResourceExhaustedError(None, None, f"{folder}/x; No space left on device")

    monkeypatch.setattr(keras.callbacks, "TensorBoard", full)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/run'"):
        runner.run_recipe(runner.resolve(str(recipe)), tmp_path / "run")


def test_dropout_differs_between_seeds(recipe, whole, tmp_path):
    status, _, err = here("train", recipe, "seed=1", "--run-dir", tmp_path / "run", "--no-export")
    assert status == 0, err
    assert not np.array_equal(weights(tmp_path / "run")[0], weights(whole)[0])
    assert not (tmp_path / "run" / "export").exists()

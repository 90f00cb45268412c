"""Commands killed at random times and repeated end as if nothing had happened."""

import csv
import json
import random
import subprocess
import time

import keras
import numpy as np
import pytest

from support import run, start, whole

pytestmark = pytest.mark.slow
TRAININGS = {
    "aft": ["aft/digits", "epochs=3", "save_every=5"],
    "metricopt": ["metricopt/digits_mcr", "save_every=20"],
    "ala": ["ala/digits", "epochs=2", "ala.warmup_steps=3", "ala.steps_per_action=5"],
    "uwac": ["uwac/pointmass", "epochs=2", "steps_per_epoch=60", "save_every=50"],
}
UWAC = ["steps_per_epoch=20", "epochs=2", "agent.hidden=[4]", "agent.vae_units=4"]
STUDY = ["study", "uwac", "--seeds", "0", "--data", "pointmass/human", *UWAC]
STUDY += ["evaluation_episodes=2", "agent.n_action_samples=2"]
KILLS = {"train": 10, "study": 5, "export": 5}


def killed(words, root, times, seconds):
    """Repeats a command until it has been killed `times` times, at times drawn by a fixed seed.

    The command's last argument is a folder below `root`; a finished command gets a new one.

    Returns:
        The folders, in each of which the command finished.
    """
    rng, count, folders = random.Random(0), 0, [root / "0"]
    while count < times:
        process = start(*words, folders[-1])
        try:
            process.communicate(timeout=rng.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            count += 1
            whole(root)
        else:
            assert process.returncode == 0
            folders.append(root / str(len(folders)))
    timed(*words, folders[-1])
    whole(root)
    return folders


def timed(*words):
    begun = time.monotonic()
    status, _, err = run(*words, timeout=600)
    assert status == 0, err[-3000:]
    return time.monotonic() - begun


@pytest.mark.parametrize("method", TRAININGS)
def test_trainings(method, tmp_path):
    words, once = ["train", *TRAININGS[method], "--run-dir"], tmp_path / "once"
    seconds = timed(*words, once)
    for folder in killed(words, tmp_path / "cut", KILLS["train"], seconds):
        a, b = (keras.models.load_model(f / "model.keras", compile=False) for f in (once, folder))
        for v, w in zip(a.weights, b.weights, strict=True):
            np.testing.assert_array_equal(v, w, err_msg=v.path)
        first, second = (json.loads((f / "metrics.json").read_text()) for f in (once, folder))
        assert first == second


def rows(folder):
    with (folder / "pointmass-human" / "results.csv").open() as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


def test_a_study(tmp_path):
    words, once = [*STUDY, "--output"], tmp_path / "once"
    seconds = timed(*words, once)
    assert len(rows(once)) > 1
    for folder in killed(words, tmp_path / "cut", KILLS["study"], seconds):
        assert rows(folder) == rows(once)


def test_an_export(tmp_path):
    words = ["export", "aft/digits", "--output"]
    seconds = timed(*words, tmp_path / "once")
    for folder in killed(words, tmp_path / "cut", KILLS["export"], seconds):
        # leftovers of a killed one are removed
        assert [p for p in folder.iterdir() if not p.name.isdigit()] == []

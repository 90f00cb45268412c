"""Several devices and several processes end with the weights of one device."""

import json
import socket

import keras
import numpy as np
import pytest

from support import run, start

TEXT = "task: toy.regression\nepochs: 2\nbatch_size: 8\ndropout: 0.0\n"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def single(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("single") / "run"
    status, _, err = run("train", recipe, "--run-dir", folder, "--no-export")
    assert status == 0, err
    return folder


def assert_same(folder, single):
    a, b = (keras.models.load_model(f / "model.keras") for f in (folder, single))
    for x, y in zip(a.variables, b.variables, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    logs = [np.genfromtxt(f / "log.csv", delimiter=",", names=True) for f in (folder, single)]
    for name in ("loss", "mae", "val_loss"):  # global, not one worker's share
        np.testing.assert_allclose(logs[0][name], logs[1][name], rtol=1e-5)


def test_mirrored_over_two_devices(recipe, single, tmp_path):
    words = ["train", recipe, "distribute=mirrored", "--run-dir", tmp_path, "--no-export"]
    status, _, err = run(*words, env={"TOY_DEVICES": "2"})
    assert status == 0, err
    assert_same(tmp_path, single)


def test_an_indivisible_batch_is_refused(recipe, tmp_path):
    words = ["train", recipe, "distribute=mirrored", "batch_size=9", "--run-dir", tmp_path]
    status, _, err = run(*words, env={"TOY_DEVICES": "2"})
    assert status == 2 and "batch_size=9" in err and "2 devices" in err


def test_multi_worker_over_two_processes(recipe, single, tmp_path):
    addresses = [f"127.0.0.1:{_free_port()}" for _ in range(2)]
    folder = tmp_path / "run"
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        words = ["train", recipe, "distribute=multi_worker", "--run-dir", folder, "--no-export"]
        processes.append(start(*words, env={"TF_CONFIG": json.dumps(cluster)}))
    for process in processes:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err[-3000:]
    assert_same(folder, single)


def test_multi_worker_needs_tf_config(recipe, tmp_path):
    words = ["train", recipe, "distribute=multi_worker", "--run-dir", tmp_path]
    status, _, err = run(*words)
    assert status == 2 and "TF_CONFIG" in err


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

"""Several devices and several processes end with the weights of one device."""

import contextlib
import json
import socket
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from support import TESTS, command, declared, here, run, slow, start
from tfzoo import registry, runner
from tfzoo.errors import InputError
from tfzoo.training.distribute import make_strategy

TEXT = "task: toy.regression\nepochs: 2\nbatch_size: 8\ndropout: 0.0\n"
DIGITS = ["epochs=1", "model.width=2", "model.latent=3", "readout.method=hinge"]
SETS = ["epochs=1", "batch_size=8", "steps_per_epoch=3", "set_size=2", "model.code_dim=8"]
CLIPS = ["epochs=1", "steps_per_epoch=2", "batch_size=4", "model.width=2", "finetune.clips=1"]
DESCENT = ["finetune.epochs=1", "optimizer.method=sgd", "finetune.optimizer.method=sgd"]
WINDOWS = ["ala.warmup_steps=2", "ala.steps_per_action=3"]
RECIPES = {
    "toy": [],
    "aft/digits": ["epochs=1", "model.dim=16", "model.depth=1", "model.dropout=0.0"],
    "afv/digits": [*DIGITS, "readout.epochs=1", "readout.samples=64"],
    "sdn/shapes": [*SETS, "model.width=8", "model.preset=mlp", "voxel_net=null"],
    "skipclip/motions": [*CLIPS, "finetune.mode=full", "finetune.labels=1", *DESCENT],
    "collegial/digits": ["epochs=1", "steps_per_epoch=4"],
    "ala/digits": ["epochs=2", "steps_per_epoch=6", "ala.children=1", *WINDOWS],
}


@pytest.fixture(scope="module", params=[slow(n) if n != "toy" else n for n in RECIPES])
def words(request, tmp_path_factory):
    """Creates the command that trains into a folder."""
    name = request.param
    if name == "toy":
        name = tmp_path_factory.mktemp("recipe") / "toy.yaml"
        name.write_text(TEXT)

    def given(folder, distribute="none"):
        overrides = [*RECIPES[request.param], f"distribute={distribute}"]
        return ["train", name, *overrides, "--no-export", "--run-dir", folder]

    return given


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def single(words, tmp_path_factory):
    folder = tmp_path_factory.mktemp("single") / "run"
    status, _, err = here(*words(folder))
    assert status == 0, err
    return folder


def assert_same(folder, single):
    """Up to rounding, which Adam's first steps amplify where a gradient is 0."""
    loose = 1e-5 if "toy" in (single / "config.yaml").read_text() else 1e-3
    for path in single.glob("*.keras"):
        pair = [keras.models.load_model(f / path.name) for f in (folder, single)]
        a, b = (np.concatenate([np.ravel(w) for w in m.get_weights()]) for m in pair)
        assert np.linalg.norm(a - b) <= loose * np.linalg.norm(b), path.name
    for path in single.glob("log*.csv"):
        logs = [np.genfromtxt(f / path.name, delimiter=",", names=True) for f in (folder, single)]
        for name in logs[1].dtype.names:  # global, not one worker's share
            if "loss" in name or name == "mae":
                np.testing.assert_allclose(logs[0][name], logs[1][name], rtol=loose, err_msg=name)


def test_mirrored_over_two_devices(words, single, tmp_path):
    status, _, err = run(*words(tmp_path, "mirrored"), env={"TOY_DEVICES": "2"})
    assert status == 0, err
    assert_same(tmp_path, single)


@pytest.mark.slow
def test_tasks_without_a_recipe_above_end_with_the_weights_of_one_device(tmp_path):
    program = TESTS / "training" / "mirrored_child.py"
    status, out, err = command(program, tmp_path, timeout=1200)
    assert status == 0, err[-3000:]
    gaps = json.loads(out.splitlines()[-1])
    assert {name: gap for name, gap in gaps.items() if gap > 1e-5} == {}
    mine = {runner.resolve(name, RECIPES[name]).config.task for name in RECIPES if name != "toy"}
    rest = set(registry.tasks()) - mine - set(gaps) - {"toy.regression"}
    # celeb_a, which is not available, trains like `ala.images`
    assert {t for t in rest if t not in REFUSED} == {"ala.attribute"}


REFUSED = {
    "ala.retrieval",
    "bottleneck.network",
    "metricopt.images",
    "metricopt.retrieval",
    "metricopt.table",
    "recon3d.occupancy",
    "uwac.offline",
}


@pytest.mark.parametrize("task", sorted(REFUSED))
def test_a_task_of_one_device_says_why(task):
    recipe = registry.get_task(task)()
    config = SimpleNamespace(ala=SimpleNamespace(children=1))
    assert recipe.one_device(config).startswith("since ")


SMALL = dict(declared("SMALL_RUN").values())


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_is_compared_on_two_devices_or_says_why_it_cannot(name):
    """The refusal comes before any work."""
    with contextlib.suppress(InputError):
        runner.resolve(name, [*SMALL[name], "distribute=mirrored"])
        assert name.split("/")[0] in {n.split("/")[0] for n in RECIPES}
        return
    resolved = runner.resolve(name, SMALL[name])
    reason = resolved.recipe.one_device(resolved.config)
    with pytest.raises(InputError, match="distribute='mirrored': must be none, since ") as told:
        runner.resolve(name, [*SMALL[name], "distribute=mirrored"])
    assert reason in str(told.value) and "\n" not in str(told.value)


def test_an_indivisible_batch_is_refused(recipe, tmp_path):
    words = ["train", recipe, "distribute=mirrored", "batch_size=9", "--run-dir", tmp_path]
    status, _, err = run(*words, env={"TOY_DEVICES": "2"})
    assert status == 2 and "batch_size=9" in err and "2 devices" in err


LATER = {
    "afv/digits": [*DIGITS, "readout.batch_size=33"],
    "skipclip/motions": [*CLIPS, "finetune.mode=full", "finetune.batch_size=7"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LATER)
def test_an_indivisible_batch_of_a_later_phase_is_refused_at_once(name, tmp_path):
    given = [*LATER[name], "distribute=mirrored", "--run-dir", tmp_path]
    status, _, err = run("train", name, *given, env={"TOY_DEVICES": "2"})
    assert status == 2 and ".batch_size=" in err and "2 devices" in err
    assert not list(tmp_path.glob("backup/**/*.npz"))


@pytest.mark.slow
def test_multi_worker_over_two_processes(words, single, tmp_path):
    addresses = [f"127.0.0.1:{_free_port()}" for _ in range(2)]
    folder = tmp_path / "run"
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        given = words(folder, "multi_worker")
        processes.append(start(*given, env={"TF_CONFIG": json.dumps(cluster)}))
    for process in processes:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err[-3000:]
    assert_same(folder, single)


def test_multi_worker_needs_tf_config(recipe, tmp_path):
    words = ["train", recipe, "distribute=multi_worker", "--run-dir", tmp_path]
    status, _, err = here(*words)
    assert status == 2 and "TF_CONFIG" in err


CLUSTER = '"cluster": {"worker": ["a:1"]}'


@pytest.mark.parametrize(
    "text",
    [
        "{bad",
        "[]",
        "{}",
        f"{{{CLUSTER}}}",
        f'{{{CLUSTER}, "task": {{"type": "worker", "index": 1}}}}',
        f'{{{CLUSTER}, "task": {{"type": "chief", "index": 0}}}}',
    ],
)
def test_a_wrong_tf_config_is_refused(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="TF_CONFIG=.*: must be JSON that names the cluster"):
        make_strategy("multi_worker")


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

"""The promises of every method, on its embedded recipe and real data, from end to end.

Trained briefly and evaluated; its `.keras` loaded where only tfzoo is imported, its SavedModel run
where neither tfzoo nor Keras is; served and queried over REST and gRPC with every signature of the
card.
"""

import subprocess
import sys

import keras
import numpy as np
import pytest

from support import TESTS, declared
from tfzoo import registry, runner, serving
from tfzoo.serving.client import GrpcClient, RestClient
from tfzoo_cli.main import main

pytestmark = pytest.mark.slow

RECIPES = dict(declared("SMALL_RUN").values())
READ = (
    "import sys, numpy as np, keras, tfzoo\n"
    "model = keras.models.load_model(sys.argv[1])\n"
    "np.savez(sys.argv[2], *[keras.ops.convert_to_numpy(w) for w in model.weights])\n"
)


def child(*words):
    """Runs a new process of this Python to its end."""
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def assert_near(actual, wanted, what):
    assert actual.keys() == wanted.keys(), what
    for name, value in wanted.items():
        a, b = np.asarray(actual[name]), np.asarray(value)
        assert a.shape == b.shape, (what, name)
        if b.dtype.kind == "f":
            scale = float(np.abs(b).max(initial=0.0))
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * scale + 1e-6, err_msg=what)
        else:
            np.testing.assert_array_equal(a, b, err_msg=what)


def test_every_method_has_a_recipe_here():
    assert sorted(name.split("/")[0] for name in RECIPES) == registry.methods()


@pytest.mark.parametrize("recipe", RECIPES)
def test_from_training_to_an_answer(recipe, tmp_path, capsys):
    run, words = tmp_path / "run", ["deterministic=false", *RECIPES[recipe]]
    assert main(["train", recipe, *words, "--run-dir", str(run)]) == 0
    trained = runner.read_metrics(run)
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    said = dict(line.rsplit(" ", 1) for line in capsys.readouterr().out.splitlines())
    assert said.keys() == trained.keys()
    for name, value in said.items():
        assert float(value) == pytest.approx(trained[name], rel=1e-3, abs=1e-3), name

    child("-c", READ, run / "model.keras", tmp_path / "weights.npz")
    model, resolved = runner.open_trained(str(run))
    with np.load(tmp_path / "weights.npz") as weights:
        assert len(weights.files) == len(model.weights) > 0
        for name, weight in zip(weights.files, model.weights, strict=True):
            np.testing.assert_array_equal(weights[name], keras.ops.convert_to_numpy(weight))

    signatures = resolved.recipe.signatures(model, resolved.info)
    asked = {name: dict(signature.examples) for name, signature in signatures.items()}
    wanted = {name: plain(signatures[name](**asked[name])) for name in asked}
    exported = next((run / "export").iterdir())
    arrays = {f"{s}/{k}": packed(v) for s, inputs in asked.items() for k, v in inputs.items()}
    np.savez(tmp_path / "in.npz", **arrays)
    child(
        TESTS / "serving" / "load_child.py",
        exported / "1",
        tmp_path / "in.npz",
        tmp_path / "out.npz",
    )
    with np.load(tmp_path / "out.npz", allow_pickle=False) as out:
        loaded = {key: out[key] for key in out.files}
    for name, outputs in wanted.items():
        mine = {k.split("/")[1]: v for k, v in loaded.items() if k.split("/")[0] == name}
        assert_near(mine, outputs, f"{recipe} {name}, without tfzoo")

    with serving.serve(exported, rest_port=0, grpc_port=0) as server:
        rest = RestClient(f"http://127.0.0.1:{server.rest_port}")
        with GrpcClient(f"127.0.0.1:{server.grpc_port}") as grpc:
            for client in (rest, grpc):
                for name, inputs in asked.items():
                    answer = client.predict(server.models[0], inputs, name)
                    assert_near(answer, wanted[name], f"{recipe} {name}, {type(client).__name__}")


def plain(outputs):
    return {name: packed(np.asarray(value)) for name, value in outputs.items()}


def packed(value):
    """Strings as bytes of equal length, so that their files are not pickled."""
    value = np.asarray(value)
    return value.astype("S") if value.dtype.kind in "OU" else value

"""Recipes and pretrained models by name."""

import io
import json
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

import tfzoo
from support import slow
from tfzoo import runner, zoo
from tfzoo.errors import InputError


def test_every_pretrained_model_resolves_and_is_what_the_index_says():
    assert tfzoo.list_models() == sorted(zoo.index())
    for name, entry in zoo.index().items():
        assert zoo.digest(zoo.WEIGHTS / entry["file"]) == entry["sha256"]
        assert entry["recipe"] in tfzoo.list_recipes()
        assert isinstance(tfzoo.load(name), keras.Model)


def test_a_local_path_and_a_run_directory(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(tmp_path / "model.keras")
    for target in (tmp_path, tmp_path / "model.keras", str(tmp_path / "model.keras")):
        np.testing.assert_array_equal(tfzoo.load(target).weights[0], model.weights[0])
    good = zoo.digest(tmp_path / "model.keras")
    tfzoo.load(tmp_path, sha256=good)
    with pytest.raises(InputError, match="sha256"):
        tfzoo.load(tmp_path, sha256="0" * 64)


def test_unknown_names_and_broken_files(tmp_path):
    with pytest.raises(InputError, match=r"\.keras file.*hf://"):
        tfzoo.load("aft/nonsense")
    with pytest.raises(InputError, match="hf://owner"):
        tfzoo.load("hf://nobody")
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be loaded"):
        tfzoo.load(broken)


def test_a_tampered_package_weight_is_refused(tmp_path, monkeypatch):
    name = tfzoo.list_models()[0]
    entry = zoo.index()[name]
    shutil.copy(zoo.WEIGHTS / entry["file"], tmp_path)
    with (tmp_path / entry["file"]).open("ab") as file:
        file.write(b"x")
    (tmp_path / "index.json").write_text(json.dumps({name: entry}))
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match="sha256"):
        tfzoo.load(name)


def test_near_matches_are_offered():
    with pytest.raises(InputError, match="did you mean aft/digits"):
        zoo.find_recipe("aft/digitz")


def archive(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_package_weights_keep_how_they_were_compiled_and_no_optimizer_variables():
    for name, entry in zoo.index().items():
        members = archive(zoo.WEIGHTS / entry["file"])
        assert bool(json.loads(members["config.json"])["compile_config"]) == (
            name not in ("uwac/pointmass", "ala/controller")  # they have no Keras loss
        )
        with h5py.File(io.BytesIO(members["model.weights.h5"])) as weights:
            assert "optimizer" not in weights


OTHER = ("aft/pydoc", "ala/controller", "skipclip/motions", "uwac/pointmass")
TAKES_IMAGES = sorted(zoo.index().keys() - OTHER)


@pytest.mark.parametrize(
    "name", [n if n in ("collegial/digits", "sdn/shapes") else slow(n) for n in TAKES_IMAGES]
)
def test_images_of_another_scale_are_refused_by_every_signature(name):
    model, resolved = runner.open_trained(name)
    for signature in resolved.recipe.signatures(model, resolved.info).values():
        if "images" in signature.inputs:
            signature(**signature.examples)
            high = float(signature.examples["images"].max())
            assert signature.ranges["images"][1] >= high
            for factor in (4, 1 / 255):
                scaled = signature.examples["images"] * np.float32(factor)
                with pytest.raises(InputError, match=r"^input 'images': values from .* must be"):
                    signature(**{**signature.examples, "images": scaled})


@pytest.mark.parametrize(
    "name",
    [
        "collegial/digits",
        *map(slow, ["aft/digits", "aft/pydoc", "afv/digits", "ala/digits", "metricopt/digits_mcr"]),
    ],
)
def test_evaluate_of_a_package_weight_is_that_of_the_command(name):
    model, resolved = runner.open_trained(name)
    datasets = resolved.recipe.datasets(resolved.config)
    wanted = resolved.recipe.evaluate(model, datasets, resolved.config)
    evaluated = model.evaluate(datasets.test, verbose=0, return_dict=True)
    if name in ("afv/digits", "ala/digits", "metricopt/digits_mcr"):  # trained on another loss
        del evaluated["loss"]
    same = wanted.keys() & evaluated.keys()
    assert same == evaluated.keys() - ({"loss"} if name == "aft/pydoc" else set())
    for key in same:
        assert evaluated[key] == pytest.approx(wanted[key], rel=1e-4)


def test_a_package_weight_goes_on_training_or_comes_without_optimizer(recwarn):
    assert not tfzoo.load("ala/digits", compile=False).compiled
    model = tfzoo.load("ala/digits")
    assert [str(w.message) for w in recwarn if "optimizer" in str(w.message)] == []
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    x = np.random.default_rng(0).uniform(0, 16, (8, *model.input_shape[1:])).astype("float32")
    model.fit(x, np.eye(10)[np.arange(8)], verbose=0)
    after = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_what_has_no_keras_loss_refuses_by_name():
    with pytest.raises(ValueError, match="ActorCritic.fit: it has no Keras loss"):
        tfzoo.load("uwac/pointmass").fit(np.zeros((2, 4)))

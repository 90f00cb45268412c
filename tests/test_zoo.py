"""Recipes and pretrained models by name."""

import json
import shutil

import keras
import numpy as np
import pytest

import tfzoo
from tfzoo import zoo
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
    with pytest.raises(InputError, match="does not load"):
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

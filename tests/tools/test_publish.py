"""Package weights: what a rewritten `.keras` file keeps."""

import zipfile

import keras
import numpy as np

import publish
from tfzoo import zoo


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_compile_configuration_without_the_optimizer_s_variables(tmp_path):
    run, weight = tmp_path / "model.keras", tmp_path / "weight.keras"
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(40)])
    model.compile(keras.optimizers.Adam(0.25), "mse", metrics=["mae"])
    model.fit(np.ones((2, 40)), np.ones((2, 40)), verbose=0)
    model.save(run)
    keras.models.load_model(run, compile=False).save(weight)
    before = members(weight)
    zoo.rewrite(weight, publish.CONFIG, {"compile_config": publish.compile_config(run)})
    after = members(weight)
    assert {name for name in before if before[name] != after[name]} == {"config.json"}
    assert weight.stat().st_size < 0.6 * run.stat().st_size
    again = zoo.load(weight)
    assert float(again.optimizer.learning_rate) == 0.25 and int(again.optimizer.iterations) == 0
    assert again.evaluate(
        np.ones((2, 40)), np.ones((2, 40)), verbose=0, return_dict=True
    ).keys() == {
        "loss",
        "mae",
    }

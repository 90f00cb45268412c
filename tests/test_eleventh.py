"""README's five steps add a method: a toy one in a copy of the repository, tried by the house."""

import os
import shutil
import subprocess
import sys

import pytest

from support import TESTS

pytestmark = pytest.mark.slow
ROOT = TESTS.parent

LAYERS = '''
import keras

from tfzoo.registry import serializable


@serializable("gain")
class Gain(keras.layers.Layer):
    """Multiplies each channel by a number that it learns."""

    def build(self, shape):
        self.gain = self.add_weight((shape[-1],), "ones", name="gain")

    def call(self, x):
        return x * self.gain
'''
RECIPE = """
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.gain.layers import Gain
from tfzoo.recipe import Recipe, RunConfig
from tfzoo.registry import task
from tfzoo.serving import Signature


@dataclass(frozen=True)
class LineConfig(RunConfig):
    rate: float = 0.1


@task("gain.line")
class Line(Recipe):
    config_class = LineConfig

    def data_info(self, config):
        return {"steps_per_epoch": 64 // config.batch_size}

    def datasets(self, config):
        x = np.random.default_rng(0).normal(size=(80, 3)).astype("float32")
        pairs = tf.data.Dataset.from_tensor_slices((x, x * [1.0, 2.0, 3.0]))
        stream = data.train_stream(
            pairs.take(64), count=64, batch_size=config.batch_size, seed=config.seed
        )
        held = data.eval_batches(pairs.skip(64), batch_size=16)
        return data.Datasets(stream, held, held, self.data_info(config))

    def build(self, config, info):
        model = keras.Sequential([keras.Input((3,)), Gain()])
        model.compile(keras.optimizers.SGD(config.rate), "mse")
        return model

    def evaluate(self, model, datasets):
        return {"loss": float(model.evaluate(datasets.test, verbose=0))}

    def signatures(self, model):
        spec = {"x": tf.TensorSpec([None, 3], tf.float32)}
        examples = {"x": np.eye(4, 3, dtype="float32")}
        return {"serving_default": Signature(lambda x: {"y": model(x)}, spec, examples)}
"""
CASES = """
import numpy as np

from tfzoo.gain import Gain

CASES = {"Gain": {"make": lambda: Gain(), "inputs": lambda: np.ones((3, 2), "float32")}}
"""
PACKAGE = '''"""A toy."""

from tfzoo.gain import recipe
from tfzoo.gain.layers import Gain

__all__ = ["Gain", "recipe"]
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("tfzoo", "configs", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=skip)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, root / name)
    files = {
        "tfzoo/gain/layers.py": '"""Gain."""\n' + LAYERS,  # step 1
        "tfzoo/gain/recipe.py": '"""Lines."""\n' + RECIPE,  # step 2
        "configs/gain/line.yaml": "# source: ours\n# command: tfzoo train gain/line\n"
        "# hardware: any\n# time: seconds\n# expected: 0 loss\n"
        "task: gain.line\nepochs: 20\nbatch_size: 16\n",  # step 3
        "tests/gain/cases.py": '"""One."""\n' + CASES,  # step 4
        "tfzoo/gain/__init__.py": PACKAGE,
        "tfzoo/gain/README.md": "# Gain\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    init = root / "tfzoo" / "__init__.py"  # step 5
    init.write_text(init.read_text().replace("    collegial,\n", "    collegial,\n    gain,\n", 1))
    return root


def given(root, *words):
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_a_toy_method_trains_and_is_exported(copy):
    assert "gain/line" in given(copy, "-m", "tfzoo_cli.main", "list")
    out = given(copy, "-m", "tfzoo_cli.main", "train", "gain/line", "--run-dir", "run")
    assert float(out.split("loss")[1].split()[0]) < 1e-3
    assert list((copy / "run" / "export" / "line").glob("*/saved_model.pb"))
    assert (copy / "run" / "model.keras").is_file()


def test_the_houses_tests_cover_it(copy):
    given(copy, "tests/golden/make.py")
    assert (copy / "tests" / "golden" / "tfzoo.gain.Gain.keras").is_file()
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/conformance", "tests/golden"]
    out = given(copy, *words, "-k", "gain")
    assert int(out.split(" passed")[0].split()[-1]) >= 8

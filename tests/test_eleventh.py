"""An eleventh method, added by the guide on extending to a copy, passes the tests."""

import shutil
import subprocess

import pytest

from support import TESTS, command

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
CONFIG = """
from dataclasses import dataclass

from tfzoo.config import check
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class LineConfig(RunConfig):
    \'\'\'A line through the origin of each channel.

    Attributes:
        rate: learning rate.
    \'\'\'

    rate: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        check(self.rate > 0, "rate", self.rate, "above 0")
"""
RECIPE = """
import keras
import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.gain.config import LineConfig
from tfzoo.gain.layers import Gain
from tfzoo.recipe import Recipe
from tfzoo.registry import task
from tfzoo.serving import Signature


@task("gain.line")
class Line(Recipe):
    config_class = LineConfig

    def data_info(self, config):
        return data.Info(64 // config.batch_size, examples=64, shape=(3,))

    def datasets(self, config):
        x = np.random.default_rng(config.seed).normal(size=(80, 3)).astype("float32")
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

    def evaluate(self, model, datasets, config):
        return {"loss": float(model.evaluate(datasets.test, verbose=0))}

    def signatures(self, model, info=None):
        spec = {"x": tf.TensorSpec([None, 3], tf.float32)}
        examples = {"x": np.eye(4, 3, dtype="float32")}
        return {"serving_default": Signature(lambda x: {"y": model(x)}, spec, examples)}
"""
STUDY = """
from pathlib import Path

from tfzoo.experiments import study
from tfzoo.experiments.headline import Headline
from tfzoo.experiments.study import Arm

HEADLINE = Headline("gain", "line", "loss", "test loss", "fast", "slow")


def main(argv):
    words = study.parser("gain").parse_args(argv)
    arms = [Arm(name, "gain/line", [f"rate={rate}"]) for name, rate in RATES.items()]
    output = Path(words.output or "studies/gain")
    rows = study.run_grid(arms, study.parse_seeds(words.seeds), output)
    print(study.report("gain", rows, "loss", output, [("fast is better", "fast", "slow")]))


RATES = {"fast": 0.1, "slow": 0.001}
"""
BENCH = """
from tfzoo.experiments import bench


def build_layer(name):
    import keras
    import numpy as np

    from tfzoo.gain import Gain

    layer = Gain() if name == "gain" else keras.layers.Rescaling(2.0)
    x = np.ones((8, 3), "float32")
    return lambda: layer(x)


def main(argv):
    words = bench.parse(bench.parser("gain", __doc__, 1), argv)
    kinds = {name: {"name": name} for name in ("gain", "keras")}
    with bench.workers(kinds) as workers:
        target = "tfzoo.gain.experiments.bench:build_layer"
        results = bench.compare(workers, target, kinds, words.rounds, memory=False)
    bench.report("gain", bench.table(results), [], words.output)
"""
CASES = """
import numpy as np

from tfzoo.gain import Gain

CASES = {"Gain": {"make": lambda: Gain(), "inputs": lambda: np.ones((3, 2), "float32")}}
SMALL_RUN = ("gain/line", ["epochs=2"])
"""
PACKAGE = '''"""A toy."""

from tfzoo import registry
from tfzoo.gain import recipe as _recipe  # noqa: F401  registers the task
from tfzoo.gain.layers import Gain

registry.experiment("study", "gain", "tfzoo.gain.experiments.study:main")
registry.experiment("bench", "gain", "tfzoo.gain.experiments.bench:main")

__all__ = ["Gain"]
'''
HEADLINE = "<!-- headline gain --><!-- end -->"
CARD = f"""# Gain (`tfzoo.gain`)

A toy; no paper, arXiv:0000.00000.

## The method in ten lines
y = g x.
## Using it
**Signatures**: `serving_default(x) -> y`.
## Recipes
`gain/line`
## Results
**Headline** of `tfzoo study gain`: {HEADLINE}.
## What is the paper's and what is ours
All is ours.
## Limits
A toy.
## Licence
Apache-2.0.
"""
GUIDE = f"""# Gain: a toy

## Ten lines
## How it works
## Settings that matter
## When not to use it
## Results

{HEADLINE}
"""
YAML = """# source: ours
# command: tfzoo train gain/line
# hardware: any
# time: 5 s
# expected: 0 loss
task: gain.line
epochs: 20
batch_size: 16
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__", "*.pyc", "*.png")
    for name in ("tfzoo", "tfzoo_cli", "tools", "configs", "tests", "results", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, root / name)
    files = {
        "tfzoo/gain/__init__.py": PACKAGE,
        "tfzoo/gain/layers.py": LAYERS,
        "tfzoo/gain/config.py": CONFIG,
        "tfzoo/gain/recipe.py": RECIPE,
        "tfzoo/gain/experiments/__init__.py": "",
        "tfzoo/gain/experiments/study.py": STUDY,
        "tfzoo/gain/experiments/bench.py": BENCH,
        "tfzoo/gain/README.md": CARD,
        "configs/gain/line.yaml": YAML,
        "tests/gain/cases.py": CASES,
        "docs/methods/gain.md": GUIDE,
        "docs/api/gain.md": "# tfzoo.gain\n\n::: tfzoo.gain\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    author = ["-c", "user.name=toy", "-c", "user.email=toy@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "gain"]):
        subprocess.run(["git", *words], cwd=root, check=True)  # figures name their commit
    return root


def given(root, *words):
    environment = {"PYTHONPATH": f"{root}:{root / 'tests'}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    status, out, err = command(*words, env=environment, cwd=root, timeout=1500)
    assert status == 0, (out + err)[-3000:]
    return out


def test_a_toy_method_trains_and_is_exported(copy):
    assert "gain/line" in given(copy, "-m", "tfzoo_cli", "list")
    out = given(copy, "-m", "tfzoo_cli", "train", "gain/line", "--run-dir", "run")
    assert float(out.split("loss")[1].split()[0]) < 1e-3
    assert list((copy / "run" / "export" / "line").glob("*/saved_model.pb"))
    assert (copy / "run" / "model.keras").is_file()


def test_its_results_and_the_houses_tests(copy):
    """Its figures are generated like those of the ten; then all tests of the house pass."""
    given(copy, "-m", "tfzoo_cli", "study", "gain", "epochs=2", "--output", "study")
    given(copy, "-m", "tfzoo_cli", "bench", "gain", "--output", "bench")
    results = copy / "results" / "gain"
    results.mkdir()
    shutil.copy(copy / "study" / "results.csv", results / "line-results.csv")
    shutil.copy(copy / "study" / "study.json", results / "line-study.json")
    shutil.copy(copy / "bench" / "bench.json", results / "bench.json")
    given(copy, "tools/headlines.py")
    given(copy, "tools/site_tables.py")
    assert "test loss: fast 0.0" in (copy / "tfzoo" / "gain" / "README.md").read_text()
    given(copy, "tests/golden/make.py")
    assert (copy / "tests" / "golden" / "tfzoo.gain.Gain.keras").is_file()

    house = ["conformance", "golden", "tools", "experiments/test_results.py"]
    of_checkout = ("test_browser.py", "test_docs.py", "test_eleventh.py", "test_readme.py")
    of_checkout += ("test_wheel.py",)
    house += [p.name for p in TESTS.glob("test_*.py") if p.name not in of_checkout]
    test = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    out = given(copy, *test, "-m", "not slow", *(f"tests/{name}" for name in house))
    assert " passed" in out and "failed" not in out
    assert "1 passed" in given(copy, *test, "tests/test_promises.py", "-k", "gain")

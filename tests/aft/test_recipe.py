"""AFT's recipes: the embedded ones learn, the paper's train a few steps on mocked data."""

import json

import numpy as np
import pytest

from mocked import Mocked
from tfzoo import data, runner
from tfzoo.errors import InputError

FAST = ["deterministic=false", "epochs=1"]


def trained(name, tmp_path, *overrides, export=False):
    resolved = runner.resolve(name, [*FAST, *overrides])
    metrics = runner.run_recipe(resolved, tmp_path / "run", export=export)
    assert all(np.isfinite(v) for v in metrics.values())
    return metrics


def test_digits_learns(tmp_path):
    overrides = ["epochs=4", "model.dropout=0", "augment=none", "optimizer.warmup_steps=10"]
    overrides += ["model.dim=32", "model.depth=1"]
    assert trained("aft/digits", tmp_path, *overrides)["accuracy"] > 0.75


def test_pydoc_learns_and_generates(tmp_path):
    small = ["model.dim=16", "model.depth=1", "model.max_length=64", "model.bias_dim=4"]
    steps = ["steps_per_epoch=40", "optimizer.warmup_steps=5", "optimizer.learning_rate=0.01"]
    assert trained("aft/pydoc", tmp_path, *small, *steps)["bits_per_byte"] < 5.5  # uniform: 8


@pytest.mark.slow
def test_digits_pixels_learns(tmp_path):
    small = ["model.dim=16", "model.depth=1", "epochs=2", "optimizer.warmup_steps=5"]
    bits = trained("aft/digits_pixels", tmp_path, *small)["bits_per_dim"]
    assert bits < np.log2(17) - 0.8


PAPER = {
    "aft/cifar10": ["model.dim=8", "model.depth=1", "model.window=4", "model.bias_dim=2"],
    "aft/imagenet_tiny": [
        "model.dim=8", "model.depth=1", "model.num_heads=4", "model.image_size=32",
        "model.kernel_size=3",
    ],
    "aft/imagenet_small": [
        "model.dim=8", "model.depth=2", "model.num_heads=8", "model.image_size=48",
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipes_train_on_mocked_data(name, tmp_path, monkeypatch):
    if name == "aft/cifar10":
        mocked = Mocked("cifar10", (32, 32, 3), 10, ["train", "test"])
    else:
        mocked = Mocked("imagenet2012", (None, None, 3), 1000, ["train", "validation", "test"])
    monkeypatch.setattr(data, "builder", lambda config: mocked)
    metrics = trained(name, tmp_path, *PAPER[name], "batch_size=8", "steps_per_epoch=2")
    assert metrics["count"] > 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["parameters"] > 0


@pytest.mark.slow
def test_enwik8_trains_on_a_local_prefix(tmp_path):
    text = tmp_path / "enwik8"
    text.write_bytes(np.random.default_rng(0).integers(32, 96, 40_000).astype("uint8").tobytes())
    small = ["model.dim=8", "model.depth=1", "model.max_length=32", "model.bias_dim=2"]
    words = [f"data.path={text}", "data.prefix_bytes=30000", "batch_size=8", "steps_per_epoch=3"]
    assert trained("aft/enwik8", tmp_path, *small, *words)["count"] > 1000


def test_the_size_of_a_text_of_ones_own_is_known_before_it_is_prepared(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(bytes(range(32, 127)) * 200)
    words = ["data.name=enwik8", f"data.path={path}", f"data.data_dir={tmp_path}"]
    resolved = runner.resolve("aft/pydoc", words)
    said = resolved.recipe.data_info(resolved.config)
    assert said == resolved.recipe.datasets(resolved.config).info


def test_a_text_shorter_than_a_window_is_refused(tmp_path):
    text = tmp_path / "enwik8"
    text.write_bytes(b"too short " * 110)
    with pytest.raises(InputError, match="1024|max_length"):
        trained("aft/enwik8", tmp_path, f"data.path={text}")


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("aft/digits", "model.patch_size=3", "model.patch_size=3.*image_size=8"),
        ("aft/digits", "model.variant=fast", "model.variant='fast'.*full, simple"),
        ("aft/digits", "augment=all", "augment='all'"),
        ("aft/digits", "model.dropout=1", "model.dropout=1"),
        ("aft/pydoc", "model.window=-1", "model.window=-1"),
        ("aft/pydoc", "model.max_length=1", "model.max_length=1"),
        ("aft/digits_pixels", "levels=1", "levels=1"),
        ("aft/pydoc", "optimizer.learning_rate=0", "optimizer.learning_rate=0"),
    ],
)
def test_values_out_of_range(name, override, words):
    with pytest.raises(InputError, match=words):
        runner.resolve(name, [override])

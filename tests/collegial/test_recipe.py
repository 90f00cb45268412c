"""Collegial's recipes: digits learn and are served; the paper's train on mocked data."""

import numpy as np
import pytest

from mocked import Mocked
from tfzoo import data, runner
from tfzoo.errors import InputError

FAST = ["deterministic=false", "epochs=1"]


def trained(name, folder, *overrides, export=False):
    resolved = runner.resolve(name, [*FAST, *overrides])
    metrics = runner.run_recipe(resolved, folder, export=export)
    assert all(np.isfinite(v) for v in metrics.values())
    return metrics


def test_digits_learn_and_export(tmp_path):
    small = ["epochs=6", "augment=none", "model.members=4", "model.width=8"]
    assert trained("collegial/digits", tmp_path, *small, export=True)["accuracy"] > 0.7
    model, resolved = runner.open_trained(str(tmp_path))
    signatures = resolved.recipe.signatures(model)
    assert set(signatures) == {"serving_default", "bytes", "members"}
    images = signatures["serving_default"].examples
    whole = signatures["serving_default"](**images)
    members = signatures["members"](**images)["probabilities"]
    assert members.shape == (4, 4, 10)
    p = members.mean(1)
    apart = -(p * np.log(p)).sum(-1) + (members * np.log(members + 1e-30)).sum(-1).mean(-1)
    np.testing.assert_allclose(whole["disagreement"], apart, atol=1e-4)
    assert (whole["disagreement"] > 0).all()


PAPER = {
    "collegial/cifar10": ((32, 32, 3), ["train", "test"], ["model.depth=11"]),
    "collegial/cifar100": ((32, 32, 3), ["train", "test"], ["model.depth=11"]),
    "collegial/imagenet32": ((32, 32, 3), ["train", "validation"], ["model.depth=11"]),
    "collegial/imagenet": (
        (None, None, 3),
        ["train", "validation", "test"],
        ["model.depth=26", "model.image_size=32"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipes_train_on_mocked_data(name, tmp_path, monkeypatch):
    shape, splits, overrides = PAPER[name]
    builder = "imagenet2012" if "imagenet" in name else "cifar10"
    mocked = Mocked(builder, shape, 10, splits)
    monkeypatch.setattr(data, "builder", lambda config: mocked)
    small = ["model.cardinality=2", "model.base_width=2", "batch_size=8", "steps_per_epoch=2"]
    assert trained(name, tmp_path / "run", *small, *overrides)["count"] > 0


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("collegial/cifar10", "model.depth=30", "model.depth=30"),
        ("collegial/cifar10", "model.family=mnist", "model.family='mnist'"),
        ("collegial/cifar10", "model.cardinality=0", "model.cardinality=0"),
        ("collegial/cifar10", "augment=deit", "augment='deit'"),
        ("collegial/cifar10", "optimizer.drop_epochs=[3,2]", "optimizer.drop_epochs"),
        ("collegial/cifar10", "optimizer.momentum=1", "optimizer.momentum=1"),
        ("collegial/digits", "model.members=0", "model.members=0"),
        ("collegial/digits", "model.activation=step", "model.activation='step'"),
    ],
)
def test_values_out_of_range(name, override, words):
    with pytest.raises(InputError, match=words):
        runner.resolve(name, [override])


def test_mlp_wants_images_of_one_size():
    resolved = runner.resolve("collegial/digits", ["data.name=imagenet2012"])
    with pytest.raises(InputError, match="must be square"):
        runner.dry_run(resolved)

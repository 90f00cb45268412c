"""The site's tables agree with the code; the promises for a user's own data are kept."""

import functools
import itertools
import re

import numpy as np
import pytest
import tensorflow as tf

from own_data import KINDS, recipes
from site_tables import TABLES, filled, texts
from tfzoo import registry, runner
from tfzoo.config.declaration import hints
from tfzoo.data import prepare
from tfzoo.data.splits import SPLITS
from tfzoo.data.videos import video_files

RNG = np.random.default_rng(0)
CLASSES, EACH, SIDE = 24, 4, 32  # two sets each for validation and test
RECIPES = recipes()
PROMISED = [(recipe, name) for recipe, task in RECIPES.items() for name in task.own_data]

KEYS = {
    "model.image_size": SIDE,
    "image_size": SIDE,
    "channels": 3,
    "batch_size": 4,
    "model.inputs": 3,
    "label": "label",
    "train_classes": 2,
    "validation_classes": 1,
    "data.held_out": "null",
    "environment": "null",
    "data.unseen": "[cup]",
}
"""The settings for the files below."""

SMALL = {
    "aft.language_model": {"model.max_length": 16},
    "ala.retrieval": {"per_class": 2},
    "sdn.sets": {"set_size": 2},
    "sdn.verifier": {"set_size": 2},
    "skipclip.videos": {"data.short": "loop"},
    "recon3d.occupancy": {"image_size": 64},  # for rendering meshes
}
"""Further settings by task, since the files are tiny."""


def pictures(root):
    for label in range(CLASSES):
        (root / f"class{label}").mkdir(parents=True)
        for i in range(EACH):
            image = RNG.integers(0, 256, (SIDE, SIDE, 3)).astype("uint8")
            (root / f"class{label}" / f"{i}.png").write_bytes(tf.io.encode_png(image).numpy())


def labelled(suffix=""):
    x = RNG.integers(0, 256, (CLASSES * EACH, SIDE, SIDE, 3)).astype("uint8")
    return {f"x{suffix}": x, f"y{suffix}": np.arange(len(x)) % CLASSES}


def films(root):
    for label in ("left", "right"):
        (root / label).mkdir(parents=True)
        for i in range(4):
            frames = RNG.integers(0, 256, (6, 16, 16, 3)).astype("uint8")
            video_files.write_video(root / label / f"{i}.mp4", frames)


def steps(path, count=24):
    arrays = {"observations": RNG.normal(size=(count, 3)), "rewards": np.zeros(count)}
    ends = np.arange(count) % 8 == 7
    np.savez(path, **arrays, actions=RNG.uniform(-1, 1, (count, 2)), terminals=ends)


def cubes(root):
    v = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    f = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    for category, count in (("rod", 6), ("cup", 1)):
        (root / category).mkdir(parents=True)
        for i in range(count):
            lines = [f"v {x} {y} {z * (i + 1)}" for x, y, z in v]
            lines += ["f " + " ".join(str(k + 1) for k in face) for face in f]
            (root / category / f"{i}.obj").write_text("\n".join(lines))


def in_splits(make):
    return lambda root: [make(root / split) for split in SPLITS]


def table(path):
    rows = [[*RNG.normal(size=3), "ab"[i % 2]] for i in range(40)]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))


def with_splits(path):
    parts = (labelled(f"_{split}") for split in SPLITS)
    np.savez(path, **{k: v for part in parts for k, v in part.items()})


FILES = {
    "tfzoo_image_folder": pictures,
    "tfzoo_arrays": lambda path: np.savez(path, **labelled()),
    "enwik8": lambda path: path.write_bytes(RNG.integers(0, 256, 4000).astype("uint8").tobytes()),
    "tfzoo_table": table,
    "tfzoo_video_folder": films,
    "tfzoo_video_arrays": lambda path: np.savez(
        path, x=RNG.integers(0, 256, (20, 6, 16, 16, 3)).astype("uint8"), y=np.arange(20) % 2
    ),
    "tfzoo_transitions": steps,
    "tfzoo_meshes": cubes,
}
SUFFIX = {"tfzoo_arrays": ".npz", "tfzoo_table": ".csv"}
SUFFIX |= {"tfzoo_video_arrays": ".npz", "tfzoo_transitions": ".npz"}
SPLIT_FILES = {
    "tfzoo_image_folder": in_splits(pictures),
    "tfzoo_arrays": with_splits,
    "tfzoo_video_folder": in_splits(films),
}


LAYOUTS = {"whole": FILES, "splits": SPLIT_FILES}


@pytest.fixture(scope="module")
def own_file(tmp_path_factory):
    """The path of a tiny file or folder of a kind, created on first use."""

    @functools.cache
    def path_of(name, layout):
        path = tmp_path_factory.mktemp("own") / f"own{SUFFIX.get(name, '')}"
        LAYOUTS[layout][name](path)
        return path

    return path_of


def test_the_site_has_each_table_as_the_code_states_it():
    pages = [path.read_text(encoding="utf-8") for path in texts()]
    for text in pages:
        assert filled(text) == text, "run python tools/site_tables.py"
    named = re.findall(r"<!-- table (.+) -->", "".join(pages))
    assert sorted(named) == sorted(TABLES)


def test_every_reader_of_a_users_path_is_promised_and_every_method_takes_one():
    named = {"tfzoo_mujoco"}  # known data sets, read from the user's folder
    assert set(KINDS) == {name for _, name in PROMISED} == set(FILES)
    assert set(FILES) == set(prepare._BY_PATH) - named
    toy = {"gain"}  # of test_eleventh.py, which draws its data
    assert {recipe.split("/")[0] for recipe, _ in PROMISED} == set(registry.methods()) - toy


@pytest.mark.parametrize("task", sorted({*RECIPES.values()}, key=str), ids=lambda t: t.__name__)
def test_every_key_that_is_named_is_in_the_config(task):
    for key in itertools.chain(*task.own_data.values()):
        config = task.config_class
        for part in key.split("."):
            assert part in hints(config), key
            config = hints(config)[part]


SLOW = ("tfzoo_meshes", "tfzoo_video_folder")  # whose files take seconds to draw or decode


def cases():
    """The first recipe for each kind of data; in the slow tier all recipes, and files in splits."""
    first = {name: recipe for recipe, name in reversed(PROMISED) if name not in SLOW}
    for recipe, name in PROMISED:
        marks = [] if first.get(name) == recipe else [pytest.mark.slow]
        yield pytest.param(recipe, name, "whole", marks=marks)
        if name in SPLIT_FILES:
            yield pytest.param(recipe, name, "splits", marks=pytest.mark.slow)


@pytest.mark.parametrize(("recipe", "name", "layout"), list(cases()))
def test_what_is_promised_gives_a_batch(recipe, name, layout, own_file):
    words = {"data.name": name, "data.path": own_file(name, layout), "batch_size": 4}
    words |= {key: KEYS[key] for key in RECIPES[recipe].own_data[name]}
    words |= SMALL.get(runner.resolve(recipe).config.task, {})
    resolved = runner.resolve(recipe, [f"{key}={value}" for key, value in words.items()])
    info = resolved.recipe.data_info(resolved.config)
    datasets = resolved.recipe.datasets(resolved.config)
    assert info.steps_per_epoch == datasets.info.steps_per_epoch or info.guesses
    assert info.classes == datasets.info.classes
    batch = next(iter(datasets.train.from_step(0)))
    assert tf.nest.flatten(batch)[0].shape[0] in (4, None)

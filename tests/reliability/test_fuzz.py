"""Any foreign input ends in a response or in `InputError`, never in another exception."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import tfzoo
from mutations import OFTEN, mutated
from tfzoo import config as configs
from tfzoo import runner, zoo
from tfzoo.data import DataConfig
from tfzoo.data.control import offline_files
from tfzoo.data.shapes import mesh_files
from tfzoo.data.tables import arrays
from tfzoo.data.videos import video_arrays
from tfzoo.errors import InputError
from tfzoo.prediction import inputs
from tfzoo.serving.json_tensors import read_inputs

SELDOM = settings(OFTEN, max_examples=40)

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
keys = st.sampled_from(
    ["epochs", "seed", "model", "model.dim", "data", "data.name", "data.path", "task", "precision"]
) | st.text(max_size=8)


def allowed(call, *arguments):
    """Calls; `InputError` is accepted, and must be one line."""
    try:
        return call(*arguments)
    except InputError as error:
        assert str(error) and "Traceback" not in str(error)
        return None


@OFTEN
@given(st.lists(st.builds("{}={}".format, keys, plain | st.text()), max_size=3))
def test_overrides(words):
    allowed(runner.resolve, "aft/digits", words)


@OFTEN
@given(words=st.dictionaries(keys, values, max_size=5))
def test_configs(words, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"task": "aft.classifier"} | words), encoding="utf-8")
    allowed(runner.resolve, str(path), [])


@OFTEN
@given(
    data=st.binary(max_size=80) | st.text(max_size=80).map(lambda t: t.encode("utf-8", "replace"))
)
def test_config_files_of_anything(data, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(data)
    allowed(configs.load, DataConfig, path)


def npz(**arrays):
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


RNG = np.random.default_rng(0)
IMAGES = npz(x=RNG.integers(0, 256, (30, 4, 4, 1), dtype=np.uint8), y=np.arange(30) % 3)
VIDEOS = npz(x=RNG.integers(0, 256, (6, 2, 4, 4, 3), dtype=np.uint8), y=np.arange(6) % 2)
STEPS = npz(
    observations=RNG.normal(size=(9, 2)),
    actions=RNG.uniform(-1, 1, (9, 1)),
    rewards=np.zeros(9),
    terminals=np.arange(9) == 8,
)
MESHES = npz(
    v=RNG.normal(size=(4, 3)).astype("float32"),
    f=np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]),
    voff=np.array([0, 4]),
    foff=np.array([0, 4]),
    y=np.array([0]),
    classes=np.array(["a"]),
)
SPECS = {"x": tf.TensorSpec([None, 4, 4, 1], tf.uint8), "y": tf.TensorSpec([None], tf.int64)}


def for_a_signature(path):
    """What `tfzoo predict` reads from a file, for a signature with these inputs."""
    file = inputs.InputFile(Path(path))
    if not file.fits(SPECS):
        raise InputError(f"input {path!r}: does not fit")
    return file.read(SPECS)


READERS = {
    "images": (IMAGES, lambda path: arrays.read_splits(path)),
    "videos": (VIDEOS, lambda path: video_arrays.read_arrays(path)),
    "transitions": (STEPS, lambda path: offline_files.read(path)),
    "meshes": (MESHES, lambda path: list(mesh_files.read_meshes(path))),
    "inputs": (IMAGES, lambda path: for_a_signature(path)),
}


@pytest.mark.parametrize("name", READERS)
def test_npz_files(name, tmp_path):
    data, read = READERS[name]
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    assert read(str(path)) is not None

    @OFTEN
    @given(mutated(data))
    def bend(other):
        path.write_bytes(other)
        allowed(read, str(path))

    bend()


@pytest.mark.parametrize("name", READERS)
def test_members_of_an_npz_that_are_no_arrays(name, tmp_path):
    data, read = READERS[name]
    with np.load(io.BytesIO(data)) as archive, zipfile.ZipFile(tmp_path / "x.npz", "w") as target:
        for member in archive.files:
            target.writestr(f"{member}.npy", b"no array")
    with pytest.raises(InputError, match="is not an array"):
        read(str(tmp_path / "x.npz"))


def test_keras_files(tmp_path):
    data = (zoo.WEIGHTS / zoo.index()["uwac/pointmass"]["file"]).read_bytes()
    path = tmp_path / "m.keras"

    @SELDOM
    @given(mutated(data))
    def bend(other):
        path.write_bytes(other)
        allowed(tfzoo.load, path)

    bend()


@OFTEN
@given(values)
def test_rest_bodies(body):
    import tensorflow as tf

    specs = {"x": tf.TensorSpec([None, 3], tf.float32), "n": tf.TensorSpec([None], tf.uint8)}
    text = json.loads(json.dumps(body))
    for body in ({"instances": text}, {"inputs": text}, text):
        if isinstance(body, dict):
            try:
                read_inputs(body, specs)
            except ValueError as error:
                assert str(error)

"""Every mistake with data gives one line that names it, before training starts."""

import io
import lzma
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfzoo import data
from tfzoo.data import DataConfig
from tfzoo.errors import InputError


def refused(match, **keywords):
    with pytest.raises(InputError, match=match) as caught:
        data.builder(DataConfig(**keywords))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("match", "keywords"),
    [
        ("^name='': must be text", {"name": ""}),
        ("^path='': must be text", {"name": "enwik8", "path": ""}),
        ("^prefix_bytes=7: must be at least 1000", {"name": "enwik8", "prefix_bytes": 7}),
        ("data.name='nonsense'.*must be a TFDS data set", {"name": "nonsense"}),
        ("data.path='x'.*must be null", {"name": "tfzoo_digits", "path": "x"}),
        ("data.prefix_bytes=1000.*must be null", {"name": "tfzoo_pydoc", "prefix_bytes": 1000}),
        ("data.path='/none'.*no such file", {"name": "enwik8", "path": "/none"}),
        ("data.path='/none'.*no such file", {"name": "tfzoo_arrays", "path": "/none"}),
        ("data.path='/none'.*no such folder", {"name": "tfzoo_image_folder", "path": "/none"}),
        ("data.path: must be set", {"name": "tfzoo_arrays"}),
        ("data.path: must be set", {"name": "tfzoo_image_folder"}),
        ("data.data_dir.*cannot be written", {"name": "tfzoo_digits", "data_dir": "/proc/no"}),
    ],
)
def test_config(match, keywords):
    refused(match, **keywords)


def test_enwik8_files(tmp_path):
    def file(content):
        path = tmp_path / "file"
        path.write_bytes(content)
        return {"name": "enwik8", "path": str(path), "data_dir": str(tmp_path / "tfds")}

    refused(r"file'.*has 10 bytes, must have 1000", **file(b"too short!"))
    refused(r"has 1500 bytes, must have 2000", prefix_bytes=2000, **file(b"a" * 1500))
    noise = np.random.default_rng(0).bytes(5000)
    refused(r"file'.*cannot be read", **file(lzma.compress(noise)[:-2000]))
    with zipfile.ZipFile(tmp_path / "two", "w") as archive:
        archive.writestr("a", noise)
        archive.writestr("b", noise)
    refused(r"holds 2 files, must hold one", **file((tmp_path / "two").read_bytes()))
    refused(r"cannot be read", **file((tmp_path / "two").read_bytes()[:3000]))


def test_no_network(monkeypatch, tmp_path):
    def fail(*args, **keywords):
        raise OSError("no route")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    refused("cannot be reached.*no route.*local copy", name="enwik8", data_dir=str(tmp_path))


X, Y = np.zeros((20, 3), np.float32), np.arange(20) % 2


@pytest.mark.parametrize(
    ("match", "arrays"),
    [
        ("has no x_train", {"z": X}),
        ("has no y_train", {"x": X}),
        ("has no x_test", {"x_train": X, "y_train": Y, "y_test": Y}),
        ("holds x_vel, y_vel; must hold", {"x": X, "y": Y, "x_vel": X, "y_vel": Y}),
        ("x_train and x are synonyms but differ", {"x": X, "y": Y, "x_train": X + 1}),
        ("y and labels are synonyms but differ", {"x": X, "y": Y, "labels": 1 - Y}),
        ("x_train has 20 examples, y_train 19", {"x": X, "y": Y[:19]}),
        ("x_test .* is empty", {"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]}),
        ("2 training examples are too few", {"x": X[:2], "y": Y[:2]}),
        ("y_train is float32", {"x": X, "y": Y.astype(np.float32)}),
        ("y_train holds -1", {"x": X, "y": Y - 1}),
        ("x_train has shape", {"x": Y, "y": Y}),
        ("x_train has dtype <U.*must be numbers", {"x": X.astype(str), "y": Y}),
        ("x_train: row 0': holds NaN", {"x": X * np.nan, "y": Y}),
        ("must be an .npz of plain arrays", {"x": X.astype(object), "y": Y}),
        ("have the form of x_train", {"x": X, "y": Y, "x_test": X[:, :2], "y_test": Y}),
        ("have the form of x_train", {"x": X, "y": Y, "x_test": X.astype(int), "y_test": Y}),
    ],
)
def test_arrays(tmp_path, match, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    refused(match, name="tfzoo_arrays", path=str(tmp_path / "a.npz"), data_dir=str(tmp_path))


with io.BytesIO() as file:
    Image.new("RGB", (4, 4)).save(file, "JPEG")
    FILES = np.frombuffer(file.getvalue() * 20, "u1")
BEGINS = np.arange(21) * (FILES.size // 20)


@pytest.mark.parametrize(
    ("match", "arrays"),
    [
        ("both jpeg_train and off_train", {"jpeg_train": FILES}),
        ("both jpeg_train and off_train", {"jpeg_train": FILES, "off_train": BEGINS, "x_train": X}),
        ("jpeg_train: files must be uint8", {"jpeg_train": FILES / 2, "off_train": BEGINS}),
        ("jpeg_train: files must be uint8", {"jpeg_train": FILES, "off_train": BEGINS[None]}),
        ("jpeg_train: offsets", {"jpeg_train": FILES, "off_train": BEGINS[::-1]}),
        ("jpeg_train: offsets", {"jpeg_train": FILES, "off_train": BEGINS + 1}),
        ("jpeg_train: offsets", {"jpeg_train": FILES, "off_train": BEGINS[:0]}),
        ("jpeg_train: cannot identify", {"jpeg_train": FILES[::-1], "off_train": BEGINS}),
        ("jpeg_train: .*same shape", {"jpeg_train": None, "off_train": None}),
        ("x_train has 19 examples, y_train 20", {"jpeg_train": FILES, "off_train": BEGINS[:20]}),
    ],
)
def test_arrays_of_jpeg_files(tmp_path, match, arrays):
    if arrays["jpeg_train"] is None:
        files = [tf.io.encode_jpeg(np.zeros((n, 4, 3), "u1")).numpy() for n in [4] * 19 + [8]]
        arrays["jpeg_train"] = np.frombuffer(b"".join(files), "u1")
        arrays["off_train"] = np.cumsum([0, *map(len, files)])
    np.savez(tmp_path / "a.npz", **arrays, y_train=Y)
    refused(match, name="tfzoo_arrays", path=str(tmp_path / "a.npz"), data_dir=str(tmp_path))


def test_broken_arrays_file(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(50, 9)), y=np.arange(50))
    whole = path.read_bytes()
    for broken in (b"", b"text", whole[: len(whole) // 2], whole[:200] + bytes(99) + whole[299:]):
        path.write_bytes(broken)
        refused("a.npz'.*must be an .npz", name="tfzoo_arrays", path=str(path))
    np.save(tmp_path / "b.npy", X)
    refused("must be an .npz", name="tfzoo_arrays", path=str(tmp_path / "b.npy"))


def test_image_folders(tmp_path):
    root = tmp_path / "images"
    config = {
        "name": "tfzoo_image_folder",
        "path": str(root),
        "data_dir": str(tmp_path / "tfds"),
    }
    root.mkdir()
    refused("has no images; must hold", **config)
    for name in "ab":
        (root / name).mkdir()
        refused(f"{name}' is empty", **config)
        for i in range(3):
            black = tf.io.encode_png(np.zeros((4, 4, 3), np.uint8))
            (root / name / f"{i}.png").write_bytes(black.numpy())
    (root / "a" / "notes.txt").write_text("x")
    refused("notes.txt' must be one of .png", **config)
    (root / "a" / "notes.txt").unlink()
    (root / "a" / "bad.png").write_bytes((root / "a" / "0.png").read_bytes()[:40])
    refused("bad.png' must be a readable image", **config)
    (root / "a" / "bad.png").write_bytes(b"text")
    refused("bad.png' must be a readable image", **config)
    (root / "train").mkdir()
    refused("has 'a' beside 'train'", **config)


def test_a_split_that_is_not_there(tmp_path):
    builder = data.builder(DataConfig("tfzoo_digits", str(tmp_path)))
    with pytest.raises(
        InputError, match="has no split 'trian.*; must be one of train, validation, test"
    ):
        data.split(builder, "trian[:9%]")

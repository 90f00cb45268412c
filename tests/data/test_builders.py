"""The project's TFDS builders: contents, splits, sources, preparation."""

import gzip
import hashlib
import lzma
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from tfzoo import data
from tfzoo.data import DataConfig

SPLITS = ("train", "validation", "test")


def examples(builder, split):
    return list(data.split(builder, split).as_numpy_iterator())


def text(builder):
    return [data.read_bytes(data.split(builder, name)).tobytes() for name in SPLITS]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return data.builder(DataConfig("tfzoo_digits", str(tmp_path_factory.mktemp("digits"))))


def test_digits_are_scikit_learns_in_fixed_stratified_splits(digits):
    parts = {name: examples(digits, name) for name in SPLITS}
    assert [len(parts[name]) for name in SPLITS] == [1197, 300, 300]
    for name in ("validation", "test"):
        assert (np.bincount([e["label"] for e in parts[name]]) == 30).all()
    pairs = {(e["image"].tobytes(), e["label"]) for part in parts.values() for e in part}
    source = load_digits()
    images = source.images.astype(np.uint8)
    assert pairs == {(x.tobytes(), y) for x, y in zip(images, source.target, strict=True)}
    assert len(pairs) == 1797  # so no image is in two splits
    assert parts["train"][0]["image"].shape == (8, 8, 1)
    assert parts["train"][0]["image"].dtype == np.uint8


def test_splits_do_not_change_from_one_preparation_to_the_next(digits, tmp_path):
    again = data.builder(DataConfig("tfzoo_digits", str(tmp_path)))
    for name in ("validation", "test"):
        pairs = zip(examples(digits, name), examples(again, name), strict=True)
        assert all((a["image"] == b["image"]).all() for a, b in pairs)


def test_pydoc_is_the_documentation_of_this_python(tmp_path):
    from pydoc_data.topics import topics

    builder = data.builder(DataConfig("tfzoo_pydoc", str(tmp_path)))
    train, validation, test = text(builder)
    whole = train + validation + test
    assert whole == "\n".join(topics[name] for name in sorted(topics)).encode()
    assert len(train) == len(whole) * 90 // 100
    assert abs(len(validation) - len(test)) <= 1
    reread = data.builder(DataConfig("tfzoo_pydoc", str(tmp_path)))
    assert reread.info.metadata["sha256"] == hashlib.sha256(whole).hexdigest()
    assert reread.info.metadata["python"] == sys.version.split()[0]


@pytest.fixture(scope="module")
def source():
    return np.random.default_rng(0).integers(0, 256, 200_001, np.uint8).tobytes()


def write(path, content):
    kind = path.suffix
    if kind == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("enwik8", content)
    elif kind in (".xz", ".gz"):
        path.write_bytes({".xz": lzma, ".gz": gzip}[kind].compress(content))
    else:
        path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("name", ["raw", "a.zip", "a.xz", "a.gz"])
def test_enwik8_reads_local_files_whole_and_prefix(tmp_path, source, name):
    path = write(tmp_path / name, source)
    builder = data.builder(DataConfig("enwik8", str(tmp_path / "tfds"), path))
    parts = text(builder)
    assert b"".join(parts) == source  # several segments, in order
    assert [len(p) for p in parts] == [180000, 10000, 10001]
    assert builder.info.metadata["bytes"] == len(source)
    prefix = data.builder(DataConfig("enwik8", str(tmp_path / "tfds"), path, prefix_bytes=2000))
    assert b"".join(text(prefix)) == source[:2000]
    assert [len(p) for p in text(prefix)] == [1800, 100, 100]


def test_another_content_under_the_same_path_is_prepared_anew(tmp_path, source):
    config = DataConfig("enwik8", str(tmp_path / "tfds"), write(tmp_path / "a", source[:5000]))
    assert b"".join(text(data.builder(config))) == source[:5000]
    write(tmp_path / "a", source[5000:10000])
    assert b"".join(text(data.builder(config))) == source[5000:10000]


def save(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_arrays_with_their_own_splits(tmp_path):
    rng = np.random.default_rng(0)
    parts = {f"x_{s}": rng.normal(size=(n, 3, 2)) for s, n in zip(SPLITS, (9, 4, 5), strict=True)}
    labels = {f"y_{s}": np.arange(len(parts[f"x_{s}"]))[:, None] % 3 for s in SPLITS}
    path = save(tmp_path / "a.npz", **parts, **labels, classes=np.array(["a", "b", "c"]))
    builder = data.builder(DataConfig("tfzoo_arrays", str(tmp_path / "tfds"), path))
    assert builder.info.features["label"].num_classes == 3
    for name in SPLITS:
        got = examples(builder, name)
        got = {e["image"].tobytes(): e["label"] for e in got}
        x, y = parts[f"x_{name}"], labels[f"y_{name}"][:, 0]
        assert got == {row.tobytes(): label for row, label in zip(x, y, strict=True)}


def jpegs(images):
    files = [tf.io.encode_jpeg(image, quality=90).numpy() for image in images]
    begins = np.cumsum([0, *map(len, files)])
    return np.frombuffer(b"".join(files), np.uint8), begins.astype("uint32"), files


def test_arrays_of_jpeg_files(tmp_path):
    rng, parts, expected = np.random.default_rng(0), {"classes": np.array(["a", "b"])}, {}
    for name, count in (("train", 20), ("test", 5)):
        x = np.repeat(rng.integers(0, 256, (count, 1, 1, 3), dtype=np.uint8), 64, 1).repeat(8, 2)
        x = x.reshape(count, 16, 32, 3)
        parts[f"jpeg_{name}"], parts[f"off_{name}"], _ = jpegs(x)
        parts[f"y_{name}"] = np.arange(count) % 2
        expected[name] = x.astype(int)
    path = save(tmp_path / "a.npz", **parts)
    builder = data.builder(DataConfig("tfzoo_arrays", str(tmp_path / "tfds"), path))
    assert builder.info.features["image"].shape == (16, 32, 3)
    got = [e["image"].astype(int) for e in examples(builder, "test")]
    gaps = np.abs(np.array(got)[:, None] - expected["test"][None]).max((2, 3, 4))
    assert sorted(gaps.argmin(1)) == list(range(5)) and gaps.min(1).max() <= 8
    assert [builder.info.splits[s].num_examples for s in SPLITS] == [18, 2, 5]


def test_other_arrays_are_passed_over_whatever_they_hold(tmp_path):
    path, x = tmp_path / "a.npz", np.arange(40, dtype="float32").reshape(20, 2)
    np.savez(path, x=x, y=np.arange(20) % 2, names=np.array([{}, None], object))
    source = data.builder(DataConfig("tfzoo_arrays", str(tmp_path / "tfds"), str(path)))
    assert source.info.splits["train"].num_examples == 16


def test_arrays_without_splits_are_split_disjointly(tmp_path):
    x, y = np.arange(60, dtype=np.uint16).reshape(30, 2), np.arange(30) % 2
    path = save(tmp_path / "a.npz", x=x, y=y)
    builder = data.builder(DataConfig("tfzoo_arrays", str(tmp_path / "tfds"), path))
    parts = [[tuple(e["image"]) for e in examples(builder, name)] for name in SPLITS]
    assert [len(p) for p in parts] == [24, 3, 3]
    assert sorted(sum(parts, [])) == [tuple(row) for row in x]


def picture(path, value, shape=(4, 5, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(np.full(shape, value, np.uint8)).numpy())


def test_image_folder_with_and_without_splits(tmp_path):
    for label in ("cat", "dog"):
        for i in range(10):
            picture(tmp_path / "plain" / label / f"{i}.png", 10 * i + (label == "dog"))
            for split in ("train", "val", "test"):
                picture(tmp_path / "split" / split / label / f"{i}.png", i, (3 + i, 4, 3))
    (tmp_path / "plain" / "cat" / ".DS_Store").write_bytes(b"")
    for folder, sizes in (("plain", [16, 2, 2]), ("split", [20, 20, 20])):
        path = str(tmp_path / folder)
        builder = data.builder(DataConfig("tfzoo_image_folder", str(tmp_path / "tfds"), path))
        assert builder.info.features["label"].names == ["cat", "dog"]
        assert [len(examples(builder, name)) for name in SPLITS] == sizes
    path = str(tmp_path / "plain")
    builder = data.builder(DataConfig("tfzoo_image_folder", str(tmp_path / "tfds"), path))
    seen = [e for name in SPLITS for e in examples(builder, name)]
    assert all(e["image"][0, 0, 0] % 10 == e["label"] for e in seen)
    assert len({int(e["image"][0, 0, 0]) for e in seen}) == 20
    encoded = next(iter(data.split(builder, "test", encoded=True)))["image"].numpy()
    assert encoded in {p.read_bytes() for p in Path(path).glob("*/*.png")}


def test_load_by_tfds_name(tmp_path):
    import tensorflow_datasets as tfds

    data.register()
    assert len(tfds.load("tfzoo_digits", split="test", data_dir=tmp_path)) == 300


PREPARE = """
import sys
from tfzoo import data
builder = data.builder(data.DataConfig("tfzoo_digits", sys.argv[1]))
print(sum(1 for _ in data.split(builder, "train")))
"""


@pytest.mark.slow
def test_two_processes_prepare_at_the_same_time(tmp_path):
    words = [sys.executable, "-c", PREPARE, str(tmp_path)]
    path = [str(Path(data.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    both = [
        subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out.strip()) == (0, "1197"), err
    assert not list((tmp_path / "tfzoo_digits").glob("incomplete*"))


def test_an_interrupted_preparation_is_not_used(tmp_path, monkeypatch):
    from tfzoo.data.images.digits import TfzooDigits

    whole = TfzooDigits._generate_examples

    def cut_off(self, source, rows):
        for i, example in enumerate(whole(self, source, rows)):
            if i == 5:
                raise KeyboardInterrupt
            yield example

    config = DataConfig("tfzoo_digits", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(TfzooDigits, "_generate_examples", cut_off)
        with pytest.raises(KeyboardInterrupt):
            data.builder(config)
    killed = tmp_path / "tfzoo_digits" / "incomplete.ABCDEF_1.0.0"  # left by a kill
    killed.mkdir()
    (killed / "tfzoo_digits-train.tfrecord-00000-of-00001").write_bytes(b"half")
    assert len(examples(data.builder(config), "train")) == 1197


def test_prepared_data_are_read_from_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    config = DataConfig("tfzoo_digits", str(tmp_path))
    data.builder(config)
    monkeypatch.setattr("tfzoo.data.prepare._alone", None)  # would write a lock
    assert len(examples(data.builder(config), "test")) == 300

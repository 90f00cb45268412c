"""Tables as data: scikit-learn's breast cancer, and a user's CSV file."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from tfzoo import data
from tfzoo.data import DataConfig
from tfzoo.errors import InputError

SPLITS = ("train", "validation", "test")


def rows(builder):
    return {s: list(data.split(builder, s).as_numpy_iterator()) for s in SPLITS}


def test_breast_cancer_is_scikit_learns_in_stratified_splits(tmp_path):
    parts = rows(data.builder(DataConfig("tfzoo_breast_cancer", str(tmp_path))))
    assert [len(parts[s]) for s in SPLITS] == [343, 113, 113]
    shares = [np.mean([r["label"] for r in parts[s]]) for s in SPLITS]
    assert np.ptp(shares) < 0.01
    source = load_breast_cancer(return_X_y=True)
    examples = {(r["features"].tobytes(), int(r["label"])) for s in SPLITS for r in parts[s]}
    expected = {(x.astype("float32").tobytes(), 1 - int(y)) for x, y in zip(*source, strict=True)}
    assert examples == expected and len(examples) == 569


@pytest.mark.parametrize("header", ["", "width,height,kind\n"])
def test_a_table_of_ones_own(header, tmp_path):
    kinds = ["'a'"] * 14 + ["b"] * 6
    text = header + "".join(f"{i},{i / 2},{kind}\n" for i, kind in enumerate(kinds))
    path = tmp_path / "t.csv"
    path.write_text(text)
    builder = data.builder(DataConfig("tfzoo_table", str(tmp_path / "tfds"), str(path)))
    assert builder.info.features["label"].names == ["a", "b"]  # the rarer is 1
    parts = rows(builder)
    every = sorted((float(r["features"][0]), int(r["label"])) for s in SPLITS for r in parts[s])
    assert every == [(float(i), int(i >= 14)) for i in range(20)]
    assert [len(parts[s]) for s in SPLITS] == [12, 4, 4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,a\n" * 3 + "1,a\n", "row 4 of the data must have 2 finite numbers and a class"),
        ("1,2,a\n1,nan,a\n", "row 2 of the data"),
        ("1,2,a\n" * 5, "must have 2 classes of 3 rows, has a: 5"),
        ("1,2,a\n" * 5 + "1,2,b\n", "has a: 5, b: 1"),
        ("", "must have rows of features and a class"),
        ("a\nb\n", "must have rows of features and a class"),
        ("\xff\xfe", "must be a CSV file of text"),
    ],
)
def test_a_table_that_is_none(text, words, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=words):
        data.builder(DataConfig("tfzoo_table", str(tmp_path / "tfds"), str(path)))


def test_a_table_without_a_file(tmp_path):
    for path, words in ((None, "data.path: must be set"), ("/none", "no such file")):
        with pytest.raises(InputError, match=words):
            data.builder(DataConfig("tfzoo_table", str(tmp_path), path))

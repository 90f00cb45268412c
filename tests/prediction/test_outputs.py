"""Outputs as files: names, numbers and strings are preserved."""

import csv
import json

import numpy as np
import pytest

from tfzoo.errors import InputError
from tfzoo.prediction.outputs import Answers


def answers(suffix, files=("a.png", "b.png"), **outputs):
    answered = Answers(suffix)
    answered.add(list(files), {k: np.asarray(v) for k, v in outputs.items()}, batched=True)
    return answered


def strict(text):
    """Standard JSON, without NaN."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def test_npz_takes_outputs_of_any_name(tmp_path):
    outputs = {"file": [1.0, 2.0], "allow_pickle": [True, False], "args": [[1, 2], [3, 4]]}
    answers(".npz", **outputs, labels=[b"ape", "h\u00e9ron".encode()]).write(tmp_path / "o.npz")
    with np.load(tmp_path / "o.npz", allow_pickle=False) as archive:
        for name, value in outputs.items():
            np.testing.assert_array_equal(archive[name], value)
        assert archive["labels"].tolist() == ["ape", "h\u00e9ron"]
        assert archive["file_"].tolist() == ["a.png", "b.png"]


def test_csv_has_a_row_a_file_and_a_column_a_number(tmp_path):
    p = np.array([[0.1, 0.9], [np.nan, 1 / 3]], "float32")
    answers(".csv", p=p, classes=[1, 0], labels=[b"bee, the", b"ape"]).write(tmp_path / "o.csv")
    rows = list(csv.reader((tmp_path / "o.csv").open(newline="")))
    assert rows == [
        ["file", "p_0", "p_1", "classes", "labels"],
        ["a.png", "0.1", "0.9", "1", "bee, the"],
        ["b.png", "NaN", "0.33333334", "0", "ape"],
    ]


def test_csv_refuses_what_is_no_vector():
    with pytest.raises(InputError, match=r"'logits' is of \[3, 4\]; must end in .npz or .json"):
        answers(".csv", logits=np.zeros((2, 3, 4)))


def test_csv_columns_do_not_cover_each_other(tmp_path):
    with pytest.raises(InputError, match="two columns 'a_0'"):
        answers(".csv", a=np.zeros((2, 1)), a_0=[1, 2]).write(tmp_path / "o.csv")
    assert not (tmp_path / "o.csv").exists()


def test_json_stays_json(tmp_path):
    x = np.array([[0.1, np.nan], [np.inf, -np.inf]], "float32")
    answers(".json", x=x, y=np.array([1, 2], "float16"), t=[b"ok", b"\xff"]).write(tmp_path / "o")
    assert strict((tmp_path / "o").read_text())["t"] == ["ok", {"b64": "/w=="}]
    assert strict(answers(".json", x=x).to_json()) == {
        "file": ["a.png", "b.png"],
        "x": [[0.1, "NaN"], ["Infinity", "-Infinity"]],
    }
    one = answers(".json", ["a.png"], t=np.array([b"\xff"], object), scalar=[np.nan])
    assert strict(one.to_json()) == {"t": [{"b64": "/w=="}], "scalar": ["NaN"]}


def test_bytes_that_are_no_text_go_to_json_alone():
    for suffix in (".npz", ".csv"):
        with pytest.raises(InputError, match="holds only text as bytes"):
            answers(suffix, raw=np.array([b"\xff", b"a"], object))


def test_rows_of_several_shapes_go_to_json_alone(tmp_path):
    for suffix in (".json", ".npz"):
        both = Answers(suffix)
        for i, size in enumerate((2, 3)):
            both.add([f"{i}.txt"], {"logits": np.ones((1, size))}, batched=True)
        if suffix == ".json":
            assert strict(both.to_json())["logits"] == [[1, 1], [1, 1, 1]]
        else:
            with pytest.raises(InputError, match=r"rows of 'logits' are of \[2\] and \[3\]"):
                both.write(tmp_path / "o.npz")


def test_an_answer_to_a_whole_file_is_a_row():
    whole = Answers()
    whole.add(["a.npz"], {"distance": np.float32(0.5)}, batched=False)
    assert strict(whole.to_json()) == {"distance": [0.5]}
    with pytest.raises(InputError, match=r"output 'x': is \[2\] for 1 rows"):
        whole.add(["a.npz"], {"x": np.zeros(2)}, batched=True)

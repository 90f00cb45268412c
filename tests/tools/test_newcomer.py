"""The newcomer's protocol: its files, and that a recipe passes."""

import csv
import json

import numpy as np
import pytest
from newcomer import FORMS, main, offered, write_files

from support import TESTS


def test_both_files_hold_the_same_digits(tmp_path):
    paths = write_files(tmp_path)
    with np.load(paths["arrays"]) as arrays:
        x, y = arrays["x"], arrays["y"]
    assert x.shape == (1797, 28, 28, 1) and x.dtype == np.uint8 and x.max() == 255
    counts = [len(list((paths["folder"] / f"digit{label}").iterdir())) for label in range(10)]
    assert counts == np.bincount(y).tolist()


@pytest.mark.slow
def test_the_quickest_recipe_reaches_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["collegial/digits"]) == 0
    assert "2 of 2 reached the line" in capsys.readouterr().out


def test_the_committed_run_is_of_every_recipe_on_offer():
    folder = TESTS.parent / "results" / "own_data"
    study = json.loads((folder / "newcomer.json").read_text())
    arms = {f"{name}, {form}" for name in offered() for form in FORMS}
    assert study["reached"].keys() == arms
    with (folder / "newcomer-results.csv").open() as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    for arm in arms:
        line = study["line"][arm.rpartition(", ")[2]]
        assert study["reached"][arm] == (float(rows[arm]["accuracy"]) >= line)
    assert {rows[arm]["commit"] for arm in arms} == {study["commit"]}

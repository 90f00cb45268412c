"""The newcomer's protocol: its files, and that a recipe passes."""

import numpy as np
import pytest
from newcomer import main, write_files


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

"""Checkpoints are complete or absent, and hold everything that determines a training."""

import keras
import numpy as np
import pytest

from tfzoo.errors import InputError
from tfzoo.training.checkpoint import KEEP, Checkpoints, state_variables


def model():
    small = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    small.compile("adam", "mse", metrics=["mae"])
    return small


def values(small):
    return [keras.ops.convert_to_numpy(v).copy() for v in state_variables(small)]


def trained(small, steps=1):
    small.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=steps, verbose=0)
    return small


def test_everything_comes_back(tmp_path):
    first, store = trained(model()), Checkpoints(tmp_path)
    expected = values(first)
    paths = [v.path for v in state_variables(first)]
    assert any("seed" in p for p in paths), "the dropout's generator"
    assert any("adam" in p and "momentum" in p for p in paths), "the optimizer's moments"
    assert any("mae" in p for p in paths) or any("mean" in p for p in paths), "metric states"
    store.save(3, state_variables(first), {"step": 3})
    second = trained(model(), 2)
    assert store.restore(state_variables(second)) == {"step": 3}
    for a, b in zip(expected, values(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_file_is_passed_over(tmp_path):
    small, store = trained(model()), Checkpoints(tmp_path)
    store.save(1, state_variables(small), {"step": 1})
    store.save(2, state_variables(small), {"step": 2})
    newest = store.latest()
    whole = newest.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:100] + b"x" + whole[101:], b""):
        newest.write_bytes(damaged)
        assert store.restore(state_variables(small)) == {"step": 1}


def test_only_the_newest_are_kept(tmp_path):
    small, store = model(), Checkpoints(tmp_path)
    (tmp_path / ".0000000105-a1b2c3d4.npz").write_bytes(b"half")  # tfzoo 0.1 killed here
    for step in range(5):
        store.save(step, small.variables, {})
    assert [int(p.stem) for p in sorted(tmp_path.iterdir())] == list(range(5 - KEEP, 5))


def test_nan_is_never_saved(tmp_path):
    small, store = model(), Checkpoints(tmp_path)
    small.layers[-1].kernel.assign([[np.nan], [0.0]])
    with pytest.raises(FloatingPointError, match="kernel"):
        store.save(1, small.variables, {})
    assert store.latest() is None


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        Checkpoints(tmp_path).save(1, model().variables, {})
    assert list(tmp_path.iterdir()) == []


def test_another_models_checkpoint_is_refused(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(1, model().variables, {})
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(InputError, match="another model"):
        store.restore(other.variables)


def test_only_the_writer_writes(tmp_path):
    Checkpoints(tmp_path / "none", writer=False).save(1, model().variables, {})
    assert not (tmp_path / "none").exists()

"""Per-example gradients of random architectures: equal to tapes one at a time, or refused."""

import warnings

import keras
import numpy as np
import pytest

from support import load_module
from tfzoo.afv import PerExampleGradients

architectures = load_module("afv/architectures.py")
gradients_tests = load_module("afv/test_gradients.py")


def outcome(seed):
    """`fast`, `slow` (some variables by the whole model) or `refused`; fails if gradients are
    wrong."""
    keras.utils.clear_session()
    model, coupled = architectures.architecture(seed)
    x = np.random.default_rng(seed + 1).normal(size=(3, *model.input_shape[1:])).astype("float32")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gradients = PerExampleGradients(model)
    except ValueError as error:
        assert coupled, (seed, error)
        return "refused"
    # coupling in a layer whose output the head does not use has no effect on gradients
    expected, rows = gradients_tests.loop(model, x), gradients(x).numpy()
    coarse = model.compute_dtype == "bfloat16"
    scale = np.abs(expected).max() + 1e-30
    assert np.abs(rows - expected).max() <= (0.1 if coarse else 1e-4) * scale, seed
    return "slow" if gradients.slow_variables else "fast"


@pytest.mark.parametrize("seed", [3, 8, 9])
def test_a_few_random_architectures(seed):
    outcome(seed)


@pytest.mark.slow
def test_two_hundred_random_architectures(record_property):
    outcomes = [outcome(seed) for seed in range(200)]
    counts = {name: outcomes.count(name) for name in ("fast", "slow", "refused")}
    print(f"200 random architectures: {counts}")
    record_property("counts", counts)
    assert counts["fast"] > 100 and counts["slow"] > 10 and counts["refused"] > 1

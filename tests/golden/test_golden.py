"""Files saved by earlier versions still load and give the same outputs."""

import keras
import numpy as np
import pytest

from samples import LAYERS, call
from support import TESTS


@pytest.mark.parametrize("name", LAYERS)
def test_a_saved_file_still_loads_and_gives_the_recorded_outputs(name):
    path = TESTS / "golden" / f"{name.replace('>', '.')}.keras"
    assert path.exists(), "run tests/golden/make.py"
    expected = np.load(path.with_suffix(".npz"))
    outputs = call(keras.models.load_model(path), name)
    assert len(outputs) == len(expected.files)
    for key, value in zip(expected.files, outputs, strict=True):
        np.testing.assert_allclose(value, expected[key], rtol=1e-4, atol=1e-5)

"""Forward passes and losses are the same numbers on JAX."""

import os
import subprocess
import sys

import numpy as np
import pytest

from support import TESTS, load_module


@pytest.mark.slow
def test_jax_gives_the_same(tmp_path):
    pytest.importorskip("jax")
    path = tmp_path / "jax.npz"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, TESTS / "afv" / "backends.py", path]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    ours, theirs = load_module("afv/backends.py").compute(), np.load(path)
    assert sorted(ours) == sorted(theirs.files) and len(ours) == 20
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, rtol=2e-4, atol=1e-5, err_msg=name)

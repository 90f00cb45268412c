"""Memory for preparing and opening a user's file, above the process's start."""

import json

import numpy as np
import pytest
import tensorflow as tf

from support import TESTS, command
from tfzoo.data import memory
from tfzoo.data.rows import CHUNK_BYTES


@pytest.mark.slow  # it writes and reads 500 MB
def test_peaks_stay_below_the_data_and_one_chunk(tmp_path):
    status, out, err = command(TESTS / "data" / "memory_child.py", tmp_path, timeout=600)
    assert status == 0, err[-3000:]
    peaks = json.loads(out.splitlines()[-1])
    whole, large = peaks["data"], peaks["large"]
    # TFDS sorts up to 1 GB in memory: here, the only shard
    assert large["prepared"] < 1.3 * (whole + CHUNK_BYTES)
    assert large["opened"] < 1.3 * (0.8 * whole + CHUNK_BYTES)  # the train split
    assert peaks["classified"] < 1.3 * (0.9 * whole + CHUNK_BYTES)
    assert peaks["played"] < 1.3 * (peaks["video"] + CHUNK_BYTES)
    assert peaks["recorded"] < 1.3 * (peaks["transitions"] + peaks["shard"])
    assert "must have 64 rows" in peaks["says"]
    assert peaks["declared"] < CHUNK_BYTES  # of 4 GB
    assert peaks["covered"] < 4 * CHUNK_BYTES  # the points alone are 1.4 GB


def test_joined_parts_are_one_after_the_other_and_alike():
    parts = [{"x": np.full((n, 2), n)} for n in (3, 0, 70, 1)]
    whole = memory.joined(iter(parts))
    np.testing.assert_array_equal(whole["x"][:, 1], [3] * 3 + [70] * 70 + [1])
    with pytest.raises(
        ValueError, match=r"must have equal dtypes and shapes: int64\[2\] and int64\[3\]"
    ):
        memory.joined([np.zeros((1, 2), int), np.zeros((1, 3), int)])
    with pytest.raises(ValueError, match="must be at least one"):
        memory.joined([])


def test_arrays_of_strings_are_bytes():
    files = [b"a" * n for n in (5, 0, 3)]
    strings, numbers = memory.arrays(tf.data.Dataset.from_tensor_slices((files, [1, 2, 3])))
    assert strings.tolist() == files and numbers.tolist() == [1, 2, 3]

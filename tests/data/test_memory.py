"""Memory: what preparing and opening a user's file takes above the process's start."""

import json

import pytest

from support import TESTS, command
from tfzoo.data.rows import CHUNK_BYTES

pytestmark = pytest.mark.slow  # it writes and reads 300 MB


def test_peaks_stay_below_the_data_and_one_chunk(tmp_path):
    status, out, err = command(TESTS / "data" / "memory_child.py", tmp_path, timeout=600)
    assert status == 0, err[-3000:]
    found = json.loads(out.splitlines()[-1])
    whole, large = found["data"], found["large"]
    # TFDS sorts up to 1 GB in memory: here that is the one shard
    assert large["prepared"] < 1.3 * (whole + CHUNK_BYTES)
    assert large["opened"] < 1.3 * (0.8 * whole + CHUNK_BYTES)  # the train split
    assert "must have 64 rows" in found["says"]
    assert found["declared"] < CHUNK_BYTES  # of 4 GB
    assert found["covered"] < 4 * CHUNK_BYTES  # the points alone are 1.4 GB

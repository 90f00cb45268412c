"""Custom training steps on two replicas equal the step on one device."""

import json
import subprocess
import sys
from types import SimpleNamespace

import keras
import pytest

from support import TESTS, slow
from tfzoo.training import replicas
from tfzoo.training.distribute import synchronised

SLOW = ("sdn, mlp", "sdn, conv", "afv, lsgan", "afv, vgan", "skipclip")
CASES = ["entropy", *map(slow, SLOW)]


@pytest.mark.parametrize("case", CASES)
def test_two_replicas_make_the_step_of_one_device(case):
    words = [sys.executable, TESTS / "training" / "replicas_child.py", case]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)[case]
    assert result["worst"][1] < 1, result["worst"]
    assert result["moved"] > 1e-2
    for name, (one, two) in result["logs"].items():
        assert two == pytest.approx(one, rel=1e-3, abs=1e-5), name


def test_one_replica_changes_nothing():
    assert replicas.count() == 1
    assert replicas.share(3.0) == replicas.mean(3.0) == replicas.total(3.0) == 3.0
    assert replicas.draw(2, lambda rows: [0] * rows) == [0, 0]


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_the_file_says_what_the_layer_said(said, count):
    layer = keras.layers.BatchNormalization(synchronized=said)
    model = keras.Sequential([keras.Input((2,)), layer])
    strategy = SimpleNamespace(num_replicas_in_sync=count)
    with pytest.raises(KeyboardInterrupt), synchronised(strategy, model):
        assert layer.synchronized == (said or count > 1)
        raise KeyboardInterrupt
    assert layer.synchronized == said

"""The script for MuJoCo data writes what its builder reads."""

import numpy as np
import pytest

from tfzoo import data
from tfzoo.errors import InputError

pytest.importorskip("mujoco")
import mujoco_sets  # noqa: E402  of tools/


class Buffer:
    """Like Stable-Baselines3's buffer of one environment, half full."""

    def __init__(self):
        self.observations = np.arange(80.0).reshape(8, 1, 10)
        self.actions, self.rewards = np.full((8, 1, 3), 0.5), np.ones((8, 1))
        self.dones, self.timeouts = np.zeros((8, 1)), np.zeros((8, 1))
        self.dones[1], self.dones[2], self.timeouts[2] = 1, 1, 1

    def size(self):
        return 4


def test_a_replay_buffer_becomes_d4rls_arrays():
    arrays = mujoco_sets.replayed(Buffer())
    np.testing.assert_array_equal(arrays["terminals"], [False, True, False, False])
    np.testing.assert_array_equal(arrays["timeouts"], [False, False, True, True])
    assert arrays["observations"].shape == (4, 10) and arrays["observations"].dtype == np.float32


def test_random_sets_are_read_by_name(tmp_path, capsys):
    folder = tmp_path / "sets"
    mujoco_sets.main(["hopper", "random", str(folder), "--count", "40", "--seed", "3"])
    assert "40 transitions" in capsys.readouterr().out
    config = data.DataConfig("tfzoo_mujoco/hopper_random", str(tmp_path / "tfds"), str(folder))
    prepared = data.builder(config)
    assert "/hopper_random-v0-" in prepared.info.full_name
    rows = data.transitions(prepared)
    assert rows.observation.shape[1:] == (11,) and rows.action.shape[1:] == (3,)
    with np.load(folder / "hopper_random.npz") as held:
        arrays = {name: held[name] for name in held.files}
    kept = ~arrays["timeouts"]  # their next state is not known
    np.testing.assert_array_equal(rows.action, arrays["actions"][kept])
    np.testing.assert_array_equal(rows.discount, 1.0 - arrays["terminals"][kept])
    for name in ("medium", "expert"):  # of two files together
        np.savez(folder / f"hopper_{name}.npz", **arrays)
    both = data.DataConfig("tfzoo_mujoco/hopper_medium_expert", config.data_dir, str(folder))
    assert len(data.transitions(data.builder(both))) == 2 * len(rows)
    for name, path, words in (
        ("hopper_best", str(folder), "data.name='tfzoo_mujoco/hopper_best': must be one of"),
        ("hopper_medium", None, "data.path: must be set, to the folder of hopper_medium.npz"),
        ("halfcheetah_medium", str(folder), "halfcheetah_medium.npz.*no such file"),
    ):
        with pytest.raises(InputError, match=words):
            data.builder(data.DataConfig(f"tfzoo_mujoco/{name}", config.data_dir, path))
    (folder / "hopper_random.npz").rename(folder / "halfcheetah_random.npz")
    wrong = data.DataConfig("tfzoo_mujoco/halfcheetah_random", config.data_dir, str(folder))
    with pytest.raises(InputError, match=r"of \(11, 3\) numbers, must be of \(17, 6\)"):
        data.builder(wrong)

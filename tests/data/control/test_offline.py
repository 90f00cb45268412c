"""Offline data: embedded mixtures, D4RL-style files, Minari, external RLDS, broken files."""

import json
import shutil
import sys

import h5py
import numpy as np
import pytest
import tensorflow as tf

from tfzoo import data
from tfzoo.data import DataConfig
from tfzoo.data.control import offline_files, tasks
from tfzoo.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari.utils")
EPISODES = (3, 2, 4)  # ends: by a terminal, by a time limit, by the end of the file


def rows():
    rng = np.random.default_rng(0)
    count = sum(EPISODES)
    ends = np.cumsum(EPISODES) - 1
    arrays = {
        "observations": rng.normal(size=(count, 2)).astype("float32"),
        "actions": rng.uniform(-1, 1, (count, 1)).astype("float32"),
        "rewards": np.arange(count, dtype="float32"),
        "terminals": np.zeros(count, bool),
        "timeouts": np.zeros(count, bool),
    }
    arrays["terminals"][ends[0]] = True
    arrays["timeouts"][ends[1]] = True
    return arrays


def write(arrays, path):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
            file.create_group("metadata")
    return str(path)


def read(path, tmp_path):
    config = DataConfig("tfzoo_transitions", str(tmp_path / "tfds"), path)
    return data.transitions(data.builder(config))


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_without_next_observations_a_cut_step_is_left_out(suffix, tmp_path):
    arrays = rows()
    transitions = read(write(arrays, tmp_path / f"d{suffix}"), tmp_path)
    kept = [0, 1, 2, 3, 5, 6, 7]  # 4 and 8: the next state is unknown
    np.testing.assert_array_equal(transitions.reward, kept)
    np.testing.assert_array_equal(transitions.discount, [1, 1, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(transitions.observation, arrays["observations"][kept])
    following = [1, 2, None, 4, 6, 7, 8]
    for i, row in enumerate(following):
        if row is not None:
            np.testing.assert_array_equal(
                transitions.next_observation[i], arrays["observations"][row]
            )
    assert transitions.version.startswith("tfzoo_transitions/file-")


def test_next_observations_keep_every_step(tmp_path):
    arrays = rows()
    following = np.roll(arrays["observations"], -1, 0)
    following[[2, 4, 8]] = [[7, 7], [8, 8], [9, 9]]
    transitions = read(
        write(arrays | {"next_observations": following}, tmp_path / "d.npz"), tmp_path
    )
    np.testing.assert_array_equal(transitions.reward, range(9))
    np.testing.assert_array_equal(transitions.next_observation, following)
    np.testing.assert_array_equal(np.flatnonzero(transitions.discount == 0), [2])


def test_a_jump_between_rows_is_a_border(tmp_path):
    arrays = rows()
    following = np.roll(arrays["observations"], -1, 0) + 0.0
    following[0] += 1.0  # row 1 does not follow row 0
    write(arrays | {"next_observations": following}, tmp_path / "d.npz")
    episodes = offline_files.read(str(tmp_path / "d.npz"))
    assert [len(e.rewards) for e in episodes] == [1, 2, 2, 4]


def minari_04(path, **changes):
    (path / "data").mkdir(parents=True)
    with h5py.File(path / "data" / "main_data.hdf5", "w") as file:
        for i, ends in enumerate((True, False)):
            arrays = {
                "observations": np.arange(8.0).reshape(4, 2) + 10 * i,
                "actions": np.zeros((3, 1)),
                "rewards": np.arange(3.0) + 10 * i,
                "terminations": np.array([False, False, ends]),
                "truncations": np.array([False, False, not ends]),
            } | changes
            for name, array in arrays.items():
                file[f"episode_{i}/{name}"] = array
    return str(path)


def test_minari_04(tmp_path):
    transitions = read(minari_04(tmp_path / "m"), tmp_path)
    np.testing.assert_array_equal(transitions.reward, [0, 1, 2, 10, 11, 12])
    np.testing.assert_array_equal(transitions.discount, [1, 1, 0, 1, 1, 1])
    np.testing.assert_array_equal(transitions.next_observation[-1], [16, 17])


@pytest.fixture
def minari(tmp_path, monkeypatch):
    """Minari, with its data sets below `tmp_path`."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return pytest.importorskip("minari")


@pytest.mark.parametrize("form", ["hdf5", "arrow", "parquet"])
def test_minari(form, minari, tmp_path):
    import gymnasium

    env = gymnasium.make("Pendulum-v1", max_episode_steps=4)
    collector = minari.DataCollector(env, data_format=form)
    kept = []
    for seed in range(2):
        seen = [collector.reset(seed=seed)[0]]
        collector.action_space.seed(seed)
        for _ in range(4):
            action = collector.action_space.sample()
            following, reward, *_ = collector.step(action)
            kept.append((seen[-1], action, reward, following))
            seen.append(following)
    collector.create_dataset("pendulum/random-v0")
    transitions = read("pendulum/random-v0", tmp_path)  # by its id
    folder = str(tmp_path / "minari" / "pendulum" / "random-v0")
    assert offline_files.fingerprint(folder)[:12] in transitions.version
    names = ("observation", "action", "reward", "next_observation")
    for name, values in zip(names, zip(*kept, strict=True), strict=True):
        np.testing.assert_allclose(
            getattr(transitions, name), np.array(values, "float32"), err_msg=name
        )
    np.testing.assert_array_equal(transitions.discount, np.ones(8))
    same = data.minari_transitions("pendulum/random-v0").arrays()
    for name, array in transitions.arrays().items():
        np.testing.assert_array_equal(same[name], array, err_msg=name)
    second = minari.load_dataset("pendulum/random-v0").filter_episodes(lambda e: e.id == 1)
    some = data.minari_transitions(second)
    np.testing.assert_array_equal(some.reward, transitions.reward[4:])
    with pytest.raises(
        InputError, match="no downloaded Minari data set .*minari download no/no-v0"
    ):
        data.minari_transitions("no/no-v0")
    with pytest.raises(InputError, match="dataset=3: must be a Minari data set or its id"):
        data.minari_transitions(3)


def episodes_of_dicts(minari, form):
    """A data set with one terminating episode; observations have two parts and a nested part."""
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    box = lambda *shape: spaces.Box(-9, 9, shape, np.float64)  # noqa: E731
    space = spaces.Dict({"z": box(2), "a": spaces.Tuple([box(1), box(1, 2)])})
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=(4, *shape))  # noqa: E731
    observations = {"a": (draw(1), draw(1, 2)), "z": draw(2)}
    buffer = EpisodeBuffer(
        observations=observations,
        actions={"up": draw(1)[:3]},
        rewards=[1.0, 2.0, 3.0],
        terminations=[False, False, True],
        truncations=[False] * 3,
    )
    minari.create_dataset_from_buffers(
        "dicts-v0",
        buffer=[buffer],
        observation_space=space,
        action_space=spaces.Dict({"up": box(1)}),
        data_format=form,
    )
    rows = [
        spaces.flatten(space, {"z": z, "a": (a, b)})
        for z, a, b in zip(observations["z"], *observations["a"], strict=True)
    ]
    return np.array(rows, "float32"), buffer.actions["up"]


@pytest.mark.parametrize("form", ["hdf5", "arrow"])
def test_minari_of_dicts(form, minari, tmp_path):
    rows, actions = episodes_of_dicts(minari, form)
    (episode,) = offline_files.read(str(tmp_path / "minari" / "dicts-v0"))
    np.testing.assert_allclose(episode.observations, rows)
    np.testing.assert_allclose(episode.actions, actions, rtol=1e-6)
    np.testing.assert_array_equal(episode.rewards, [1, 2, 3])
    assert episode.terminal


def test_minari_by_content(minari, tmp_path):
    episodes_of_dicts(minari, "arrow")
    folder = tmp_path / "minari" / "dicts-v0"
    before = offline_files.fingerprint(str(folder))
    assert offline_files.fingerprint(str(shutil.copytree(folder, tmp_path / "copy"))) == before
    part = next((tmp_path / "copy").rglob("*.arrow"))
    part.write_bytes(part.read_bytes() + b"x")
    assert offline_files.fingerprint(str(tmp_path / "copy")) != before


def test_broken_minari(minari, tmp_path, monkeypatch):
    from gymnasium.envs.registration import EnvSpec

    episodes_of_dicts(minari, "arrow")
    folder = tmp_path / "minari" / "dicts-v0"
    about = folder / "data" / "metadata.json"
    told = json.loads(about.read_text())
    runs = EnvSpec("E-v0", entry_point="os:mkdir", kwargs={"path": str(tmp_path / "made")})
    less = {k: v for k, v in told.items() if k != "action_space"}
    worse = {
        "has no action_space": less | {"env_spec": runs.to_json()},
        "not readable.*does not support": told | {"minari_version": "9.0.0"},
        "not readable.*deserialize": told | {"observation_space": '{"type": "Sphere"}'},
    }
    for says, content in worse.items():
        about.write_text(json.dumps(content))
        with pytest.raises(InputError, match=says):
            offline_files.read(str(folder))
    assert not (tmp_path / "made").exists()  # no code named in a file is run
    about.write_text(json.dumps(told))
    next(folder.rglob("*.arrow")).write_bytes(b"no arrow")
    with pytest.raises(InputError, match="not readable as a Minari data set"):
        offline_files.read(str(folder))
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(InputError, match=r"pip install tfzoo\[rl\]"):
        offline_files.read(str(folder))


def test_gymnasiums_names_are_read_and_others_named(tmp_path, capsys):
    arrays = rows()
    names = {"terminals": "terminations", "timeouts": "truncations", "observations": "obs"}
    other = {names.get(name, name): x for name, x in arrays.items()}
    expected = offline_files.read(write(arrays, tmp_path / "a.npz"))
    for suffix in (".npz", ".h5"):
        path = write(
            other | {"seed": np.array(3), "truncated": arrays["timeouts"]}, tmp_path / f"b{suffix}"
        )
        episodes = offline_files.read(path)
        assert [len(e.rewards) for e in episodes] == [len(e.rewards) for e in expected] == [3, 1, 3]
        assert [e.terminal for e in episodes] == [True, False, False]
        assert read(path, tmp_path).discount.tolist() == [1, 1, 0, 1, 1, 1, 1]
        said = [x for x in capsys.readouterr().err.splitlines() if "ignores" in x]
        assert len(said) == 1 and "seed" in said[0] and f"b{suffix}" in said[0]
    differ = arrays | {"truncations": ~arrays["timeouts"]}
    with pytest.raises(InputError, match="timeouts and truncations are synonyms but"):
        offline_files.read(write(differ, tmp_path / "c.npz"))


def test_dones_are_terminals_but_at_a_time_limit(tmp_path):
    arrays = rows()
    dones = arrays["terminals"] | arrays["timeouts"]
    for other in ({"dones": dones}, {"dones": dones, "terminals": arrays["terminals"]}):
        kept = {k: v for k, v in arrays.items() if k != "terminals"} | other
        episodes = offline_files.read(write(kept, tmp_path / "a.npz"))
        assert [e.terminal for e in episodes] == [True, False, False]
    with pytest.raises(InputError, match="dones and terminals differ"):
        offline_files.read(write(arrays | {"dones": ~dones}, tmp_path / "a.npz"))


def test_an_episode_that_is_not_finite_is_left_out_on_demand(tmp_path, capsys):
    arrays = rows()
    arrays["rewards"][4] = np.nan
    arrays["observations"][3] = np.inf
    path = write(arrays, tmp_path / "a.npz")
    with pytest.raises(InputError, match="a.npz: episode 1': observations hold NaN.*on_error=skip"):
        offline_files.read(path)
    config = DataConfig("tfzoo_transitions", str(tmp_path), path, on_error="skip")
    np.testing.assert_array_equal(data.transitions(data.builder(config)).reward, [0, 1, 2, 5, 6, 7])
    assert "left out 1" in capsys.readouterr().err


def test_declared_lengths_are_compared_before_anything_is_read(tmp_path):
    path = tmp_path / "a.h5"
    for lying in ("rewards", "observations"):
        write(rows(), path)
        with h5py.File(path, "a") as file:
            shape = (200_000_000, *file[lying].shape[1:])
            del file[lying]
            file.create_dataset(lying, shape, "f4", chunks=True)
        with pytest.raises(InputError, match="must have .* rows, as rewards has"):
            offline_files.read(str(path))
    with h5py.File(path, "w") as file:
        for name, x in rows().items():
            file.create_dataset(name, (200_000_000, *x.shape[1:]), x.dtype, chunks=True)
    with pytest.raises(InputError, match=r"declares \d+ bytes, of which the file holds 0"):
        offline_files.read(str(path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rewards": None}, "has no rewards"),
        ({"actions": np.zeros((3, 1))}, r"actions \[3, 1\] must have 9 rows"),
        ({"rewards": np.full(9, np.nan)}, "rewards hold NaN"),
        ({"observations": np.full((9, 2), np.inf)}, "observations hold NaN or infinity"),
        ({"rewards": np.zeros((9, 2))}, r"rewards \[9, 2\] must be one number per transition"),
        ({"actions": np.full((9, 1), b"up")}, "actions are .*; must be numbers"),
    ],
)
def test_broken_arrays(change, says, tmp_path):
    arrays = {k: v for k, v in (rows() | change).items() if v is not None}
    for suffix in (".npz", ".h5"):
        path = write(arrays, tmp_path / f"d{suffix}")
        with pytest.raises(InputError, match=says):
            offline_files.read(path)


def test_an_empty_data_set(tmp_path):
    path = write({k: v for k, v in rows().items() if k != "rewards"}, tmp_path / "d.h5")
    with h5py.File(path, "a") as file:
        file["rewards"] = h5py.Empty("f8")
    with pytest.raises(InputError, match="rewards are object; must be numbers"):
        offline_files.read(path)


def test_broken_files(tmp_path):
    empty = {k: v[:0] for k, v in rows().items()}
    with pytest.raises(InputError, match="must have transitions, has none"):
        offline_files.read(write(empty, tmp_path / "e.npz"))
    for name in ("x.npz", "x.hdf5"):
        (tmp_path / name).write_bytes(b"no such format")
        with pytest.raises(InputError, match="not readable as HDF5|must be an .npz"):
            offline_files.read(str(tmp_path / name))
    (tmp_path / "x.csv").write_text("1,2")
    for path, says in ((tmp_path / "x.csv", "must end in"), (tmp_path / "no.npz", "no such file")):
        with pytest.raises(InputError, match=says):
            offline_files.read(str(path))
    with pytest.raises(InputError, match="must be a Minari data set"):
        offline_files.read(str(tmp_path))
    with pytest.raises(InputError, match="episode_0 has 2 terminations; must be 3"):
        offline_files.read(minari_04(tmp_path / "m", terminations=np.zeros(2, bool)))
    with pytest.raises(InputError, match="data.path: must be set"):
        data.builder(DataConfig("tfzoo_transitions"))


@pytest.mark.parametrize("mixture", tasks.MIXTURES)
def test_embedded_mixtures(mixture, tmp_path):
    config = DataConfig(f"tfzoo_pointmass_offline/{mixture}", str(tmp_path))
    transitions = data.transitions(data.builder(config))
    assert len(transitions) == (1000 if mixture == "human" else 4000)
    assert transitions.version == f"tfzoo_pointmass_offline/{mixture}/1.0.0"
    assert (transitions.discount == 1).all() and np.abs(transitions.action).max() <= 1
    state, reward = tasks.POINT_MASS.step(
        transitions.observation.astype("float64"), transitions.action.astype("float64")
    )
    np.testing.assert_allclose(transitions.next_observation, state, atol=1e-5)
    np.testing.assert_allclose(transitions.reward, reward, atol=1e-5)
    returns = transitions.reward.reshape(-1, 100).sum(1)
    best, random = tasks.POINT_MASS.expert_return, tasks.POINT_MASS.random_return
    if mixture == "random":
        assert abs(returns.mean() - random) < 40
    else:
        assert returns.max() > 3 * best


def test_a_mixture_is_drawn_by_its_seed():
    one, two = (tasks.collect(tasks.PENDULUM, "human") for _ in range(2))
    np.testing.assert_array_equal(one["actions"], two["actions"])
    other = tasks.collect(tasks.PENDULUM, "human", 1)
    assert (other["actions"] != one["actions"]).any()


def test_rlds_of_d4rls_builders():
    """TFDS's `d4rl_*` have steps with these fields; checks omitted steps and terminal states."""
    from tfzoo.data.control.transitions import _of_episode

    steps = {
        "observation": tf.reshape(tf.range(8.0), [4, 2]),
        "action": tf.zeros([4, 1]),
        "reward": tf.constant([1.0, 2.0, 3.0, 0.0]),
        "discount": tf.constant([1.0, 1.0, 0.0, 0.0]),
        "is_first": tf.constant([True, False, False, False]),
        "is_last": tf.constant([False, False, False, True]),
        "is_terminal": tf.constant([False, False, False, True]),
    }
    rows = _of_episode(steps)
    np.testing.assert_array_equal(rows["reward"], [1, 2, 3])
    np.testing.assert_array_equal(rows["discount"], [1, 1, 0])
    np.testing.assert_array_equal(rows["next_observation"][:-1], rows["observation"][1:])
    cut = _of_episode(steps | {"is_terminal": tf.zeros([4], tf.bool)})
    np.testing.assert_array_equal(cut["discount"], [1, 1, 1])


def test_data_of_another_form(tmp_path):
    builder = data.builder(DataConfig("tfzoo_digits", str(tmp_path)))
    with pytest.raises(InputError, match="must hold episodes of steps"):
        data.transitions(builder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"actions": np.arange(6)}, "actions are int64, indices of discrete actions; must be cont"),
        ({"actions": np.arange(6.0)[:, None] % 3}, "whole numbers from 0 to 2, discrete actions"),
        ({"actions": np.eye(3)[np.arange(6) % 3]}, "one-hot, which stands for discrete actions"),
        ({"next_observations": np.zeros((6, 3))}, r"next_observations have \[3\] numbers, must"),
    ],
)
def test_discrete_actions_and_other_widths_are_refused_by_that_word(changes, says, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"observations": rng.normal(size=(6, 2)), "actions": rng.uniform(-1, 1, (6, 1))}
    arrays |= {"rewards": np.zeros(6), "terminals": np.arange(6) == 5} | changes
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=says):
        offline_files.read(str(tmp_path / "a.npz"))


def test_dicts_in_hdf5_are_refused_by_that_word(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["observations/place"] = np.zeros((6, 2))
        file["actions"] = file["rewards"] = file["terminals"] = np.zeros(6)
    with pytest.raises(InputError, match="observations are a dict of place, must be one array"):
        offline_files.read(str(tmp_path / "a.hdf5"))

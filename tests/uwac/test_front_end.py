"""The d3rlpy-like front end."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo import data
from tfzoo.errors import InputError
from tfzoo.uwac import UWACConfig

SMALL = {
    "hidden": [8, 8],
    "vae_units": 8,
    "n_mc_samples": 2,
    "n_action_samples": 3,
    "n_target_samples": 2,
    "batch_size": 16,
}


@pytest.fixture(scope="module")
def transitions():
    return data.transitions(data.builder(data.DataConfig("tfzoo_pointmass_offline/human")))


def test_fit_and_predict(transitions, tmp_path):
    learner = UWACConfig.paper(**SMALL, warmup_steps=0).create()
    asked = []
    judges = {"mine": lambda it: asked.append(it) or 3.0}
    rows = learner.fit(transitions, 25, 10, judges, log_dir=tmp_path / "board")
    (events,) = (tmp_path / "board").glob("events*")
    mine = [
        (event.step, float(tf.make_ndarray(value.tensor)))
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
        if value.tag == "mine"
    ]
    assert mine == [(10, 3.0), (20, 3.0), (25, 3.0)]
    assert [r["step"] for r in rows] == [10, 20, 25] and rows[0]["mine"] == 3.0
    assert len(asked) == 3 and asked[0] is learner
    assert learner.fit(transitions.arrays(), 5, 5)[0]["step"] == 30  # continues
    x, a = transitions.observation[:6], transitions.action[:6]
    assert learner.predict(x).shape == (6, 2)
    np.testing.assert_array_equal(learner.predict(x), learner.predict(x))
    mean, std = learner.predict_uncertainty(x, a)
    np.testing.assert_array_equal(mean, learner.predict_value(x, a))
    assert (std > 0).all() and learner.sample_action(x).shape == (6, 2)
    hole = x + np.where(np.arange(4) == 2, np.nan, 0)
    for ask in (learner.predict, learner.sample_action, lambda v: learner.predict_value(v, a)):
        with pytest.raises(InputError, match="observation: holds NaN or infinity"):
            ask(hole)
        with pytest.raises(InputError, match=r"observation: \[6, 3\], must be \[B, 4\]"):
            ask(x[:, :3])
    with pytest.raises(InputError, match="action: holds NaN"):
        learner.predict_value(x, a * np.nan)
    learner.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded(x), learner.model(x), rtol=1e-5)
    learner.save_policy(tmp_path / "policy")
    assert hasattr(tf.saved_model.load(str(tmp_path / "policy")), "action")


def test_presets():
    assert UWACConfig.paper().settings.weight_fn == "inverse"
    code = UWACConfig.official_code(beta=0.7)
    assert (code.settings.weight_fn, code.settings.weight_power, code.settings.beta) == (
        "exp",
        2,
        0.7,
    )


def test_refuses(transitions):
    learner = UWACConfig.paper(**SMALL).create()
    with pytest.raises(InputError, match="must be fitted first"):
        learner.predict(transitions.observation[:1])
    with pytest.raises(InputError, match="n_steps=0"):
        learner.fit(transitions, 0)
    arrays = transitions.arrays()
    for change, says in (
        ({"reward": arrays["reward"][:5]}, "must have 2 axes and 5 rows"),
        ({"action": arrays["action"] * np.nan}, "action holds NaN"),
    ):
        with pytest.raises(InputError, match=says):
            learner.fit(arrays | change, 1)
    one = {"observation": arrays["observation"][:4], "action": arrays["action"][:4]}
    one |= {name: arrays[name][:4] for name in ("reward", "discount", "next_observation")}
    for change, says in (
        ({"action": one["action"] * 0 + 2}, "dataset: action 2 .* must be from -1 to 1; set act"),
        ({"discount": np.array([1, 7, 1, 1.0])}, "discount 7 of transition 1 must be from 0"),
        ({"discount": -np.ones(4)}, "discount -1 of transition 0"),
        ({"action": np.array([[0], [1], [2], [3]])}, "actions are int64, .* discrete actions"),
        ({"action": np.array([0, 1, 2, 3])}, "actions are int64, .* discrete actions"),
        ({"action": np.array([[0.0], [3], [2], [1]])}, "whole numbers from 0 to 3, discrete"),
        ({"action": np.eye(3)[[0, 1, 2, 1]]}, "one-hot, which stands for discrete actions"),
        ({"next_observation": np.zeros((4, 3))}, "next_observation has 3 numbers, must have 4"),
        ({"observation": {"place": np.zeros((4, 4))}}, "observation: is a dict of place, must be"),
        ({"reward": np.array(["a"] * 4)}, "reward: <U1 values, must be numbers"),
    ):
        with pytest.raises(InputError, match=says):
            learner.fit(one | change, 1)
    assert learner.model is None  # all before work begins
    with pytest.raises(InputError, match="has no reward"):
        learner.fit({k: v for k, v in arrays.items() if k != "reward"}, 1)
    with pytest.raises(InputError, match="lambda_: no such setting"):
        UWACConfig.paper(lambda_=1)
    with pytest.raises(InputError, match="path="):
        learner.save("model.h5")

"""The learner beyond `fit`: saved to a file, evaluated, in an environment."""

import numpy as np
import pytest

from tfzoo import data
from tfzoo.errors import InputError
from tfzoo.uwac import UWAC, UWACConfig, evaluators

SMALL = {
    "hidden": [6, 6],
    "vae_units": 6,
    "n_mc_samples": 2,
    "n_action_samples": 2,
    "n_target_samples": 2,
    "batch_size": 16,
    "warmup_steps": 0,
}


@pytest.fixture(scope="module")
def transitions():
    rng, n = np.random.default_rng(0), 60
    x = rng.normal(size=(n + 1, 3)).astype("float32")
    action = rng.uniform(-1, 1, (n, 1)).astype("float32")
    reward, discount = -rng.uniform(size=n).astype("float32"), np.ones(n, "float32")
    return data.Transitions(x[:-1], action, reward, discount, x[1:])


@pytest.fixture(scope="module")
def learner(transitions):
    """With untrained networks: tracing a step takes longer than all these tests."""
    fresh = UWACConfig.paper(**SMALL).create()
    fresh._checked(transitions)
    return fresh


def test_a_file_holds_the_whole_learner(learner, tmp_path):
    rng = np.random.default_rng(0)
    for optimizer, _ in learner._agent.optimizers.values():
        for variable in optimizer.variables[2:]:  # except the counter and the rate
            variable.assign(rng.uniform(0, 1, variable.shape))
    learner._agent.train_step_counter.assign(7)
    learner.save(tmp_path / "a.keras")
    loaded = UWAC.load(tmp_path / "a.keras")
    learner._agent.train_step_counter.assign(0)
    assert loaded.config == learner.config and int(loaded._agent.train_step_counter) == 7
    for name, (optimizer, _) in learner._agent.optimizers.items():
        theirs = loaded._agent.optimizers[name][0].variables
        for a, b in zip(optimizer.variables, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    loaded.model.save(tmp_path / "b.keras")
    with pytest.raises(InputError, match="b.keras'?: holds no learner, must be from UWAC.save"):
        UWAC.load(tmp_path / "b.keras")


@pytest.mark.slow
def test_a_loaded_learner_goes_on_as_if_it_had_never_stopped(transitions, tmp_path):
    first = UWACConfig.paper(**SMALL, seed=3).create()
    first.fit(transitions, 4, 4)
    first.save(tmp_path / "a.keras")
    second = UWAC.load(tmp_path / "a.keras")
    assert second.config == first.config
    rows = [learner.fit(transitions, 5, 5) for learner in (first, second)]
    assert rows[0] == rows[1] and rows[0][0]["step"] == 9
    for a, b in zip(first.model.weights, second.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_evaluators_judge_a_learner(learner, transitions, monkeypatch):
    # its own draws depend on a row's position, and evaluators shuffle rows
    monkeypatch.setattr(learner, "predict", lambda observation: np.tanh(observation[:, :1]))
    x, a, r = transitions.observation, transitions.action, transitions.reward
    following = transitions.next_observation
    target = r + 0.99 * learner.predict_value(following, learner.predict(following))
    expected = np.mean((target - learner.predict_value(x, a)) ** 2)
    assert evaluators.td_error(transitions)(learner) == pytest.approx(expected, rel=1e-4)
    own = learner.predict_value(x, learner.predict(x)).mean()
    assert evaluators.value_scale(transitions)(learner) == pytest.approx(own, rel=1e-4)
    with pytest.raises(InputError, match="episodes=0"):
        evaluators.environment_return("tfzoo/Pendulum-v0", 0)
    with pytest.raises(InputError, match="must be fitted first"):
        evaluators.value_scale(transitions)(UWACConfig.paper(**SMALL).create())


def test_steps_of_an_environment_are_transitions(learner):
    steps = learner.collect("tfzoo/Pendulum-v0", 8, seed=1)
    assert steps.observation.shape == (8, 3) and steps.action.shape == (8, 1)
    np.testing.assert_array_equal(steps.observation[1:], steps.next_observation[:-1])
    assert (steps.discount == 1).all() and (steps.reward < 0).all()
    assert np.abs(steps.action).max() <= 1 and np.ptp(steps.action) > 0
    with pytest.raises(InputError, match="sizes"):
        learner.collect("tfzoo/PointMass-v0", 8)


@pytest.mark.slow
def test_training_goes_on_in_the_pendulum(learner, transitions):
    before = int(learner._agent.train_step_counter.numpy())
    weights = learner.model.q1.get_weights()
    judge = {"return": evaluators.environment_return("tfzoo/Pendulum-v0", 2)}
    rows = learner.fit_online(
        "tfzoo/Pendulum-v0", 230, 115, dataset=transitions, n_first=20, evaluators=judge
    )
    assert [row["step"] - before for row in rows] == [115, 230]  # past an episode's end, 200 steps
    assert all(np.isfinite(list(row.values())).all() and row["return"] < 0 for row in rows)
    assert any((a != b).any() for a, b in zip(weights, learner.model.q1.get_weights(), strict=True))
    alone = learner.fit_online("tfzoo/Pendulum-v0", 3, 3, n_first=5, capacity=10)
    assert alone[0]["step"] == before + 233
    with pytest.raises(InputError, match="capacity=5: must be above n_first=5"):
        learner.fit_online("tfzoo/Pendulum-v0", 3, n_first=5, capacity=5)
    cloned = UWACConfig.paper(**SMALL, algorithm="bc").create()
    cloned.fit(transitions, 2, 2)
    with pytest.raises(InputError, match="algorithm='bc': must be uwac or bear, online"):
        cloned.fit_online("tfzoo/Pendulum-v0", 3)

"""The embedded tasks, gymnasium environments for TF-Agents, and scores."""

import gymnasium
import numpy as np
import pytest
from tf_agents.environments import utils

from tfzoo.data.control import tasks
from tfzoo.errors import InputError
from tfzoo.uwac import extras, normalised
from tfzoo.uwac.evaluation import play

environments = extras.load("tfzoo.uwac.environments")


def test_the_pendulum_is_gymnasiums():
    theirs = gymnasium.make("Pendulum-v1").unwrapped
    theirs.reset(seed=0)
    state = theirs.state[None].astype("float64")
    rng = np.random.default_rng(0)
    for _ in range(50):
        action = rng.uniform(-1, 1, (1, 1))
        state, reward = tasks.PENDULUM.step(state, action)
        observation, expected, *_ = theirs.step(2 * action[0])
        np.testing.assert_allclose(tasks.PENDULUM.observe(state)[0], observation, atol=1e-4)
        np.testing.assert_allclose(reward[0], expected / 10, atol=1e-5)


@pytest.mark.parametrize("task", tasks.TASKS.values(), ids=lambda t: t.name)
def test_reference_returns_are_what_the_behaviours_get(task):
    for name, expected in (("random", task.random_return), ("expert", task.expert_return)):
        behaviour = tasks._random(task) if name == "random" else tasks._noisy(task, 1.0, 0.0)
        episodes = tasks.rollout(task, behaviour, 1000, np.random.RandomState(0))
        np.testing.assert_allclose(
            episodes["rewards"].astype("float64").sum(1).mean(), expected, 1e-3
        )


@pytest.mark.parametrize("name", ["tfzoo/PointMass-v0", "tfzoo/Pendulum-v0"])
def test_single_and_vector_environments_agree(name):
    single, vector = gymnasium.make(name), gymnasium.make_vec(name, num_envs=3)
    single.reset(seed=0)
    vector.reset(seed=0)
    vector._state[1] = single.unwrapped._state[0]
    rng, ended = np.random.default_rng(0), False
    while not ended:
        action = rng.uniform(-1, 1, vector.action_space.shape).astype("float32")
        one = single.step(action[1])
        many = vector.step(action)
        np.testing.assert_allclose(one[0], many[0][1], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(one[1], many[1][1], rtol=1e-5)
        ended = one[3]
        assert many[3].tolist() == [ended] * 3 and not one[2]


def test_tf_agents_accepts_the_environments():
    utils.validate_py_environment(environments.make_environment("tfzoo/PointMass-v0", 2), 2)


def test_a_time_limit_is_no_end():
    environment = environments.make_environment("tfzoo/PointMass-v0", 2)
    step = environment.reset()
    while not step.is_last().any():
        step = environment.step(np.zeros((2, 2), "float32"))
    assert step.discount.tolist() == [1.0, 1.0]
    assert environment.step(np.zeros((2, 2), "float32")).is_first().all()


def test_a_terminal_state_is_one():
    environment = environments.make_environment("InvertedPendulum-v5", 2)
    total, step = np.zeros(2), environment.reset()
    ended = np.zeros(2, bool)
    while not ended.all():
        step = environment.step(np.ones((2, 1), "float32") * 3)
        total += np.where(ended, 0, step.reward)
        if step.is_last().any():
            assert (step.discount[step.is_last()] == 0).all()
        ended |= step.is_last()
    environment.seed(0)
    played = play(
        environments.make_environment("InvertedPendulum-v5", 2),
        lambda x, t: np.ones((2, 1), "float32") * 3,
    )
    np.testing.assert_allclose(played, total)


def test_scores():
    assert normalised("Hopper-v5", 3234.3) == pytest.approx(100)
    assert normalised("Hopper-v5", -20.272305) == pytest.approx(0)
    assert normalised("tfzoo/PointMass-v0", tasks.POINT_MASS.expert_return) == 100
    assert normalised("CartPole-v1", 1.0) is None


def test_refuses():
    for name, says in (("Nowhere-v0", "Nowhere"), ("CartPole-v1", "must have boxes")):
        with pytest.raises(InputError, match=says):
            environments.make_environment(name)
    with pytest.raises(InputError, match="gymnasium-robotics"):
        environments.make_environment("AdroitHandPen-v1")

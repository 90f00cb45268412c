"""The controller: its state, its policy gradient, what it learns and how it is saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.ala import Alignment, ClassWeightLoss, LossController
from tfzoo.ala.controller import STATE, reward, states
from tfzoo.errors import InputError


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_a_state_is_its_24_numbers_and_finite_without_history():
    history = np.zeros((5, 2, 10))
    history[:, 0, -2:], history[:, 1, -2:] = [2.0, 4.0], [1.0, 0.5]
    found = states(history, 2, np.arange(5.0), 0.25)
    assert found.shape == (5, STATE) == (5, 24)
    np.testing.assert_allclose(found[3, 8:10], [2, 4])
    np.testing.assert_allclose(found[3, 20:], [(4 - 3) / 3, (0.5 - 0.75) / 0.75, 3, 0.25])
    empty = states(np.zeros((5, 2, 10)), 0, np.zeros(5), 0.0)
    assert np.isfinite(empty).all() and not empty.any()
    assert np.isfinite(states(np.full((1, 2, 10), np.nan), 9, np.zeros(1), 0.0)).all()


def test_rewards_are_signs_and_antisymmetric():
    before, now = np.array([0.3, 0.2, 0.1]), np.array([0.2, 0.2, 0.4])
    np.testing.assert_array_equal(reward(before, now), [1, 0, -1])
    np.testing.assert_array_equal(reward(now, before), -reward(before, now))


def test_actions_are_steps_of_beta_and_uniform_if_asked():
    controller = LossController(beta=0.3, uniform=True)
    np.testing.assert_allclose(controller.steps(np.array([0, 1, 2])), [-0.3, 0, 0.3])
    np.testing.assert_allclose(controller.probabilities(floats(2, 4, 24)), 1 / 3, atol=1e-6)
    actions, steps = controller.act(floats(3, 500, 24))
    counts = np.bincount(actions.reshape(-1), minlength=3) / 1500
    np.testing.assert_allclose(counts, 1 / 3, atol=0.05)
    np.testing.assert_array_equal(steps, controller.steps(actions))
    assert (controller.act(floats(3, 500, 24))[0] != actions).mean() > 0.5  # a new draw
    again = LossController(beta=0.3, uniform=True).act(floats(3, 500, 24))[0]
    np.testing.assert_array_equal(again, actions)  # by the seed


def moved(controller, size=0.3):
    rng = np.random.default_rng(0)
    for v in controller.trainable_variables:
        v.assign(v + size * rng.normal(size=v.shape))
    return controller


def test_reinforce_is_the_exact_gradient_on_a_bandit():
    """Summed over all actions with their probabilities: the gradient of E[r]."""
    controller, state = moved(LossController(hidden=(4,), entropy=0.0)), floats(1, 24)
    gains = np.array([0.2, -1.0, 0.7], "float32")
    p = controller.probabilities(state)[0]
    for baseline in (0.0, 0.5):  # which does not change the mean
        total = None
        for action in range(3):
            found = controller.gradient(state, [action], [gains[action] - baseline], 1)
            found = [p[action] * np.array(g) for g in found]
            total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
        variables = controller.trainable_variables
        value = lambda: float(controller.probabilities(state)[0] @ gains)  # noqa: E731
        for v, g in zip(variables, total, strict=True):
            old = np.array(v)
            index = np.unravel_index(np.abs(g).argmax(), g.shape)
            ends = []
            for sign in (1, -1):
                new = old.copy()
                new[index] += sign * 1e-2
                v.assign(new)
                ends.append(value())
            v.assign(old)
            assert -g[index] == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=0.02, abs=1e-4)


def test_the_step_is_the_sum_over_decisions_by_the_root_of_their_number():
    controller = moved(LossController(hidden=(4,), entropy=0.0))
    state, actions, advantages = floats(6, 24), np.array([0, 1, 2, 0, 1, 2]), floats(6, seed=1)
    with tf.GradientTape() as tape:
        log_p = tf.nn.log_softmax(controller(state))
        terms = tf.gather(log_p, actions, batch_dims=1) * advantages
        # two experiences of three decisions
        loss = -tf.reduce_mean(tf.reduce_sum(tf.reshape(terms, (2, 3)), 1)) / 3**0.5
    values = [v.value for v in controller.trainable_variables]
    for a, b in zip(
        tape.gradient(loss, values),
        controller.gradient(state, actions, advantages, 3),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_bandit_is_learned_and_entropy_keeps_it_open():
    ends = {}
    for entropy in (0.0, 3.0):
        controller = LossController(learning_rate=0.01, entropy=entropy, memory=60)
        state = np.ones((1, 1, 24), "float32")
        for _ in range(80):
            action, _ = controller.act(state)
            gained = np.array([1.0 if action[0, 0] == 2 else -1.0])
            controller.remember(state, action, gained)
            controller.learn(gained, 1)
        ends[entropy] = controller.probabilities(state)[0, 0]
    assert ends[0.0][2] > 0.9
    assert 0.3 < ends[3.0].max() < 0.75


def test_the_memory_is_a_ring_that_holds_what_it_was_given():
    controller = LossController(memory=5)
    for i in range(3):
        controller.remember(np.full((2, 1, 24), float(i)), np.full((2, 1), i), np.array([i, -i]))
    assert int(controller.written) == 6
    np.testing.assert_array_equal(controller.memory_states[:, 0], [2, 0, 1, 1, 2])
    np.testing.assert_array_equal(controller.memory_rewards, [-2, 0, 1, -1, 2])
    big = LossController(memory=1000)
    big.remember(floats(2, 4950, 24), np.zeros((2, 4950)), np.ones(2))  # the pairs of 100 classes
    assert int(big.written) == 128


def test_saved_and_loaded_it_goes_on_as_before(tmp_path):
    def play(controller, rounds, seed):
        rng, said = np.random.default_rng(seed), []
        for _ in range(rounds):
            state = rng.normal(size=(2, 4, 24)).astype("float32")
            action, _ = controller.act(state)
            gained = np.sign(action.mean(1) - 1)
            controller.remember(state, action, gained)
            controller.learn(gained, 4)
            said.append(action)
        return np.array(said)

    controller = LossController(learning_rate=0.01, memory=30)
    play(controller, 6, 0)
    controller.save(tmp_path / "controller.keras")
    again = keras.models.load_model(tmp_path / "controller.keras")
    np.testing.assert_array_equal(play(controller, 6, 1), play(again, 6, 1))
    for a, b in zip(controller.state, again.state, strict=True):
        np.testing.assert_array_equal(a, b)
    _, steps = again.act(floats(1, 4950, 24))  # of 100 classes
    assert steps.shape == (1, 4950)


def test_permuting_classes_permutes_phi():
    """One policy for all: given the same draws, decisions do not know their number."""
    controller = moved(LossController(), 1.0)
    history, order = np.abs(floats(6, 2, 10)), np.array([3, 1, 5, 0, 2, 4])
    p = controller.probabilities(states(history, 10, np.arange(6.0), 0.5))
    turned = states(history[order], 10, np.arange(6.0)[order], 0.5)
    np.testing.assert_allclose(controller.probabilities(turned), p[order], rtol=1e-5)


def test_the_metric_of_a_window_is_discounted_and_rewarded():
    loss = ClassWeightLoss(3)
    seen = []
    controller = LossController(gamma=0.5, memory=30)
    remember = controller.remember
    controller.remember = lambda s, a, r: (seen.append(r), remember(s, a, r))
    alignment = Alignment(loss, controller, 2, 10)
    for costs in (([4, 4], [2, 2]), ([1, 8], [3, 3]), ([0, 0], [3.5, 1])):
        for cost in costs:
            alignment.add(cost)
        alignment.act(np.zeros((2, 3, 2)))
    # M: (4, 4), (3.5, 7), (3.5, 1)
    np.testing.assert_array_equal(seen, [[1, -1], [0, 1]])
    assert len(alignment.trace) == 3 and int(alignment.windows) == 3
    np.testing.assert_array_equal(loss.phi, 0)  # its own are not touched
    assert np.abs(np.array(alignment.phi)).max() > 0


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"beta": -0.1}, "beta=-0.1: must be at least 0"),
        ({"memory": 0}, "memory=0"),
        ({"hidden": (0,)}, r"hidden=\[0\]: must be a list, each at least 1"),
        ({"gamma": 1.5}, "gamma=1.5: must be from 0 to 1"),
        ({"entropy": -1.0}, "entropy=-1.0"),
    ],
)
def test_wrong_arguments(keywords, words):
    with pytest.raises(InputError, match=words):
        LossController(**keywords)

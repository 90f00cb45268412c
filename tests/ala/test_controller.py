"""The controller: its state, its policy gradient, what it learns and how it is saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import TESTS
from tfzoo.ala import PAPER, Alignment, ClassWeightLoss, LossController
from tfzoo.ala.alignment import ALONE, SURE, standing, surprise
from tfzoo.ala.controller import STATE, reward, states
from tfzoo.errors import InputError


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_a_state_is_its_24_numbers_and_finite_without_history():
    history = np.zeros((5, 2, 10))
    history[:, 0, -2:], history[:, 1, -2:] = [2.0, 4.0], [1.0, 0.5]
    state = states(history, 2, np.arange(5.0), 0.25)
    assert state.shape == (5, STATE) == (5, 24)
    np.testing.assert_allclose(state[3, 8:10], [2, 4])
    np.testing.assert_allclose(state[3, 20:], [(4 - 3) / 3, (0.5 - 0.75) / 0.75, 3, 0.25])
    empty = states(np.zeros((5, 2, 10)), 0, np.zeros(5), 0.0)
    assert np.isfinite(empty).all() and not empty.any()
    assert np.isfinite(states(np.full((1, 2, 10), np.nan), 9, np.zeros(1), 0.0)).all()


def test_standardised_states_say_how_a_class_stands_among_the_others():
    history = np.abs(floats(4, 2, 10)) + 1
    one, twice = (states(h, 10, np.zeros(4), 0.5, True) for h in (history, 2 * history))
    values = one[:, :20].reshape(4, 2, 10)
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(0), 1, atol=0.02)
    np.testing.assert_allclose(twice, one, atol=0.02)  # at any level of the losses
    same = states(np.ones((4, 2, 10)), 10, np.zeros(4), 0.5, True)
    np.testing.assert_array_equal(same[:, :20], 0)


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
            weighted = controller.gradient(state, [[action]], [[gains[action] - baseline]], 1)
            weighted = [p[action] * np.array(g) for g in weighted]
            total = (
                weighted if total is None else [a + b for a, b in zip(total, weighted, strict=True)]
            )
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
    state, actions = floats(2, 3, 24), np.array([[0, 1, 2], [0, 2, 1]])
    advantages = floats(2, 3, seed=1)
    with tf.GradientTape() as tape:
        log_p = tf.nn.log_softmax(controller(state))
        terms = tf.gather(log_p, actions, batch_dims=2) * advantages
        loss = -tf.reduce_mean(tf.reduce_sum(terms, 1)) / 3**0.5
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
        settings = PAPER | {"learning_rate": 0.01, "entropy": entropy, "memory": 60}
        controller = LossController(**settings)
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
    controller = LossController(memory=5, credit="window")
    for i in range(3):
        controller.remember(np.full((2, 1, 24), float(i)), np.full((2, 1), i), np.array([i, -i]))
    assert int(controller.written) == 6
    np.testing.assert_array_equal(controller.memory_states[:, 0], [2, 0, 1, 1, 2])
    np.testing.assert_array_equal(controller.memory_advantages, [-2, 0, 1, -1, 2])
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


def test_the_advantage_is_kept_with_the_experience():
    """Relative to the baseline at its own time, not at the time it is drawn."""
    controller = LossController(memory=20, credit="window", baseline=0.5)
    state = floats(2, 1, 24)
    for rewards in ([1.0, 1.0], [1.0, -1.0]):
        controller.remember(state, np.zeros((2, 1)), rewards)
        controller.learn(np.array(rewards), 1)
    np.testing.assert_allclose(controller.memory_advantages[:4], [1, 1, 0.5, -1.5])
    assert float(controller.average) == 0.25


@pytest.mark.parametrize(("memory", "trace"), [(100, 0.5), (7, 1.0)])
def test_a_level_is_credited_to_all_that_its_child_did(memory, trace):
    controller = LossController(memory=memory, trace=trace)
    controller.remember(floats(2, 2, 24), np.full((2, 2), 9), [5.0, 5.0])  # of another training
    for window in range(3):
        levels = [1.0, -1.0] if window == 2 else [7.0, 8.0]
        actions = np.full((2, 2), 2 * window) + np.array([[0], [1]])  # encodes window and child
        controller.remember(floats(2, 2, 24), actions, levels, window)
    count = min(int(controller.written), memory // 2 * 2)
    actions = np.array(controller.memory_actions)[:count]
    advantages = np.array(controller.memory_advantages)[:count]
    for action, advantage in zip(actions, advantages, strict=True):
        if action == 9:
            assert advantage == 5.0
        else:
            child, age = action % 2, 2 - action // 2
            assert advantage == (1 - 2 * child) * trace**age


def test_children_stand_among_each_other_and_a_single_one_against_its_own_line():
    np.testing.assert_allclose(standing(np.array([3.0, 2.0, 1.0])), [-1.2247, 0, 1.2247], rtol=1e-4)
    np.testing.assert_array_equal(standing(np.ones(3)), 0)
    falling = np.array([5.0, 4.1, 2.9, 2.0])
    assert abs(surprise(falling, np.array([1.0]))[0]) < 1  # it continued
    assert surprise(falling, np.array([-3.0]))[0] == SURE
    assert surprise(falling, np.array([2.0]))[0] == -SURE  # no worse than before, but it stopped
    assert surprise(falling[:3], np.array([0.0]))[0] == 0
    assert surprise(np.ones(9), np.array([0.0]))[0] == 0


def test_levels_are_learned_where_a_windows_sign_says_nothing():
    """Raising class 0 improves by far less than a window's noise."""
    rng, controller = np.random.default_rng(0), LossController(learning_rate=0.01)
    alignment = Alignment(ClassWeightLoss(3), controller, 4, 60)
    told = np.broadcast_to(np.array([[2.0, 1.0], [1.0, 1.0], [1.0, 1.0]]), (4, 3, 2))
    for _ in range(60):
        alignment.add(1 - 0.1 * np.array(alignment.phi)[:, 0] + 0.05 * rng.normal(size=4))
        alignment.act(told)
    p = controller.probabilities(np.array(alignment.state)).mean(0)
    assert p[0, 2] > 0.6 and p[0, 0] < 0.3
    assert p[1, 2] < 0.3


def test_an_anchored_child_keeps_the_loss_and_teaches_by_comparison_only():
    loss, seen = ClassWeightLoss(3, phi=[0.5, 0.0, -0.5]), []
    controller = LossController(learning_rate=0.01, memory=30)
    remember = controller.remember
    controller.remember = lambda s, a, r, n: (seen.append((s, r)), remember(s, a, r, n))
    alignment = Alignment(loss, controller, 3, 10, anchor=True)
    for _ in range(4):
        alignment.add([1.0, 2.0, 3.0])
        phi = alignment.act(np.ones((3, 3, 2)))
        np.testing.assert_allclose(phi[0], [0.5, 0.0, -0.5])
    assert np.abs(phi[1:] - phi[0]).max() > 0
    assert all(s.shape == (2, 3, 24) for s, _ in seen)
    np.testing.assert_allclose(seen[-1][1], [0.0, -1.2247], atol=1e-4)
    alone = Alignment(ClassWeightLoss(3), LossController(), 1, 10, anchor=True)
    for _ in range(4):
        alone.add([1.0])
        moved_ = alone.act(np.ones((1, 3, 2)))
    assert np.abs(moved_).max() > 0  # a single child moves


def test_a_single_child_is_drawn_back_to_the_fixed_loss():
    for children, end in ((1, 0.1 / (1 - ALONE)), (2, 3.0)):
        controller = LossController(learning_rate=0.0, uniform=False)
        alignment = Alignment(ClassWeightLoss(3), controller, children, 30, learn=False)
        actions = np.array([[2, 1, 0]] * children)
        controller.act = lambda *_, a=actions, c=controller: (a, c.steps(a))
        for _ in range(100):
            alignment.add([1.0] * children)
            alignment.act(np.zeros((children, 3, 2)))
        np.testing.assert_allclose(np.array(alignment.phi)[-1], [end, 0, -end], atol=0.01)


def test_a_centred_policy_cannot_want_the_same_for_all_classes():
    """Its logits are relative to the experience, in acting and in learning alike."""
    states_, controller = floats(4, 5, 24), moved(LossController(hidden=(4,)))
    plain = moved(LossController(hidden=(4,), centred=False))
    controller.layers_[-1].bias.assign([5.0, 0.0, -5.0])  # the same wish for every class
    plain.layers_[-1].bias.assign([5.0, 0.0, -5.0])
    for c, centred in ((controller, True), (plain, False)):
        free, relative = c.probabilities(states_), c.probabilities(states_, relative=True)
        assert free[..., 0].min() > 0.9
        assert (relative.mean((0, 1))[0] < 0.5) == centred
        if centred:
            mean_logits = np.log(relative) - np.log(relative).mean(-1, keepdims=True)
            np.testing.assert_allclose(mean_logits.mean(1), 0, atol=1e-5)
    actions, advantages = np.full((4, 5), 2), np.ones((4, 5))
    alike = controller.gradient(states_, actions, advantages, 5, relative=True)
    np.testing.assert_allclose(alike[-1], 0, atol=1e-6)  # of the common bias
    assert np.abs(np.array(controller.gradient(states_, actions, advantages, 5)[-1])).max() > 0.01
    several = np.repeat(states_, 50, 1)
    drawn = controller.act(several, 0, True)[0]
    assert np.bincount(drawn.reshape(-1), minlength=3)[0] < 0.5 * drawn.size


def test_experiences_are_complete_and_of_one_length():
    controller = LossController(memory=10, learning_rate=0.01)
    controller.remember(floats(2, 4, 24), np.zeros((2, 4)), [1.0, -1.0])
    assert int(controller.written) == 8 and controller.capacity(4) == 8
    controller.remember(floats(2, 3, 24), np.ones((2, 3)), [1.0, -1.0])  # other classes
    assert int(controller.written) == 6 and int(controller.decisions) == 3
    controller.learn([1.0, -1.0], 3, relative=True)
    with pytest.raises(InputError, match="memory=10: must be at least 64, one experience"):
        controller.capacity(100)
    with pytest.raises(InputError, match="memory=2: must be at least 3"):
        Alignment(ClassWeightLoss(3), LossController(memory=2), 2, 10)
    Alignment(ClassWeightLoss(3), LossController(memory=2), 2, 10, learn=False)


def test_explored_policies_come_in_pairs_and_last():
    controller, state = LossController(exploration=0.5, hold=3), floats(1, 50, 24)
    states_ = np.repeat(state, 5, 0)
    logits = controller._logits(states_, 0)
    np.testing.assert_array_equal(logits, controller._logits(states_, 2))  # held
    assert np.abs(logits - controller._logits(states_, 3)).max() > 0.1
    shared = np.array(controller(state[0]))
    controller.exploration = 0.0
    np.testing.assert_allclose(controller._logits(states_, 0), [shared] * 5, atol=1e-5)
    controller.exploration = 0.5
    np.testing.assert_allclose(logits[4], shared, atol=1e-5)  # without a partner
    assert min(np.abs(logits[i] - shared).max() for i in range(4)) > 0.1
    last = LossController(exploration=0.5, hidden=())
    pair = last._logits(states_, 0)
    np.testing.assert_allclose(pair[0] + pair[2], 0, atol=1e-4)  # both directions
    actions = [controller.act(states_, 0)[0] for _ in range(20)]
    shares = np.stack([np.mean(np.array(actions) == a, 0) for a in range(3)], -1)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert np.abs(shares - p).mean() < 0.08


def test_a_file_of_an_earlier_version_is_the_papers_form():
    saved = keras.models.load_model(TESTS / "golden" / "tfzoo.ala.LossController.keras")
    assert saved.credit == "window" and not saved.standardised and not saved.uniform
    assert not saved.centred and int(saved.decisions) == 0
    again = LossController.from_config(saved.get_config())
    assert again.get_config() == saved.get_config()
    assert LossController.from_config(LossController().get_config()).credit == "level"


def test_permuting_classes_permutes_phi():
    """One policy for all: given equal draws, decisions do not depend on their index."""
    controller = moved(LossController(), 1.0)
    history, order = np.abs(floats(6, 2, 10)), np.array([3, 1, 5, 0, 2, 4])
    p = controller.probabilities(states(history, 10, np.arange(6.0), 0.5))
    turned = states(history[order], 10, np.arange(6.0)[order], 0.5)
    np.testing.assert_allclose(controller.probabilities(turned), p[order], rtol=1e-5)


def test_the_metric_of_a_window_is_discounted_and_rewarded():
    loss = ClassWeightLoss(3)
    seen = []
    controller = LossController(gamma=0.5, memory=30, credit="window")
    remember = controller.remember
    controller.remember = lambda s, a, r, n: (seen.append(r), remember(s, a, r, n))
    alignment = Alignment(loss, controller, 2, 10)
    for costs in (([4, 4], [2, 2]), ([1, 8], [3, 3]), ([0, 0], [3.5, 1])):
        for cost in costs:
            alignment.add(cost)
        alignment.act(np.zeros((2, 3, 2)))
    # M: (4, 4), (3.5, 7), (3.5, 1)
    np.testing.assert_array_equal(seen, [[1, -1], [0, 1]])
    assert len(alignment.trace) == 3 and int(alignment.windows) == 3
    np.testing.assert_array_equal(loss.phi, 0)  # its own are unchanged
    assert np.abs(np.array(alignment.phi)).max() > 0


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"beta": -0.1}, "beta=-0.1: must be at least 0"),
        ({"memory": 0}, "memory=0"),
        ({"hidden": (0,)}, r"hidden=\[0\]: must be a list, each at least 1"),
        ({"gamma": 1.5}, "gamma=1.5: must be from 0 to 1"),
        ({"entropy": -1.0}, "entropy=-1.0"),
        ({"credit": "sum"}, "credit='sum': must be one of level, window"),
        ({"trace": 1.5}, "trace=1.5"),
        ({"exploration": -0.1}, "exploration=-0.1"),
        ({"hold": 0}, "hold=0"),
    ],
)
def test_wrong_arguments(keywords, words):
    with pytest.raises(InputError, match=words):
        LossController(**keywords)

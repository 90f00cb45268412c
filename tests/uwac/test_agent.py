"""BEAR and UWAC as TF-Agents agents: the effect of their steps, and their use by TF-Agents."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import InputError
from tfzoo.uwac import ActorCritic, AgentSettings, extras, training

agents = extras.load("tfzoo.uwac.agent")
environments = extras.load("tfzoo.uwac.environments")

SMALL = AgentSettings(
    hidden=[8, 8],
    vae_units=8,
    spectral_norm=False,
    n_target_samples=3,
    n_action_samples=4,
    n_mc_samples=4,
    warmup_steps=0,
    tau=0.1,
)
SIZES = {"observation_dim": 3, "action_dim": 2}


def make(algorithm="uwac", sizes=SIZES, **changes):
    keras.utils.set_random_seed(1)
    model = ActorCritic(replace(SMALL, **changes), algorithm, seed=3, **sizes)
    return training.make_agent(model)


def batch(count=16, seed=0, **changes):
    rng = np.random.default_rng(seed)
    arrays = {
        "observation": rng.normal(size=(count, 3)),
        "action": rng.uniform(-1, 1, (count, 2)),
        "reward": rng.normal(size=count),
        "discount": np.ones(count),
        "next_observation": rng.normal(size=(count, 3)),
    } | changes
    return {k: tf.constant(v, tf.float32) for k, v in arrays.items()}


def trained(agent, steps=3, **changes):
    for i in range(steps):
        info = agent.train(agents.as_experience(batch(seed=i, **changes), agent))
    return info


def weights(agent):
    return [keras.ops.convert_to_numpy(w) for w in agent.networks.weights]


def same(a, b, tolerance=0.0):
    pairs = zip(weights(a), weights(b), strict=True)
    return all(np.allclose(x, y, rtol=0, atol=tolerance) for x, y in pairs)


def test_unweighted_uwac_is_bear():
    """With weights off, with exp weights of no dropout, and BEAR: equal but for rounding."""
    bear, off = make("bear"), make(weight_critic=False, weight_actor=False)
    trained(bear), trained(off)
    assert same(bear, off, 1e-8)
    exp = {"weight_fn": "exp", "weight_power": 2, "weight_clip": [0.0, 1.0]}
    none = make(dropout_rate=0.0, **exp)
    plain = make("bear", dropout_rate=0.0)
    trained(none), trained(plain)
    assert same(none, plain, 1e-8)
    on = make(**exp, beta=1e6)
    trained(on)
    assert not same(bear, on, 1e-6)


@pytest.mark.parametrize("power", [1, 2])
def test_certain_values_take_the_greatest_weight(power):
    """For infinite beta the critics' loss is the cap, to the power, times BEAR's."""
    bear = make("bear")
    capped = make(beta=1e12, weight_clip=[0.0, 1.5], weight_power=power)
    a, b = (g.loss(agents.as_experience(batch(), g)).extra for g in (bear, capped))
    np.testing.assert_allclose(b.critic_loss, 1.5**power * a.critic_loss, rtol=1e-5)
    np.testing.assert_allclose(b.weight, 1.5, rtol=1e-6)


def test_a_terminal_states_target_is_the_reward():
    agent = make("bear", dropout_rate=0.0)
    data = batch(discount=np.array([0.0] * 8 + [1.0] * 8))
    y, _ = agent.target(data["reward"], data["discount"], data["next_observation"])
    np.testing.assert_allclose(y[:8], data["reward"][:8], rtol=1e-6)
    assert np.abs(y[8:] - data["reward"][8:]).max() > 1e-4


def test_warm_up_ignores_the_value():
    """During warm-up the actor's loss is only alpha (MMD - eps)."""
    agent = make(warmup_steps=10)
    info = agent.loss(agents.as_experience(batch(), agent)).extra
    expected = info.alpha * (info.mmd - agent.settings.alpha_threshold)
    np.testing.assert_allclose(info.actor_loss, expected, rtol=1e-5)
    agent.train_step_counter.assign(10)
    later = agent.loss(agents.as_experience(batch(), agent)).extra
    assert abs(later.actor_loss - later.alpha * (later.mmd - 0.07)) > 1e-4


@pytest.mark.parametrize(("threshold", "rises"), [(1e-6, True), (5.0, False)])
def test_alpha_rises_while_the_mmd_is_above_its_threshold(threshold, rises):
    agent = make(alpha_threshold=threshold, alpha_learning_rate=0.1)
    trained(agent, 2)
    assert (float(agent.networks.log_alpha) > 0) == rises
    agent.networks.log_alpha.assign(9.99 if rises else -4.99)
    trained(agent, 2)
    assert -5 <= float(agent.networks.log_alpha) <= 10


def test_targets_follow_slowly():
    agent = make()
    before = [w.numpy() for w in agent.networks.target_q1.weights]
    trained(agent, 1)
    now = [w.numpy() for w in agent.networks.target_q1.weights]
    sources = [w.numpy() for w in agent.networks.q1.weights]
    for a, b, c in zip(before, now, sources, strict=True):
        np.testing.assert_allclose(b, a + 0.1 * (c - a), rtol=1e-4, atol=1e-6)


def test_each_part_moves_only_its_own_variables():
    """The gradient of the actor's loss reaches neither critics nor behaviour model."""
    agent = make("bear", critic_learning_rate=1e-30, imitator_learning_rate=1e-30)
    n = agent.networks
    kept = [w.numpy() for w in (*n.q1.weights, *n.q2.weights, *n.vae.weights)]
    trained(agent, 2)
    now = [w.numpy() for w in (*n.q1.weights, *n.q2.weights, *n.vae.weights)]
    for a, b in zip(kept, now, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_trajectories_are_transitions_and_borders_are_left_out():
    agent = make()
    data = batch()
    state = agent.networks.seed_generator.state
    start = state.numpy()
    one = agent.loss(agents.as_experience(data, agent)).extra
    both = lambda a, b: tf.stack([a, b], 1)  # noqa: E731
    kinds = tf.ones([16, 2], tf.int32)
    trajectory = agents.trajectory.Trajectory(
        kinds,
        both(data["observation"], data["next_observation"]),
        both(data["action"], data["action"]),
        (),
        kinds,
        both(data["reward"], data["reward"]),
        both(data["discount"], data["discount"]),
    )
    state.assign(start)
    two = agent.loss(trajectory).extra
    np.testing.assert_allclose(one.critic_loss, two.critic_loss, rtol=1e-5)
    # rows whose first frame ends an episode do not count, whatever they hold
    wild = np.array([0.0] * 15 + [1e3])
    marked = trajectory._replace(
        step_type=tf.constant([[1, 1]] * 15 + [[2, 0]]),
        reward=trajectory.reward + tf.constant(wild, tf.float32)[:, None],
    )
    state.assign(start)
    assert float(agent.loss(marked).extra.critic_loss) < 10 * float(two.critic_loss) + 1


def test_the_same_seed_gives_the_same_weights():
    a, b = make(), make()
    trained(a), trained(b)
    assert same(a, b)


def test_a_bandit_is_solved():
    """One state; the reward is highest at the action (0.5, 0.2), close to the data's best."""
    agent = make(
        warmup_steps=100,
        gamma=0.0,
        alpha_threshold=0.5,
        actor_learning_rate=5e-3,
        critic_learning_rate=5e-3,
        imitator_learning_rate=5e-3,
    )
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (512, 2)).astype("float32")
    reward = -((actions - [0.5, 0.2]) ** 2).sum(1)
    zeros = np.zeros((512, 3))
    data = batch(512, observation=zeros, action=actions, reward=reward, next_observation=zeros)
    step = tf.function(lambda: agent._train(agents.as_experience(data, agent)), autograph=False)
    for _ in range(500):
        step()
    action = agent.networks(tf.zeros([1, 3]))
    np.testing.assert_allclose(action, [[0.5, 0.2]], atol=0.2)


def test_behavioural_cloning_imitates():
    agent = make("bc", actor_learning_rate=1e-2)
    data = batch(64)
    data["action"] = tf.tanh(data["observation"][:, :2])
    step = tf.function(lambda: agent.train(agents.as_experience(data, agent)).loss, autograph=False)
    first = float(step())
    for _ in range(300):
        last = float(step())
    assert last < 0.05 * first
    held = batch(64, 1)["observation"]
    np.testing.assert_allclose(agent.networks(held), tf.tanh(held[:, :2]), atol=0.35)


@pytest.fixture
def driven():
    """An agent for the point mass, and that environment for TF-Agents."""
    from tf_agents.environments import tf_py_environment

    agent = make("uwac", {"observation_dim": 4, "action_dim": 2})
    inner = environments.make_environment("tfzoo/PointMass-v0", 2)
    return agent, tf_py_environment.TFPyEnvironment(inner)


@pytest.mark.slow
def test_policies_drive_tf_agents(driven):
    from tf_agents.drivers import dynamic_episode_driver
    from tf_agents.metrics import tf_metrics

    agent, environment = driven
    for policy in (agent.policy, agent.collect_policy):
        returns = tf_metrics.AverageReturnMetric(batch_size=2)
        driver = dynamic_episode_driver.DynamicEpisodeDriver(
            environment, policy, [returns], num_episodes=2
        )
        driver.run(environment.reset())
        assert -1000 < float(returns.result()) < 0


def test_policies_act_in_an_actor(driven):
    from tf_agents.policies import py_tf_eager_policy
    from tf_agents.train import actor

    agent, _ = driven
    inner = environments.make_environment("tfzoo/PointMass-v0", 2)
    seen = []
    worker = actor.Actor(
        inner,
        py_tf_eager_policy.PyTFEagerPolicy(agent.collect_policy, use_tf_function=True),
        agent.train_step_counter,
        steps_per_run=3,
        observers=[seen.append],
    )
    worker.run()
    assert len(seen) >= 2 and seen[0].action.shape == (2, 2)
    assert np.abs(seen[0].action - seen[1].action).max() > 1e-6


def test_a_saved_policy_acts_equally(driven, tmp_path):
    agent, environment = driven
    agents.save_policy(agent, tmp_path / "policy")
    with pytest.raises(InputError, match="exists"):
        agents.save_policy(agent, tmp_path / "policy")
    loaded = tf.saved_model.load(str(tmp_path / "policy"))
    step = environment.reset()
    for _ in range(2):  # both continue to draw from the same state
        np.testing.assert_allclose(loaded.action(step, ()).action, agent.policy.action(step).action)


def test_a_policys_seed_fixes_its_action(driven):
    agent, environment = driven
    step = environment.reset()
    one, two, other = (agent.policy.action(step, seed=s).action for s in (7, 7, 8))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-6


def test_refuses_other_specs():
    agent = make()
    step, action = agents.specs_of(agent.networks)
    from tf_agents.specs import tensor_spec

    wide = tensor_spec.BoundedTensorSpec([2], tf.float32, -2.0, 2.0)
    with pytest.raises(ValueError, match="minimum"):
        agents.UwacAgent(step, wide, agent.networks)
    with pytest.raises(ValueError, match="observation spec: shape"):
        agents.BearAgent(agents.ts.time_step_spec(tf.TensorSpec([4])), action, agent.networks)

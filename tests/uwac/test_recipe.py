"""UWAC's recipes: runs, exact resume, exports, warnings, refusals."""

import csv
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import slow
from tfzoo import data, runner, uwac
from tfzoo.errors import InputError
from tfzoo.training.callbacks import StopFlag, TrainingDiverged, TrainingInterrupted
from tfzoo.uwac import ActorCritic, training

SMALL = [
    "epochs=2",
    "steps_per_epoch=60",
    "batch_size=16",
    "agent.hidden=[8,8]",
    "agent.vae_units=8",
    "agent.n_target_samples=2",
    "agent.n_action_samples=3",
    "agent.n_mc_samples=2",
    "agent.warmup_steps=20",
    "evaluation_episodes=4",
    "data.name=tfzoo_pointmass_offline/human",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pointmass")
    return folder, runner.run_recipe(runner.resolve("uwac/pointmass", SMALL), folder)


def test_a_run_leaves_what_it_should(run):
    folder, metrics = run
    expected = {"return", "score", "best_return", "best_score", "target_max", "q_data", "ood_auc"}
    assert expected <= set(metrics) and all(np.isfinite(v) for v in metrics.values())
    assert metrics["best_return"] >= metrics["return"] and metrics["transitions"] == 1000
    rows = list(csv.DictReader((folder / "log.csv").open()))
    assert [r["step"] for r in rows] == ["60", "120"]
    assert {"critic_loss", "mmd", "alpha", "variance", "weight", "return"} <= set(rows[0])
    assert float(rows[1]["return"]) == metrics["return"]
    assert any((folder / "tensorboard").iterdir())
    model = keras.models.load_model(folder / "model.keras")
    assert model.data_version == "tfzoo_pointmass_offline/human/1.0.0"
    loaded = tf.saved_model.load(str(folder / "export" / "pointmass" / "1"))
    assert set(loaded.signatures) >= {"serving_default", "sample", "uncertainty"}
    assert (folder / "policy" / "saved_model.pb").is_file()


def test_signatures(run):
    model, resolved = runner.open_trained(str(run[0]))
    signatures = resolved.recipe.signatures(model)
    x = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    x[1] = x[0]
    seed = np.array([5, 5, 6, 7], np.int32)
    action = signatures["serving_default"](observation=x, seed=seed)["action"]
    np.testing.assert_array_equal(action[0], action[1])
    drawn = signatures["sample"](observation=x, seed=seed)
    expected = model.actor.distribution(x).log_prob(drawn["action"])
    np.testing.assert_allclose(drawn["log_prob"], expected, rtol=1e-3, atol=1e-3)
    told = signatures["uncertainty"](observation=x, action=action)
    assert (told["q_std"] > 0).all() and (told["weight"] <= 1.5).all()


class StopsLater(StopFlag):
    """Requests a stop at the first check."""

    @property
    def signum(self):
        return signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["uwac", slow("bc")])
def test_a_stopped_run_goes_on_to_the_same_weights(algorithm, tmp_path):
    resolved = runner.resolve(
        "uwac/pointmass", [*SMALL, "environment=null", "algorithm=" + algorithm]
    )
    config, task = resolved.config, resolved.recipe
    datasets = task.datasets(config)

    def train(folder, **keywords):
        runner.prepare(config)
        model = task.build(config, datasets.info)
        run = runner.Run(tmp_path / folder, config, **keywords)
        training.train(model, datasets.train, datasets.transitions, run)
        return model

    whole = train("whole")
    with pytest.raises(TrainingInterrupted):
        train("cut", stop=StopsLater())
    for a, b in zip(whole.weights, train("cut").weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    logs = [(tmp_path / name / "log.csv").read_text() for name in ("whole", "cut")]
    assert logs[0] == logs[1]


def test_divergence_ends_the_run(tmp_path):
    words = [*SMALL, "environment=null", "agent.critic_learning_rate=1e30"]
    with pytest.raises(TrainingDiverged, match="step 50"):
        runner.run_recipe(runner.resolve("uwac/pointmass", words), tmp_path)


def test_complaints():
    model = ActorCritic({"hidden": [4], "vae_units": 4}, observation_dim=2, action_dim=1)
    fine = {"target_max": -0.1, "q": -5.0, "weight": 0.9}
    assert training.complaints(fine, (-100.0, 0.0), model) == {}
    bad = {"target_max": 0.5, "q": -200.0, "weight": 0.01}
    complaints = training.complaints(bad, (-100.0, 0.0), model)
    assert "overestimated" in complaints["above"] and "diverge" in complaints["below"]
    assert "critics hardly learn" in complaints["weight"]


def test_normalisation_is_the_datas():
    resolved = runner.resolve(
        "uwac/pendulum", ["normalise=true", "data.name=tfzoo_pendulum_offline/human"]
    )
    datasets = resolved.recipe.datasets(resolved.config)
    model = resolved.recipe.build(resolved.config, datasets.info)
    x = datasets.transitions.observation
    np.testing.assert_allclose(model.space.observation_mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.std(model.space.observation(x), 0), 1, atol=0.02)


@pytest.mark.slow
def test_ones_own_file_in_its_own_units(tmp_path):
    """Gymnasium's pendulum takes torques up to 2: so do the data, and the exported policy."""
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.normal(size=(300, 3)).astype("float32"),
        "actions": rng.uniform(-2, 2, (300, 1)).astype("float32"),
        "rewards": rng.uniform(-1, 0, 300),
        "terminals": np.zeros(300, bool),
        "timeouts": np.arange(300) % 50 == 49,
    }
    np.savez(tmp_path / "d.npz", **arrays)
    words = [w for w in SMALL if not w.startswith("data.")]
    words += [f"data.path={tmp_path / 'd.npz'}", "environment=Pendulum-v1"]
    with pytest.raises(InputError, match="set action_low and action_high"):
        resolved = runner.resolve("uwac/transitions", words)
        resolved.recipe.datasets(resolved.config)
    clipped = runner.resolve("uwac/transitions", [*words, "clip_actions=true"])
    action = clipped.recipe.datasets(clipped.config).transitions.action
    cut = np.clip(np.delete(arrays["actions"][:, 0], np.s_[49::50]), -1, 1)
    np.testing.assert_array_equal(np.sort(action[:, 0]), np.sort(cut))
    words += ["action_low=[-2.0]", "action_high=[2.0]"]
    metrics = runner.run_recipe(
        runner.resolve("uwac/transitions", words), tmp_path / "run", export=False
    )
    assert -2000 < metrics["return"] < 0 and "score" not in metrics
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    drawn, _ = model.actor.sample(arrays["observations"][:5], 50)
    assert np.abs(drawn).max() > 1.0


@pytest.mark.slow
def test_load_model_needs_no_tf_agents(run):
    program = (
        "import sys; sys.modules['tf_agents'] = None; import keras, numpy as np, tfzoo;"
        f"m = keras.models.load_model({str(run[0] / 'model.keras')!r});"
        "assert m(np.zeros((2, 4), 'float32')).shape == (2, 2);"
        "m.actor.save(sys.argv[1] + '/actor.keras'); m.q1.save(sys.argv[1] + '/q1.keras');"
        "a = keras.models.load_model(sys.argv[1] + '/actor.keras');"
        "q = keras.models.load_model(sys.argv[1] + '/q1.keras');"
        "x = np.ones((2, 6), 'float32');"
        "np.testing.assert_allclose(q(x), m.q1(x), rtol=1e-6);"
        "np.testing.assert_allclose(a(x[:, :4])[0], m.actor(x[:, :4])[0], rtol=1e-6)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(run[0])], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_without_tf_agents_the_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf_agents", None)
    with pytest.raises(InputError, match="pip install --no-deps tf-agents==0.19.0"):
        uwac.UwacAgent  # noqa: B018
    model = ActorCritic({"hidden": [4], "vae_units": 4}, observation_dim=2, action_dim=1)
    with pytest.raises(InputError, match="needs tf-agents and gymnasium"):
        training.make_agent(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hopper_medium", slow("adroit_pen_human")])
def test_d4rls_recipes_train_a_step_on_mocked_episodes(name, monkeypatch):
    resolved = runner.resolve(
        f"uwac/{name}",
        ["batch_size=8", "agent.hidden=[8,8]", "agent.vae_units=8", "agent.n_mc_samples=2"],
    )
    task, config = resolved.recipe, resolved.config
    info = task.data_info(config)
    (d,), a = info.sizes, info.action_dim
    assert (d, a) == ((11, 3) if "hopper" in name else (45, 24))
    rng = np.random.default_rng(0)
    transitions = data.Transitions(
        rng.normal(size=(32, d)).astype("float32"),
        rng.uniform(-1, 1, (32, a)).astype("float32"),
        rng.normal(size=32).astype("float32"),
        np.ones(32, "float32"),
        rng.normal(size=(32, d)).astype("float32"),
    )
    monkeypatch.setattr(data, "builder", lambda config: None)
    monkeypatch.setattr(data, "transitions", lambda builder: transitions)
    datasets = task.datasets(config)
    model = task.build(config, datasets.info)
    learner = training.Learner(training.make_agent(model), datasets.train.from_step(0))
    assert all(np.isfinite(v) for v in learner.steps(2).values())


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("algorithm=td3", "algorithm='td3'"),
        ("agent.weight_fn=log", "agent.weight_fn='log'"),
        ("agent.weight_clip=[1.0,0.5]", "agent.weight_clip"),
        ("agent.n_mc_samples=1", "agent.n_mc_samples=1"),
        ("agent.weight_power=3", "agent.weight_power=3"),
        ("agent.dropout=0.1", "agent.dropout"),
        ("action_low=[2.0]", "action_low"),
        ("evaluation_episodes=0", "evaluation_episodes=0"),
    ],
)
def test_refuses(override, says):
    with pytest.raises(InputError, match=says.replace("[", r"\[")):
        runner.resolve("uwac/pointmass", [override])


def test_refuses_an_environment_of_other_sizes(tmp_path):
    words = [*SMALL, "environment=tfzoo/Pendulum-v0"]
    with pytest.raises(InputError, match=r"sizes \(3, 1\) must be \(4, 2\)"):
        runner.run_recipe(runner.resolve("uwac/pointmass", words), tmp_path)


def test_a_served_policy_drives_the_environment(run):
    """The server returns the actions that the model itself would take."""
    from tfzoo import serving
    from tfzoo.serving.client import RestClient

    model = keras.models.load_model(run[0] / "model.keras")
    local = uwac.signatures(model)["serving_default"]
    environment = uwac.make_environment("tfzoo/PointMass-v0", 2)
    step, seed = environment.reset(), np.array([1, 2], np.int32)
    with serving.serve(run[0] / "export" / "pointmass", rest_port=0, grpc_port=0) as server:
        client = RestClient(f"http://127.0.0.1:{server.rest_port}")
        for _ in range(5):
            inputs = {"observation": step.observation, "seed": seed}
            action = np.asarray(client.predict("pointmass", inputs)["action"], "float32")
            np.testing.assert_allclose(action, local(**inputs)["action"], rtol=1e-4, atol=1e-5)
            step, seed = environment.step(action), seed + 2
    assert step.observation.shape == (2, 4)

"""UWAC's study: its arms, and a run of two tiny ones."""

from dataclasses import replace

import numpy as np
import pytest

from tfzoo import runner
from tfzoo.experiments.statistics import Row
from tfzoo.uwac.experiments import plots
from tfzoo.uwac.experiments import study as uwac_study
from tfzoo_cli.main import main


def test_arms_differ_as_they_say():
    configs = {
        a.name: runner.resolve(a.recipe, a.overrides).config
        for a in uwac_study.arms(uwac_study.ABLATED[0])
    }
    assert len(configs) == len(uwac_study.SETTINGS)
    agent = {name: c.agent for name, c in configs.items()}
    ours, code = agent[uwac_study.UWAC], agent[uwac_study.CODE]
    assert (ours.weight_fn, ours.weight_power, ours.spectral_norm) == ("inverse", 1, False)
    assert (code.weight_fn, code.weight_power, code.spectral_norm) == ("exp", 2, True)
    assert configs[uwac_study.BEAR].algorithm == "bear" and not agent[uwac_study.BEAR].dropout_rate
    bear, exp = agent[uwac_study.BEAR], agent[uwac_study.UWAC_EXP]
    assert agent[uwac_study.BEAR_SN] == replace(bear, spectral_norm=True)
    assert exp == replace(code, spectral_norm=False)
    assert (
        agent[uwac_study.DROPOUT].dropout_rate and configs[uwac_study.DROPOUT].algorithm == "bear"
    )
    assert not agent["UWAC, critics' weights only"].weight_actor
    assert not agent["UWAC, actor's weights only"].weight_critic
    names = [a.name for a in uwac_study.arms("pendulum/human")]
    assert names == [name for name in uwac_study.SETTINGS if name not in uwac_study.ABLATIONS]


def test_mujoco_has_few_arms_and_ablations_once():
    names = {
        name: [a.name for a in uwac_study.arms(name, mujoco="sets")] for name in uwac_study.MUJOCO
    }
    few = [uwac_study.BC, uwac_study.BEAR, uwac_study.UWAC]
    replay, expert, cheetah = names.values()
    assert expert == cheetah == few and replay == [*few, uwac_study.DROPOUT, uwac_study.CODE]
    config = runner.resolve("uwac/mujoco_hopper_medium_expert", ["data.path=sets"]).config
    assert config.epochs * config.steps_per_epoch == 100_000 and config.agent.hidden == [256, 256]
    arm = uwac_study.arms(uwac_study.MUJOCO[1], mujoco="sets")[2]
    assert runner.resolve(arm.recipe, arm.overrides).config == config


@pytest.mark.slow
def test_mujoco_runs(tmp_path, capsys):
    rng = np.random.default_rng(0)
    sets = tmp_path / "sets"
    sets.mkdir()
    ends = np.arange(1, 601) % 60 == 0
    arrays = {"observations": rng.normal(size=(600, 11)), "rewards": rng.uniform(size=600)}
    arrays |= {"actions": rng.uniform(-1, 1, (600, 3))}
    arrays = {name: array.astype("float32") for name, array in arrays.items()}
    ends = {"terminals": np.zeros(600, bool), "timeouts": ends}
    np.savez(sets / "hopper_medium_replay.npz", **arrays, **ends)
    words = ["--seeds", "0", "--mujoco", str(sets), "--output", str(tmp_path / "out")]
    words += ["--data", "mujoco/hopper_medium_replay"]
    small = ["epochs=2", "steps_per_epoch=5", "agent.hidden=[4]", "agent.vae_units=4"]
    small += ["evaluation_episodes=2", "evaluate_every=1", "agent.n_action_samples=2"]
    assert main(["study", "uwac", *words, *small]) == 0
    text = (tmp_path / "out" / "mujoco-hopper_medium_replay" / "table.md").read_text()
    assert "not D4RL's" in text and "| score |" in text and "without spectral norm" not in text
    capsys.readouterr()


@pytest.mark.slow
def test_the_command_runs(tmp_path, monkeypatch, capsys):
    two = {name: uwac_study.SETTINGS[name] for name in (uwac_study.BC, uwac_study.UWAC)}
    monkeypatch.setattr(uwac_study, "SETTINGS", two)
    words = ["--seeds", "0", "--data", "pointmass/human", "--output", str(tmp_path)]
    small = ["epochs=2", "steps_per_epoch=5", "agent.hidden=[4]", "agent.vae_units=4"]
    small += ["evaluation_episodes=2", "agent.n_action_samples=2"]
    assert main(["study", "uwac", *words, *small]) == 0
    folder = tmp_path / "pointmass-human"
    expected = {"table.md", "results.csv", "study.json", "curves.png", "runs"}
    assert {p.name for p in folder.iterdir()} == expected
    assert (tmp_path / "returns.png").is_file()
    text = (folder / "table.md").read_text()
    assert "UWAC costs less than behavioural cloning" in text and "| ood_auc |" in text
    capsys.readouterr()


def test_the_picture_has_every_data_set_reported_there(tmp_path, monkeypatch):
    for name, value in (("pointmass-human", -1.0), ("pendulum-random", -20.0)):
        rows = [Row(uwac_study.UWAC, seed, metrics={"return": value - seed}) for seed in (0, 2)]
        uwac_study.report(name.replace("-", "/"), uwac_study.with_costs(rows), tmp_path / name)
    drawn = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: drawn.append(figure.axes[0]))
    plots.returns(tmp_path, uwac_study.DATA, tmp_path / "returns.png")
    (axis,) = drawn
    assert [t.get_text() for t in axis.get_yticklabels()] == ["pointmass/human", "pendulum/random"]
    assert list(axis.containers[0].lines[0].get_xdata()) == [-2.0, -21.0]


@pytest.mark.parametrize("worst", [-150, -900])
def test_the_curves_axis_has_ticks(worst, tmp_path, monkeypatch):
    folder = tmp_path / "BEAR-seed0"
    folder.mkdir()
    (folder / "log.csv").write_text(f"step,return\n1,-55\n2,{worst}\n")
    drawn = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: drawn.append(figure.axes[0]))
    plots.curves(tmp_path, [Row("BEAR", 0)], tmp_path / "curves.png")
    (axis,) = drawn
    assert list(axis.lines[0].get_ydata()) == [-55, worst]
    low, high = sorted(axis.get_ylim())
    assert len([t for t in axis.get_yticks() if low < t < high]) >= 2


def test_refuses(capsys):
    mujoco = "mujoco/hopper_medium_replay"
    for words in (["--data", "pointmass/none"], ["--data", mujoco], ["--seeds", "x"]):
        assert main(["study", "uwac", *words]) == 2
        assert words[0] in capsys.readouterr().err
    assert main(["study", "uwac", "--mujoco", "/no/such"]) == 2
    assert "--mujoco='/no/such': no such folder" in capsys.readouterr().err

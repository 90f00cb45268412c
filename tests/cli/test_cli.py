"""The command line: wrong input gives one line and status 2, never a traceback."""

import json
import re

import pytest

from support import here, slow
from tfzoo import config as configs
from tfzoo import registry, zoo
from tfzoo_cli.main import main


def fails(capsys, *words):
    status = main([str(w) for w in words])
    out, err = capsys.readouterr()
    assert status == 2, (status, out, err)
    assert "Traceback" not in err and err.startswith("tfzoo: ") and err.count("\n") == 1, err
    return err


def test_unknown_names_list_near_matches(capsys):
    assert "did you mean aft/digits" in fails(capsys, "train", "aft/digit")
    assert "no such file" in fails(capsys, "train", "nowhere.yaml")
    assert "hf://" in fails(capsys, "evaluate", "aft/nonsense")
    assert "must be one of aft" in fails(capsys, "study", "nonsense")
    assert "must be one of aft" in fails(capsys, "bench", "nonsense")


def test_a_study_of_many_models_is_not_taken_for_retracing(monkeypatch, caplog):
    import tensorflow as tf

    says = "5 out of the last 5 calls to <function %s at 0x7f> triggered tf.function retracing."
    keras = "TensorFlowTrainer.make_predict_function.<locals>.one_step_on_data_distributed"

    def study(rest):  # TensorFlow itself warns twice in a process
        tf.get_logger().warning(says % keras)
        tf.get_logger().warning(says % "mine")

    monkeypatch.setattr(registry, "get_experiment", lambda kind, name: study)
    assert main(["study", "aft"]) == 0
    assert [record.getMessage() for record in caplog.records] == [says % "mine"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epoch=1", "did you mean 'epochs'"),
        ("model.dim=wide", "model.dim='wide': must be a whole number"),
        ("epochs=0", "epochs=0: must be at least 1"),
        ("nonsense", "must be key=value"),
        ("task=nonsense", "task='nonsense': must be one of aft.classifier"),
    ],
)
def test_wrong_overrides(capsys, override, words):
    assert words in fails(capsys, "train", "aft/digits", override)


def test_a_recipe_without_a_task_is_refused(capsys, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 1\nbatch_size: 2\n")
    assert "task must be set" in fails(capsys, "train", path)


def test_a_missing_data_file_is_named(capsys, tmp_path):
    err = fails(
        capsys, "train", "aft/enwik8", "data.path=/nowhere/enwik8", "--run-dir", tmp_path / "run"
    )
    assert "/nowhere/enwik8" in err
    assert not (tmp_path / "run" / "model.keras").exists()


def test_print_config_can_be_trained_from(capsys, tmp_path):
    assert main(["train", "aft/digits", "epochs=2", "--print-config"]) == 0
    text = capsys.readouterr().out
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert main(["train", str(path), "--print-config"]) == 0
    assert capsys.readouterr().out == text
    assert "epochs: 2" in text


def test_list_is_a_line_for_each_recipe(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == zoo.list_recipes()
    assert max(map(len, lines)) <= 80
    monkeypatch.delenv("COLUMNS")
    assert main(["list"]) == 0  # into a pipe: nothing is truncated
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert re.fullmatch(r"sdn/shapes +tfzoo_shapes_views +189 s +0.605 IoU .+", lines["sdn/shapes"])
    assert re.fullmatch(r"aft/enwik8 +enwik8 +- +the paper's 1.154 .+", lines["aft/enwik8"])
    assert "0.140 ± 0.100 error rate" in lines["metricopt/digits_mcr"]


def test_the_long_list_shows_method_data_hardware_and_figure_of_every_recipe(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list", "--long"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line[0] != " "] == zoo.list_recipes()
    assert max(map(len, out.splitlines())) <= 80
    assert main(["list", "sdn"]) == 0
    entries = "\n" + capsys.readouterr().out
    assert re.findall(r"\n(\S.*)", entries) == [n for n in zoo.list_recipes() if n[:4] == "sdn/"]
    shapes = " ".join(entries.split("\nsdn/shapes\n")[1].split("\nsdn/")[0].split())
    for text in ("task: sdn.sets on tfzoo_shapes_views", "hardware: 2 CPU", "expected: 0.605 IoU"):
        assert text in shapes


def test_list_shows_size_recipe_command_and_licence_of_every_model(capsys):
    assert main(["list", "models"]) == 0
    entries = re.split(r"^(?=\S)", capsys.readouterr().out, flags=re.M)[1:]
    assert [entry.split("\n")[0] for entry in entries] == zoo.list_models()
    for entry, about in zip(entries, map(zoo.index().get, zoo.list_models()), strict=True):
        text = " ".join(entry.split())
        assert all(about[key] in text for key in ("recipe", "command", "licence")) and " MB" in text


def test_list_of_what_is_not_there_says_what_is(capsys):
    assert main(["list", "nonsense"]) == 2
    assert "list='nonsense': must be recipes, models or a method (aft, " in capsys.readouterr().err


def test_every_recipe_has_its_five_header_lines():
    for name in zoo.list_recipes():
        header = zoo.recipe_header(name)
        assert list(header) == ["source", "command", "hardware", "time", "expected"], name
        assert header["command"] == f"tfzoo train {name}" or " data.path=" in header["command"]


LARGE = ("sdn/shapenet", "sdn/vggface2")


def recipes():
    """Every recipe; for each task, the first one in the quick tier."""
    seen = set()
    for name in zoo.list_recipes():
        task = configs.peek(configs.read_yaml(zoo.find_recipe(name)), "task")
        yield slow(name) if task in seen or name in LARGE else name
        if name not in LARGE:
            seen.add(task)


@pytest.mark.parametrize("name", list(recipes()))
def test_every_recipe_builds_without_its_data(capsys, name):
    assert main(["train", name, "--dry-run"]) == 0, capsys.readouterr().err[-2000:]
    assert "parameters; nothing was trained" in capsys.readouterr().out


def test_train_evaluate_predict_export_of_a_run(tmp_path, capsys):
    folder = tmp_path / "run"
    small = ["epochs=1", "steps_per_epoch=2", "model.dim=16", "model.depth=1"]
    status, _, err = here("train", "aft/digits", *small, "--run-dir", folder)
    assert status == 0, err
    metrics = json.loads((folder / "metrics.json").read_text())["test"]

    def said(*words):
        status = main([str(w) for w in words])
        out, err = capsys.readouterr()
        assert status == 0, err
        return out

    evaluated = dict(line.split() for line in said("evaluate", folder).splitlines())
    assert float(evaluated["accuracy"]) == pytest.approx(metrics["accuracy"], abs=1e-5)
    image = tmp_path / "image.json"
    image.write_text(json.dumps({"images": [[[[3]] * 8] * 8]}))
    answer = json.loads(said("predict", folder, image))
    assert sum(answer["probabilities"][0]) == pytest.approx(1, abs=1e-5)
    said("export", folder, "--output", tmp_path / "served")
    assert (tmp_path / "served" / "1" / "saved_model.pb").is_file()
    fails(capsys, "export", folder, "--output", tmp_path / "served", "--version", "1")

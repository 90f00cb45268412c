"""Wrong configs give one line that names key, value and what is allowed."""

from dataclasses import dataclass, field

import pytest

from tfzoo import config
from tfzoo.errors import InputError
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class Model:
    dim: int = 8
    rate: float = 0.1
    windows: list[int] = field(default_factory=lambda: [1, 2])

    def __post_init__(self):
        config.check(self.dim > 0, "model.dim", self.dim, "at least 1")


@dataclass(frozen=True)
class Example(RunConfig):
    model: Model = field(default_factory=Model)


GOOD = ["task=t", "epochs=2", "batch_size=4"]


def parsed(*overrides):
    return config.resolve(Example, config.parse({}, [*GOOD, *overrides]))


def test_values_are_converted_and_nested():
    toy = parsed("model.rate=1", "model.windows=[3]", "steps_per_epoch=null", "seed=7")
    assert toy.model == Model(rate=1.0, windows=[3])
    assert toy.seed == 7 and toy.steps_per_epoch is None


def test_the_config_is_frozen_and_survives_yaml(tmp_path):
    toy = parsed("model.dim=3")
    with pytest.raises(AttributeError):
        toy.seed = 1
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(toy))
    assert config.load(Example, path) == toy


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epoch=1", ["epoch", "epochs"]),
        ("model.dmi=1", ["model.dmi", "dim"]),
        ("epochs=many", ["epochs", "many", "whole number"]),
        ("model.rate=fast", ["model.rate", "fast", "number"]),
        ("model.windows=[1,b]", ["model.windows[1]", "b"]),
        ("model.dim=0", ["model.dim", "0", "at least 1"]),
        ("epochs=0", ["epochs", "0", "at least 1"]),
        ("seed=-1", ["seed", "-1"]),
        ("precision=half", ["precision", "half", "mixed_bfloat16"]),
        ("distribute=all", ["distribute", "all", "mirrored"]),
        ("steps_per_epoch=0", ["steps_per_epoch", "0"]),
        ("epochs=???", ["epochs", "must be set"]),
        ("epochs", ["epochs", "key=value"]),
        ("epochs=[1", ["epochs=[1"]),
        ("model=3", ["model", "3"]),
        ("epochs=${oc.env:UNSET}", ["epochs='${oc.env:UNSET}'", "'UNSET' not found"]),
        ("epochs=${nope}", ["epochs='${nope}'", "'nope' not found"]),
        ("epochs=${oc.decode:'[1'}", ["epochs=", "BRACKET_CLOSE"]),
        ("epochs=${epochs}", ["epochs='${epochs}'", "Recursive"]),
        ("model.rate=${.dim", ["model.rate"]),
        ("model.windows=['${nope}']", ["model.windows[0]='${nope}'"]),
        ("model=${nope}", ["model='${nope}'"]),
        ("model=\\${nope}", ["model='${nope}'"]),
        ("epochs=${precision}", ["epochs='${precision}'", "whole number"]),
        ("epochs=1" + "0" * 30, ["epochs=1000", "32 bits"]),
        ("model.rate=1" + "0" * 400, ["32 bits"]),
    ],
)
def test_a_wrong_override_is_named_in_one_line(override, words):
    with pytest.raises(InputError) as caught:
        parsed(override)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_numbers_that_float32_does_not_hold():
    @dataclass(frozen=True)
    class Scale(config.Config):
        rate: float = 1.0
        widths: list[float] = field(default_factory=list)

    for wrong in ({"rate": 1e300}, {"rate": 10**400}, {"widths": [1.0, -1e39]}):
        with pytest.raises(InputError, match="32 bits"):
            Scale(**wrong)
    assert Scale(rate=1e30).rate == 1e30


def test_references_to_other_keys_defaults_and_the_environment(monkeypatch):
    monkeypatch.setenv("STEPS", "9")
    toy = parsed("seed=${model.dim}", "steps_per_epoch=${oc.env:STEPS}", "model.dim=${epochs}")
    assert (toy.seed, toy.steps_per_epoch, toy.model.dim) == (2, 9, 2)


@pytest.mark.parametrize("value", ["${nope}", "${task}", "${oc.env:UNSET}"])
def test_a_task_that_refers_to_nothing(value):
    with pytest.raises(InputError, match="task='"):
        config.peek(config.parse({}, [f"task={value}"]), "task")


@dataclass(frozen=True)
class Source(config.Config):
    path: config.UserPath | None = None


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("~/a b/é.npz", "HOME/a b/é.npz"),
        ("$STORE/x", "/store/x"),
        ("${oc.env:STORE}/x", "/store/x"),
        ("$UNSET/x", "$UNSET/x"),
        ("a~/x", "a~/x"),
        ("gs://bucket//x", "gs://bucket//x"),
        (r"C:\data\x", r"C:\data\x"),
        ("null", None),
    ],
)
def test_paths_are_expanded(given, meant, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STORE", "/store")
    source = config.resolve(Source, config.parse({}, [f"path={given}"]))
    assert source.path == (meant and meant.replace("HOME", str(tmp_path)))


def test_wrong_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        config.read_yaml(tmp_path / "none.yaml")
    for text in ("a: [1", "- 1\n- 2\n"):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(InputError, match="bad.yaml"):
            config.read_yaml(path)
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match="bad.yaml"):
        config.read_yaml(path)

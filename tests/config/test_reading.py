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
    found = parsed("model.rate=1", "model.windows=[3]", "steps_per_epoch=null", "seed=7")
    assert found.model == Model(rate=1.0, windows=[3])
    assert found.seed == 7 and found.steps_per_epoch is None


def test_the_config_is_frozen_and_survives_yaml(tmp_path):
    found = parsed("model.dim=3")
    with pytest.raises(AttributeError):
        found.seed = 1
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(found))
    assert config.load(Example, path) == found


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
    ],
)
def test_a_wrong_override_is_named_in_one_line(override, words):
    with pytest.raises(InputError) as caught:
        parsed(override)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


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

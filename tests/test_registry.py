"""Names are unique, and configs hold the constructor's arguments."""

import copy
import inspect
import json
from typing import Annotated

import h5py
import keras
import numpy as np
import pytest

from tfzoo import registry
from tfzoo.config import Count, OneOf, Positive, Widths, checked
from tfzoo.errors import InputError
from tfzoo.optim import MomentumSGD


def test_a_second_object_of_a_name_is_refused(monkeypatch):
    monkeypatch.setattr(registry, "objects", {})

    class Thing:
        def get_config(self):
            return {}

    registry.serializable("test_registry")(Thing)
    assert registry.objects == {"tfzoo.test_registry>Thing": Thing}
    with pytest.raises(ValueError, match="tfzoo.test_registry>Thing is already registered"):
        registry.serializable("test_registry")(Thing)


def test_a_second_task_or_experiment_of_a_name_is_refused():
    registry.task("test.once")(object)
    with pytest.raises(ValueError, match="test.once"):
        registry.task("test.once")(object)
    registry.experiment("study", "test_once", "json:dumps")
    with pytest.raises(ValueError, match="test_once"):
        registry.experiment("study", "test_once", "json:loads")
    assert registry.get_experiment("study", "test_once")([]) == "[]"


def test_unknown_names_list_the_known():
    registry.experiment("bench", "test_known", "json:dumps")
    with pytest.raises(InputError, match="nonsense.*test_known"):
        registry.get_experiment("bench", "nonsense")
    with pytest.raises(InputError, match="nonsense"):
        registry.get_task("nonsense")


class Base(keras.layers.Layer):
    def __init__(self, size, fixed, scale=1.0, **keywords):
        super().__init__(**keywords)
        self.size, self.scale = size, scale

    def call(self, x):
        return x


@registry.configurable
class Part(Base):
    def __init__(self, size, mode="auto", widths=(1, 2), inner=None, **keywords):
        super().__init__(size, "by the class", **keywords)
        self.mode = self.arguments.mode = "plain" if mode == "auto" else mode
        self.inner = inner


def test_a_config_has_the_constructors_arguments_and_those_that_reach_a_base():
    config = Part(np.int64(3), scale=2.0, name="part").get_config()
    assert config == json.loads(json.dumps(config))
    del config["dtype"]
    assert config == {
        "size": 3,
        "mode": "plain",
        "widths": [1, 2],
        "inner": None,
        "scale": 2.0,
        "name": "part",
        "trainable": True,
    }


def test_an_object_comes_back_from_its_config_with_its_parts():
    part = Part(3, widths=np.array([4, 5]), inner=keras.layers.Dense(2, name="dense"))
    config = part.get_config()
    again = Part.from_config(config)
    assert again.get_config() == config == part.get_config()
    assert isinstance(again.inner, keras.layers.Dense) and again.arguments.widths == [4, 5]
    with keras.saving.custom_object_scope({"Part": Part}):
        assert copy.deepcopy(again).get_config() == config


def test_an_argument_that_is_a_layer_is_saved_once_under_its_attribute(tmp_path):
    part = Part(3, inner=keras.layers.Dense(2))
    part.inner.build((None, 1))
    keras.Sequential([keras.Input((1,)), part]).save_weights(tmp_path / "a.weights.h5")
    names = []
    with h5py.File(tmp_path / "a.weights.h5") as file:
        file.visit(names.append)
    assert any(name.endswith("inner/vars/0") for name in names)
    assert not any("arguments" in name for name in names)


def test_a_subclass_says_its_own_arguments():
    @registry.configurable
    class Special(Part):
        def __init__(self, size, extra, **keywords):
            super().__init__(size, **keywords)

    class Users(Part):  # as a user writes one, without the decorator
        def __init__(self, extra, **keywords):
            super().__init__(2, mode="users", **keywords)
            self.extra = extra

        def get_config(self):
            return super().get_config() | {"extra": self.extra}

    config = Special(1, "more", widths=[7]).get_config()
    assert (config["size"], config["extra"], config["widths"]) == (1, "more", [7])
    config = Users("more").get_config()
    assert (config["size"], config["mode"], config["extra"]) == (2, "users", "more")


def test_a_constructor_without_keywords_gets_nothing_of_keras():
    @registry.configurable
    class Bare(keras.optimizers.Optimizer):
        def __init__(self, rate, name="bare"):
            super().__init__(learning_rate=rate, name=name)

    assert Bare(0.5).get_config() == {"rate": 0.5, "name": "bare"}


def test_what_keras_says_of_an_argument_goes_before():
    optimizer = MomentumSGD(0.5)
    optimizer.learning_rate = 0.25
    assert optimizer.get_config()["learning_rate"] == 0.25


def test_wrong_arguments_are_the_constructors_own_error():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'size'"):
        Part()
    with pytest.raises(TypeError, match="multiple values for argument 'size'"):
        Part(1, size=2)
    assert list(inspect.signature(Part.__init__).parameters)[1:3] == ["size", "mode"]


def test_an_argument_out_of_its_annotated_range_is_refused_before_the_constructor_begins():
    @registry.configurable
    class Ranged(Base):
        def __init__(self, size: Count, mode: Annotated[str, OneOf("a", "b")] = "a", **keywords):
            raise AssertionError("begun")

    class Below(Ranged):
        pass

    for ranged in (Ranged, Below):
        with pytest.raises(InputError, match="^size=0: must be at least 1$"):
            ranged(0)
        with pytest.raises(InputError, match="^mode='c': must be one of a, b$"):
            ranged(1, mode="c")
    with pytest.raises(AssertionError, match="begun"):
        Ranged(np.int32(1))


def test_a_checked_function_refuses_what_is_out_of_its_annotated_range():
    @checked
    def area(side: Positive, widths: Widths = (1,), name: str = "a", *, depth: Count | None = None):
        return side

    assert area(2.5) == area(side=2.5, widths=[3], name=7, depth=None) == 2.5
    with pytest.raises(InputError, match="^side=-1: must be above 0$"):
        area(-1)
    with pytest.raises(InputError, match="^side='1': must be a number$"):
        area("1")
    with pytest.raises(InputError, match=r"^widths=\[\]: must be one value or more"):
        area(1.0, ())
    with pytest.raises(InputError, match="^depth=0: must be at least 1"):
        area(1.0, depth=0)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'side'"):
        area()

"""Hyper-parameters: each has a range, and the same default as the class that they build."""

import dataclasses
import importlib
import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
from annotated_types import Ge, Gt, Le, Len, Lt

import tfzoo  # noqa: F401  imports every config
from tfzoo import config as configs
from tfzoo import registry
from tfzoo.config import (
    MISSING,
    Config,
    Count,
    Fraction,
    Must,
    OneOf,
    Positive,
    Rising,
    Text,
    json_schema,
    key,
    ranges,
)
from tfzoo.config.declaration import hints, range_words
from tfzoo.errors import InputError
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class Inner(Config):
    rate: Positive = key(0.1, "a rate")
    count: Annotated[int, Ge(2), Le(5)] = key(3, "a count")
    share: Annotated[float, Gt(0), Lt(1)] = key(0.5, "a share")
    drops: Rising = key([], "epochs")
    widths: Annotated[list[Count], Len(1)] = key([4], "widths")
    odd: Annotated[Count, Must(lambda n: n % 2 == 1, "odd")] = key(3, "odd")
    kind: Annotated[str, OneOf("a", "b")] = key("a", "a kind")
    path: Text | None = key(None, "a path")
    limit: Fraction | None = key(None, "a limit")
    flag: bool = key(False, "a flag")


@dataclass(frozen=True)
class Middle(Config):
    inner: Inner = key(Inner(rate=0.2), "see `Inner`")


@dataclass(frozen=True)
class Outer(RunConfig):
    middle: Middle = key(Middle(), "see `Middle`")
    needed: Count = key(MISSING, "without a default")


WRONG = {
    "rate": ((0, -1.0, float("nan"), float("inf")), "above 0"),
    "count": ((1, 6), "from 2 to 5"),
    "share": ((0.0, 1.0), "above 0 and below 1"),
    "drops": (([2, 1], [1, 1]), "strictly increasing integers, at least 1"),
    "widths": (([], [0]), "one value or more, each at least 1"),
    "odd": ((2, 0), "at least 1 and odd"),
    "kind": (("c",), "one of a, b"),
    "path": (("",), "text that is not empty, or null"),
    "limit": ((1.0, -0.1), "from 0 to below 1, or null"),
    "flag": ((1, "yes"), "true or false"),
}
OF_ANOTHER_TYPE = {
    "rate": (("fast", None, True, [1.0]), "a number"),
    "count": ((2.5, "3", True, None), "a whole number"),
    "widths": ((3, ["a"]), "a list, each a whole number"),
    "path": ((3,), "text, or null"),
}


@pytest.mark.parametrize("table", [WRONG, OF_ANOTHER_TYPE], ids=["range", "type"])
def test_a_wrong_value_is_named_with_what_is_allowed(table):
    for name, (values, allowed) in table.items():
        for value in values:
            with pytest.raises(InputError) as caught:
                Inner(**{name: value})
            assert str(caught.value) == f"{name}={value!r}: must be {allowed}"


def test_what_is_allowed_passes():
    inner = Inner(2, 5, 0.1, [1, 4], (7,), 1, "b", "x", 0.0, True)
    assert inner.rate == 2 and inner.widths == (7,)


def test_a_key_without_a_default_must_be_set():
    with pytest.raises(InputError, match="^needed=.*: must be set, it has no default$"):
        Outer(task="t", epochs=1, batch_size=1)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("middle.inner.rate=-1", "middle.inner.rate=-1.0: must be above 0"),
        ("middle.inner.rate=x", "middle.inner.rate='x': must be a number"),
        ("middle.inner.kind=c", "middle.inner.kind='c': must be one of a, b"),
        ("middle.inner.odd=4", "middle.inner.odd=4: must be at least 1 and odd"),
        ("needed=0", "needed=0: must be at least 1"),
    ],
)
def test_a_nested_key_is_named_from_the_root(word, message):
    words = ["task=t", "epochs=1", "batch_size=1", "needed=1", word]
    with pytest.raises(InputError) as caught:
        configs.resolve(Outer, configs.parse({}, words))
    assert str(caught.value) == message


def test_defaults_of_groups_are_copies():
    first, second = Middle(), Middle()
    first.inner.widths.append(9)
    assert second.inner.widths == [4] and second.inner.rate == 0.2


def test_the_json_schema_says_types_ranges_defaults_and_documents():
    schema = json_schema(Outer)
    assert schema["required"] == ["task", "epochs", "batch_size", "needed"]
    assert schema["properties"]["needed"] == {
        "type": "integer",
        "minimum": 1,
        "description": "without a default",
    }
    inner = schema["properties"]["middle"]["properties"]["inner"]["properties"]
    assert inner["rate"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "a rate",
        "default": 0.1,
    }
    assert inner["kind"]["enum"] == ["a", "b"]
    assert inner["widths"]["items"] == {"type": "integer", "minimum": 1}
    assert inner["limit"]["anyOf"][1] == {"type": "null"}


def subclasses(cls):
    for child in cls.__subclasses__():
        if child.__module__.startswith("tfzoo."):
            yield child
        yield from subclasses(child)


CONFIGS = sorted(set(subclasses(Config)), key=lambda c: (c.__module__, c.__name__))


@pytest.mark.parametrize("cls", CONFIGS, ids=lambda c: f"{c.__module__}.{c.__name__}")
def test_every_key_of_every_config_is_documented_and_has_a_sound_default(cls):
    json_schema(cls)
    for field in dataclasses.fields(cls):
        assert field.metadata.get("document"), field.name
    required = [f.name for f in dataclasses.fields(cls) if f.default is MISSING]
    if not required:
        cls()


def test_every_task_has_such_a_config():
    tasks = [registry.get_task(name) for name in registry.tasks()]
    assert {t.config_class for t in tasks if t.__module__.startswith("tfzoo.")} <= set(CONFIGS)


def arguments(target):
    """Defaults by name, of a function, or of a class and its base classes in tfzoo."""
    parameters = {}
    for owner in reversed(inspect.getmro(target)) if inspect.isclass(target) else [target]:
        if inspect.isclass(owner) and "__init__" not in vars(owner):
            continue
        if owner.__module__.startswith("tfzoo."):
            parameters |= inspect.signature(owner).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def plain(value):
    """A default in a config's form: lists, and a number for a list of one."""
    value = list(value) if isinstance(value, tuple) else value
    return value[0] if isinstance(value, list) and len(value) == 1 else value


BUILT = [(cls, target) for cls in CONFIGS for target in cls.builds]


@pytest.mark.parametrize(("cls", "target"), BUILT, ids=lambda x: getattr(x, "__name__", x))
def test_config_and_class_have_the_same_defaults(cls, target):
    module, name = target.split(":")
    theirs = arguments(getattr(importlib.import_module(module), name))
    shared = [field for field in dataclasses.fields(cls) if field.name in theirs]
    assert shared
    for field in shared:
        default = theirs[field.name]
        mine = field.default
        if field.default_factory is not dataclasses.MISSING:
            mine = field.default_factory()
        if mine == MISSING or default is inspect.Parameter.empty:
            continue  # one of them must be given
        if mine is None and field.metadata["of_data"]:
            continue  # measured on the data, which the class does not see
        assert plain(mine) == plain(default), field.name


NARROWER = {  # in a recipe than in Python
    ("FineTuneConfig", "trajectories"),  # 0 is for a pre-trained value function
    ("LanguageModelConfig", "max_length"),  # a single symbol has no successor to predict
}


def limits(target):
    """Ranges by parameter, as `arguments`."""
    owners = reversed(inspect.getmro(target)) if inspect.isclass(target) else [target]
    annotated = {}
    for owner in owners:
        function = vars(owner).get("__init__") if inspect.isclass(owner) else owner
        if function is not None and owner.__module__.startswith("tfzoo."):
            annotated |= ranges(function)
    return {name: range_words(hint).removesuffix(", or null") for name, hint in annotated.items()}


def test_config_and_class_have_the_same_ranges():
    compared = 0
    for cls, target in BUILT:
        module, name = target.split(":")
        theirs = limits(getattr(importlib.import_module(module), name))
        for word, hint in hints(cls).items():
            if word in theirs and (cls.__name__, word) not in NARROWER:
                mine = range_words(hint).removesuffix(", or null")
                assert mine == theirs[word], (cls.__name__, target, word)
                compared += 1
    assert compared > 80


def test_many_are_compared():
    names = {(c, f.name) for c, _ in BUILT for f in dataclasses.fields(c)}
    assert len(BUILT) >= 18 and len(names) > 100
    assert all(hints(c) for c in CONFIGS)

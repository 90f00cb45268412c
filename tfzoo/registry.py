"""Registries by name: Keras objects, tasks, studies and benches."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from tfzoo.config import ranges, require
from tfzoo.environment import only_on
from tfzoo.errors import InputError

objects: dict[str, type | Callable] = {}
"""Every registered Keras object by its registered name, e.g. `tfzoo.aft>AFTFull`."""

_tasks: dict[str, type] = {}
_experiments: dict[tuple[str, str], str] = {}


def serializable(method: str) -> Callable[[Any], Any]:
    """Registers a layer, model, loss, metric or function with Keras as `tfzoo.<method>>Name`.

    Keras itself overwrites a name silently. Registered names are part of saved files and never
    change, wherever the code moves. A class becomes `configurable` too.

    Args:
        method: the method's package name, e.g. `"aft"`.

    Raises:
        ValueError: the name belongs to another object.
    """

    def register(target: Any) -> Any:
        name = f"tfzoo.{method}>{target.__name__}"
        if name in objects:
            raise ValueError(f"{name} is already registered, by {objects[name].__module__}")
        objects[name] = target
        if isinstance(target, type):
            configurable(target)
        return keras.saving.register_keras_serializable(f"tfzoo.{method}")(target)

    return register


def configurable(cls: Any) -> Any:
    """Gives a class `get_config` and `from_config`, based on its constructor's arguments.

    Arguments annotated with a range, e.g. `width: Count`, are checked (`InputError`). All are in an
    object's `arguments` before its constructor begins, with defaults spelt out, so that a saved
    file keeps its meaning when a default changes. Those that `**keywords` pass to tfzoo's base
    classes are included; those passed to Keras are left to Keras. A constructor that decides on
    a different value writes it there, e.g. `self.arguments.head = head`.

    `get_config` returns them as stored in a file: lists, and Keras objects as their configs.
    Entries of the class's or base's own `get_config` take precedence: Keras's name and dtype,
    or a current value.
    """
    constructors, is_open = _constructors(cls)
    parameters = _defaults(constructors)
    if not parameters:
        return cls
    init, own = cls.__init__, vars(cls).get("get_config")
    signature = inspect.signature(init)
    positions = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]

    @functools.cache  # not at import: resolving annotations takes a while
    def limits() -> dict[str, Any]:
        return {k: hint for one in reversed(constructors) for k, hint in ranges(one).items()}

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **keywords: Any) -> None:
        state = vars(self)  # Keras tracks attributes
        if "arguments" not in state:  # otherwise a subclass is being constructed, which has its own
            given = dict(zip(positions[1:], args, strict=False)) | keywords
            for name, hint in limits().items():
                if name in given:
                    require(hint, name, given[name])
            values = {name: given.get(name, default) for name, default in parameters.items()}
            missing = inspect.Parameter.empty  # the constructor says itself what it misses
            # no dictionary: Keras would look for layers in it and save their weights there
            state["arguments"] = SimpleNamespace(
                **{name: value for name, value in values.items() if value is not missing}
            )
        init(self, *args, **keywords)

    def get_config(self: Any) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        inherited = getattr(super(cls, self), "get_config", dict)
        said = own(self) if own else inherited()
        rest = {name: value for name, value in vars(self.arguments).items() if name not in said}
        config = _plain(rest) | said
        return {name: value for name, value in config.items() if is_open or name in parameters}

    def from_config(
        kind: Any, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        """Creates an object from the result of `get_config`."""
        with keras.saving.custom_object_scope(custom_objects or {}):
            config = {k: _revived(v) if k in parameters else v for k, v in config.items()}
            return getattr(super(cls, kind), "from_config", lambda config: kind(**config))(config)

    __init__.__signature__ = signature  # type: ignore[attr-defined]  # Keras asks for the names
    cls.__init__, cls.get_config, cls.from_config = __init__, get_config, classmethod(from_config)
    return cls


def _constructors(cls: type) -> tuple[list[Callable[..., None]], bool]:
    """The constructors that a call reaches through `**keywords`; whether Keras's is among them."""
    constructors: list[Callable[..., None]] = []
    for owner in cls.__mro__:
        if owner is object or owner.__module__.startswith("keras."):
            return constructors, owner is not object
        if "__init__" in vars(owner):
            constructors.append(vars(owner)["__init__"])
            kinds = {p.kind for p in inspect.signature(constructors[-1]).parameters.values()}
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                break
    return constructors, False


def _defaults(constructors: Sequence[Callable[..., None]]) -> dict[str, Any]:
    """Parameters and their defaults; the class's take precedence over its bases'."""
    defaults: dict[str, Any] = {}
    for constructor in constructors:
        _, *parameters = inspect.signature(constructor).parameters.values()
        for p in parameters:
            if p.kind is not p.VAR_KEYWORD:
                defaults.setdefault(p.name, p.default)
    return defaults


def _plain(value: Any) -> Any:
    """An argument as stored in a file: lists instead of tuples, Keras objects as their configs."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return json.loads(json.dumps(keras.saving.serialize_keras_object(value)))


def _revived(value: Any) -> Any:
    """An argument from a file, as the constructor takes it."""
    if isinstance(value, dict) and {"class_name", "config"} <= set(value):
        # a copy, since Keras modifies what it deserializes
        return keras.saving.deserialize_keras_object(deepcopy(value))
    return value


def task(name: str) -> Callable[[type], type]:
    """Registers a `Recipe` class as the task `name` that a recipe's YAML refers to.

    Raises:
        ValueError: the name belongs to another class.
    """

    def register(cls: type) -> type:
        if name in _tasks:
            raise ValueError(f"task {name!r} is already registered, by {_tasks[name].__module__}")
        _tasks[name] = cls
        return cls

    return register


def tasks() -> list[str]:
    """Names of the registered tasks."""
    return sorted(_tasks)


def methods() -> list[str]:
    """The packages of tfzoo with registered tasks, e.g. `aft`."""
    modules = (cls.__module__.split(".") for cls in _tasks.values())
    return sorted({words[1] for words in modules if words[0] == "tfzoo"})


def get_task(name: str) -> type:
    """The `Recipe` class of a task.

    Raises:
        InputError: there is no such task.
    """
    if name not in _tasks:
        raise InputError(f"task={name!r}: must be one of {', '.join(tasks())}")
    return _tasks[name]


def experiment(kind: str, name: str, target: str) -> None:
    """Registers the entry of `tfzoo study NAME`, `tfzoo bench NAME` or `tfzoo search NAME`.

    Args:
        kind: `"study"`, `"bench"` or `"search"`.
        name: the method's name.
        target: `"module:function"`, imported on demand; the function takes the remaining
            command-line words.

    Raises:
        ValueError: the name is taken.
    """
    if (kind, name) in _experiments:
        raise ValueError(f"{kind} {name!r} is already registered")
    _experiments[kind, name] = target


def experiments(kind: str) -> list[str]:
    """Names of the registered studies, benches or searches."""
    return sorted(name for k, name in _experiments if k == kind)


@only_on("tensorflow", why="which measure TensorFlow", name="studies, benches and searches")
def get_experiment(kind: str, name: str) -> Callable[[list[str]], int | None]:
    """The function of a study, bench or search.

    Raises:
        InputError: there is none with that name.
    """
    if (kind, name) not in _experiments:
        raise InputError(f"{kind} {name!r}: must be one of {', '.join(experiments(kind))}")
    module, function = _experiments[kind, name].split(":")
    return getattr(importlib.import_module(module), function)

"""What tfzoo knows by name: Keras objects, tasks, studies and benches."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import keras

from tfzoo.errors import InputError

objects: dict[str, type | Callable] = {}
"""Every registered Keras object by its registered name, e.g. `tfzoo.aft>AFTFull`."""

_tasks: dict[str, type] = {}
_experiments: dict[tuple[str, str], str] = {}


def serializable(method: str) -> Callable[[Any], Any]:
    """Registers a layer, model, loss, metric or function with Keras as `tfzoo.<method>>Name`.

    Keras itself overwrites a name silently. Registered names are part of saved files and never
    change, wherever the code moves.

    Args:
        method: the method's package name, e.g. `"aft"`.

    Raises:
        ValueError: another object holds the name.
    """

    def register(target: Any) -> Any:
        name = f"tfzoo.{method}>{target.__name__}"
        if name in objects:
            raise ValueError(f"{name} is already registered, by {objects[name].__module__}")
        objects[name] = target
        return keras.saving.register_keras_serializable(f"tfzoo.{method}")(target)

    return register


def plain_config(target: Any) -> Any:
    """A Keras object's serialised config as a file has it: lists, no tuples."""
    return json.loads(json.dumps(keras.saving.serialize_keras_object(target)))


def task(name: str) -> Callable[[type], type]:
    """Registers a `Recipe` class as the task `name` that a recipe's YAML refers to.

    Raises:
        ValueError: another class holds the name.
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
    """The packages of tfzoo that have registered tasks, e.g. `aft`."""
    modules = (cls.__module__.split(".") for cls in _tasks.values())
    return sorted({words[1] for words in modules if words[0] == "tfzoo"})


def get_task(name: str) -> type:
    """The `Recipe` class of a task.

    Raises:
        InputError: no such task.
    """
    if name not in _tasks:
        raise InputError(f"task={name!r}: must be one of {', '.join(tasks())}")
    return _tasks[name]


def experiment(kind: str, name: str, target: str) -> None:
    """Registers the entry of `tfzoo study NAME`, `tfzoo bench NAME` or `tfzoo search NAME`.

    Args:
        kind: `"study"`, `"bench"` or `"search"`.
        name: the method's name.
        target: `"module:function"`, imported when it is called for; the function takes the
            remaining command-line words.

    Raises:
        ValueError: the name is taken.
    """
    if (kind, name) in _experiments:
        raise ValueError(f"{kind} {name!r} is already registered")
    _experiments[kind, name] = target


def experiments(kind: str) -> list[str]:
    """Names of the registered studies, benches or searches."""
    return sorted(name for k, name in _experiments if k == kind)


def get_experiment(kind: str, name: str) -> Callable[[list[str]], int | None]:
    """The function of a study, bench or search.

    Raises:
        InputError: there is none of that name.
    """
    if (kind, name) not in _experiments:
        raise InputError(f"{kind} {name!r}: must be one of {', '.join(experiments(kind))}")
    module, function = _experiments[kind, name].split(":")
    return getattr(importlib.import_module(module), function)

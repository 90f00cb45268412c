"""Converts configs, YAML and key=value overrides; the only module that uses OmegaConf."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tfzoo.config.declaration import hints, type_words
from tfzoo.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")


def read_yaml(path: str | Path) -> DictConfig:
    """Reads a YAML file with a mapping.

    Raises:
        InputError: the file is missing, unreadable, not YAML, or not a mapping.
    """
    from omegaconf import DictConfig, OmegaConf

    path = Path(path)
    if not path.is_file():
        raise InputError(f"config {str(path)!r}: no such file")
    try:
        loaded = OmegaConf.load(path)
    except Exception as error:  # the YAML library's and the codec's errors share no base
        raise InputError(f"config {str(path)!r}: not YAML: {_one_line(error)}") from None
    if not isinstance(loaded, DictConfig):
        raise InputError(f"config {str(path)!r}: must hold keys and values")
    return loaded


def parse_yaml(text: str) -> DictConfig:
    """The mapping in a YAML text written by `to_yaml`."""
    from omegaconf import DictConfig, OmegaConf

    loaded = OmegaConf.create(text)
    assert isinstance(loaded, DictConfig)  # of a dataclass
    return loaded


def parse(values: Any, overrides: Sequence[str] = ()) -> DictConfig:
    """Applies `key=value` overrides (dots reach into nested keys) to a YAML mapping.

    Raises:
        InputError: an override is not of the form `key=value`.
    """
    from omegaconf import DictConfig, OmegaConf

    for word in overrides:
        if not re.match(r"[A-Za-z_][\w.]*=", word):
            raise InputError(f"override {word!r}: must be key=value, e.g. epochs=3 or model.dim=64")
    try:
        merged = OmegaConf.merge(values, OmegaConf.from_dotlist(list(overrides)))
    except Exception as error:
        raise InputError(f"overrides {' '.join(overrides)!r}: {_one_line(error)}") from None
    assert isinstance(merged, DictConfig)  # overrides are keys and cannot merge with a list
    return merged


def for_other_data(
    config_class: type, values: DictConfig, overrides: Sequence[str]
) -> tuple[DictConfig, list[str]]:
    """A recipe's values, without those specific to its own data if the data are different.

    The data are different if the overrides name another data set or another path. Keys declared
    `of_data` that the overrides do not set then take their defaults.

    Args:
        config_class: the config class of the recipe's task.
        values: the recipe's YAML.
        overrides: `key=value` words.

    Returns:
        The values, and the dotted keys that were dropped.
    """
    from omegaconf import OmegaConf

    laid = parse(values, overrides)
    others = (_written(values, f"data.{word}") for word in ("name", "path"))
    changed = [
        theirs is not None and theirs != _written(laid, f"data.{word}")
        for word, theirs in zip(("name", "path"), others, strict=True)
    ]
    if not any(changed):
        return values, []
    told = {word.partition("=")[0] for word in overrides}
    names = [name for name in _of_data(config_class) if name not in told]
    left_out = [name for name in names if _written(values, name) is not None]
    kept = values.copy()
    for name in left_out:
        group, _, last = name.rpartition(".")
        del (OmegaConf.select(kept, group) if group else kept)[last]
    return kept, left_out


def _of_data(config_class: type, prefix: str = "") -> list[str]:
    names = []
    for field in dataclasses.fields(config_class):
        hint = hints(config_class)[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            names += _of_data(hint, f"{prefix}{field.name}.")
        elif field.metadata.get("of_data"):
            names.append(prefix + field.name)
    return names


def resolve(config_class: type[T], values: Any) -> T:
    """The frozen dataclass described by `values`, with types converted and ranges checked.

    Raises:
        InputError: a misspelt key, a wrong type, an unset field, or a value out of range.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

    schema = OmegaConf.structured(config_class)
    try:
        merged = OmegaConf.merge(schema, values)
        missing = sorted(OmegaConf.missing_keys(merged))
        if missing:
            raise InputError(f"{missing[0]}: must be set, it has no default")
        return _construct(config_class, merged)
    except InputError:
        raise
    except ConfigKeyError as error:
        raise InputError(_unknown_key(config_class, error)) from None
    except MissingMandatoryValue as error:
        raise InputError(f"{error.full_key}: must be set, it has no default") from None
    except OmegaConfBaseException as error:
        raise InputError(_wrong_value(config_class, values, error)) from None
    except OverflowError as error:  # an integer for a float
        raise InputError(f"a value of the config: {error}; must be of 32 bits") from None


def peek(values: DictConfig, key: str) -> Any:
    """One value of a mapping whose class is not known yet; None if the key is missing.

    Raises:
        InputError: it refers to a missing key or variable.
    """
    from omegaconf.errors import InterpolationResolutionError

    try:
        return values.get(key)
    except InterpolationResolutionError as error:
        raise InputError(_unresolved(values, key, error)) from None


def _construct(config_class: type[T], node: Any, prefix: str = "") -> T:
    """The config in a typed node; prepends the group's name to a group's error message."""
    from omegaconf import OmegaConf

    values = {}
    for name, hint in hints(config_class).items():
        value = node[name]
        if OmegaConf.is_dict(value):
            values[name] = _construct(hint, value, f"{prefix}{name}.")
        else:
            values[name] = OmegaConf.to_object(value) if OmegaConf.is_list(value) else value
    try:
        return config_class(**values)
    except InputError as error:
        raise InputError(f"{prefix}{error}") from None


def load(config_class: type[T], path: str | Path, overrides: Sequence[str] = ()) -> T:
    """`resolve(config_class, parse(read_yaml(path), overrides))`."""
    return resolve(config_class, parse(read_yaml(path), overrides))


def to_yaml(config: Any) -> str:
    """The YAML text of a config dataclass, with every field written out."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _wrong_value(config_class: type, values: Any, error: Any) -> str:
    """The error for a value of the wrong type, or one that refers to a missing key."""
    from omegaconf.errors import InterpolationResolutionError, ValidationError

    key = error.full_key
    if not key:
        return _not_nested(config_class, values) or _one_line(error)
    if isinstance(error, InterpolationResolutionError) and not isinstance(error, ValidationError):
        return _unresolved(values, key, error)
    return f"{key}={_written(values, key)!r}: must be {_type_of(config_class, key)}"


def _unresolved(values: Any, key: str, error: Any) -> str:
    """The error for a reference (`${...}`) to a missing key, or to itself."""
    reason = str(error).splitlines()[0].split("while resolving interpolation: ")[-1]
    return (
        f"{key}={_written(values, key)!r}: ${{...}} must name another key, "
        f"as ${{seed}}, or an environment variable, as ${{oc.env:HOME}}: {reason}"
    )


def _written(values: Any, key: str) -> Any:
    """The value of a dotted key as given, without following references."""
    from omegaconf import OmegaConf

    value = OmegaConf.to_container(OmegaConf.create(values), resolve=False)
    for word in re.findall(r"[^.\[\]]+", key):
        if isinstance(value, list) and word.isdigit() and int(word) < len(value):
            value = value[int(word)]
        else:
            value = value.get(word) if isinstance(value, dict) else None
    return value


def _not_nested(config_class: type, values: Any) -> str | None:
    """The error for a plain value in place of a group of keys, if there is one."""
    for name, hint in typing.get_type_hints(config_class).items():
        value = _written(values, name)
        if dataclasses.is_dataclass(hint) and not isinstance(value, (dict, type(None))):
            names = ", ".join(f"{name}.{f.name}" for f in dataclasses.fields(hint))
            return f"{name}={value!r}: must be keys below it: {names}"
    return None


def _fields(config_class: type, key: str) -> tuple[type, str]:
    """The dataclass of a dotted key's last part, and that part."""
    *parents, last = key.split(".")
    for name in parents:
        hints = {f.name: f.type for f in dataclasses.fields(config_class)}
        field_type = _resolve_type(config_class, name) if name in hints else None
        if not (isinstance(field_type, type) and dataclasses.is_dataclass(field_type)):
            break
        config_class = field_type
    return config_class, last


def _resolve_type(config_class: type, name: str) -> Any:
    return typing.get_type_hints(config_class).get(name)


def _unknown_key(config_class: type, error: Any) -> str:
    key = error.full_key or str(error.key)
    owner, last = _fields(config_class, key)
    names = [f.name for f in dataclasses.fields(owner)]
    near = difflib.get_close_matches(last, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{key}: no such key; {hint}allowed: {', '.join(names)}"


def _type_of(config_class: type, key: str) -> str:
    owner, last = _fields(config_class, re.sub(r"\[\d+\]$", "", key))
    hint = hints(owner).get(last)
    return type_words(hint) if hint else "a value of the type that the config declares"

"""Hyper-parameters, each declared on one line: name, type with range, default, documentation.

    @dataclass(frozen=True)
    class MixerConfig(Config):
        dim: Count = key(MISSING, "width d")
        dropout: Fraction = key(0.0, "in the blocks")

Construction checks every value. Ranges are written with the library annotated-types.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from annotated_types import Ge, Gt, Le, Len, Lt

from tfzoo.errors import InputError
from tfzoo.files import expanded

F = TypeVar("F", bound=Callable[..., Any])
MISSING: Any = "???"
"""Marks a field that a config must set; the same marker as OmegaConf's."""

Count = Annotated[int, Ge(1)]
Parts = Annotated[int, Ge(1), Le(1000)]
"""Number of layers or members that are separate objects: building more would take hours."""
Natural = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]
Share = Annotated[float, Ge(0), Le(1)]
Factor = Annotated[float, Gt(0), Le(1)]
Level = Annotated[float, Ge(-1e6), Le(1e6)]
Spread = Annotated[float, Ge(1e-6), Le(1e6)]
"""Mean and deviation of pixels: wide enough for any data; beyond, float32 loses all precision."""
Text = Annotated[str, Len(1)]
UserPath = Annotated[str, Len(1), expanded]
"""A user's path, in which `~` and environment variables are expanded."""
Counts = Annotated[list[Count], Len(1)]  # in a config, whose lists OmegaConf reads
Widths = Annotated[Sequence[Count], Len(1)]  # in a constructor, whose default is a tuple


@dataclass(frozen=True)
class Must:
    """A condition on a value, other than a range, for `Annotated`.

    Attributes:
        holds: whether a value satisfies it.
        allowed: completes `must be ...`.
    """

    holds: Callable[[Any], bool]
    allowed: str


class OneOf:
    """The allowed values, for `Annotated`."""

    def __init__(self, *choices: Any):
        self.choices = choices
        self.allowed = f"one of {', '.join(map(str, choices))}"


Rising = Annotated[
    list[Count],
    Must(lambda v: list(v) == sorted(set(v)), "strictly increasing integers, at least 1"),
]


def key(default: Any, document: str, *, of_data: bool = False) -> Any:
    """A field of a `Config`.

    Args:
        default: `MISSING` for a key that must be set; a list or a `Config` is copied for each
            instance.
        document: what it means, for readers and `json_schema`.
        of_data: a recipe's value applies only to the recipe's own data; for other data the default
            replaces it (see `for_other_data`).
    """
    metadata = {"document": document, "of_data": of_data}
    if isinstance(default, (list, Config)):
        copy = functools.partial(deepcopy, default)
        return dataclasses.field(default_factory=copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """A group of hyper-parameters whose values are within their ranges.

    A subclass checks conditions on several keys in `__post_init__`, after `super()`'s. Keys in its
    messages are relative to the group; `resolve` prepends the group's name.

    Attributes:
        builds: "module:name" of the class or function, or of several, whose arguments are this
            group's keys of the same names, with the same defaults (a test compares them).

    Raises:
        InputError: a value is of the wrong type or out of range.
    """

    builds: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            value = getattr(self, name)
            check(value is not MISSING and value != MISSING, name, value, "set, it has no default")
            check(_has_room(value), name, _plain(value), "of 32 bits, whole up to 2147483647")
            require(hint, name, value)
            if isinstance(value, str) and any(expanded in _split(o)[1] for o in _options(hint)):
                object.__setattr__(self, name, expanded(value))


def hints(cls: type) -> dict[str, Any]:
    """The types of a config's fields with their ranges, by name."""
    return _hints(cls)


@functools.cache  # separate: mypy takes dataclasses to be unhashable
def _hints(cls: type) -> dict[str, Any]:
    of_all = typing.get_type_hints(cls, include_extras=True)
    return {field.name: of_all[field.name] for field in dataclasses.fields(cls)}


def check(condition: bool, key: str, value: Any, allowed: str) -> None:
    """Raises `InputError` naming key, value and what is allowed unless `condition` holds."""
    if not condition:
        raise InputError(f"{key}={value!r}: must be {allowed}")


def require(hint: Any, key: str, value: Any) -> None:
    """Raises `InputError` unless `value` is of the type and, if annotated, within the range."""
    if not _fits(value, hint):
        allowed = range_words(hint) if _is_of(value, hint) else type_words(hint)
        check(False, key, _plain(value), allowed)


@functools.cache
def ranges(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a function whose annotations have a range, with their annotations."""
    hints = typing.get_type_hints(function, include_extras=True)
    return {name: hint for name, hint in hints.items() if _has_range(hint)}


def checked(function: F) -> F:
    """Decorates a function, e.g. a constructor, to refuse arguments out of their annotated ranges.

    Keras objects do not need it: `tfzoo.registry.serializable` does the same.
    """
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | keywords
        for name, hint in ranges(function).items():
            if name in given:
                require(hint, name, given[name])
        return function(*args, **keywords)

    return typing.cast(F, call)


def choices(key: str, value: str | None, allowed: Sequence[str]) -> None:
    """Raises `InputError` unless `value` is one of `allowed`."""
    check(value in allowed, key, value, f"one of {', '.join(allowed)}")


def json_schema(cls: type[Config]) -> dict[str, Any]:
    """The JSON schema of a config's YAML: types, ranges, defaults and documentation."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field in dataclasses.fields(cls):
        schema = _schema(hints(cls)[field.name])
        schema |= {"description": field.metadata.get("document", "")}
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default == MISSING:
            required.append(field.name)
        elif dataclasses.is_dataclass(default):
            pass  # the group's keys have their own
        elif default is not dataclasses.MISSING:
            schema["default"] = default
        properties[field.name] = schema
    about = (cls.__doc__ or "").splitlines()[0]
    schema = {"type": "object", "description": about, "properties": properties}
    return schema | {"additionalProperties": False} | ({"required": required} if required else {})


_TYPES: dict[Any, tuple[Any, str, str]] = {
    bool: (bool, "true or false", "boolean"),
    int: (numbers.Integral, "a whole number", "integer"),
    float: (numbers.Real, "a number", "number"),
    str: (str, "text", "string"),
}
_BOUNDS: dict[tuple[type | None, ...], str] = {
    (Ge, Le): "from {} to {}",
    (Ge, Lt): "from {} to below {}",
    (Gt, Le): "above {} and up to {}",
    (Gt, Lt): "above {} and below {}",
    (Ge, None): "at least {}",
    (Gt, None): "above {}",
    (None, Le): "at most {}",
    (None, Lt): "below {}",
}
_SCHEMA_WORDS = {Ge: "minimum", Gt: "exclusiveMinimum", Le: "maximum", Lt: "exclusiveMaximum"}


def _split(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Splits a type into its base and its requirements."""
    if get_origin(hint) is Annotated:
        base, *required = get_args(hint)
        return base, tuple(required)
    return hint, ()


def _is_list(base: Any) -> bool:
    return get_origin(base) in (list, Sequence)


def _has_range(hint: Any) -> bool:
    bases = [_split(option) for option in _options(hint)]
    return any(required or (_is_list(b) and _has_range(get_args(b)[0])) for b, required in bases)


def _options(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union; otherwise the type alone."""
    union = get_origin(hint) in (typing.Union, types.UnionType)
    return get_args(hint) if union else (hint,)


def _is_of(value: Any, hint: Any) -> bool:
    return any(_is_of_one(value, option) for option in _options(hint))


def _is_of_one(value: Any, hint: Any) -> bool:
    base, _ = _split(hint)
    if base is type(None):
        return value is None
    if _is_list(base):
        return isinstance(value, (list, tuple)) and all(_is_of(v, get_args(base)[0]) for v in value)
    if base in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, _TYPES[base][0] if base in _TYPES else base)


def _fits(value: Any, hint: Any) -> bool:
    return any(_is_of_one(value, o) and _fits_one(value, o) for o in _options(hint))


def _fits_one(value: Any, hint: Any) -> bool:
    base, required = _split(hint)
    if _is_list(base) and not all(_fits(v, get_args(base)[0]) for v in value):
        return False
    if base is float and not math.isfinite(value):
        return False
    return all(_holds(value, requirement) for requirement in required)


def _has_room(value: Any) -> bool:
    """Whether a value's finite numbers fit TensorFlow's int32 and float32."""
    if isinstance(value, (list, tuple)):
        return all(map(_has_room, value))
    if isinstance(value, numbers.Integral):
        return abs(int(value)) < 2**31
    return not isinstance(value, float) or not math.isfinite(value) or abs(value) < 3.4e38


def _holds(value: Any, requirement: Any) -> bool:
    if requirement is expanded:  # applied afterwards
        return True
    if isinstance(requirement, Must):
        return requirement.holds(value)
    if isinstance(requirement, OneOf):
        return value in requirement.choices
    if isinstance(requirement, Len):
        return len(value) >= requirement.min_length
    if isinstance(requirement, Ge):
        return value >= requirement.ge
    if isinstance(requirement, Gt):
        return value > requirement.gt
    if isinstance(requirement, Le):
        return value <= requirement.le
    return value < requirement.lt


def _limit(requirement: Any) -> Any:
    return next(iter(dataclasses.asdict(requirement).values()))


def type_words(hint: Any) -> str:
    """Describes a type, to complete `must be ...`."""
    return ", or ".join(map(_type_of_one, _options(hint)))


def _type_of_one(hint: Any) -> str:
    base, required = _split(hint)
    choices = next((r for r in required if isinstance(r, OneOf)), None)
    if choices:
        return choices.allowed
    if base is type(None):
        return "null"
    if _is_list(base):
        return f"a list, each {type_words(get_args(base)[0])}"
    return _TYPES[base][1] if base in _TYPES else f"a {base.__name__}"


def range_words(hint: Any) -> str:
    """Describes the range of a type's values, to complete `must be ...`."""
    return ", or ".join(map(_range_of_one, _options(hint)))


def _range_of_one(hint: Any) -> str:
    base, required = _split(hint)
    conditions = [r for r in required if isinstance(r, (Must, OneOf))]
    words = [c.allowed for c in conditions]
    low = next((r for r in required if isinstance(r, (Ge, Gt))), None)
    high = next((r for r in required if isinstance(r, (Le, Lt))), None)
    if low or high:
        sides = tuple(None if r is None else type(r) for r in (low, high))
        limits = [_limit(r) for r in (low, high) if r is not None]
        words.insert(0, _BOUNDS[sides].format(*limits))
    if words:
        return " and ".join(words)
    some = any(isinstance(r, Len) for r in required)
    if _is_list(base):
        each = range_words(get_args(base)[0])
        return f"one value or more, each {each}" if some else f"a list, each {each}"
    if some:
        return f"{type_words(base)} that is not empty"
    return "a finite number" if base is float else type_words(base)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _schema(hint: Any) -> dict[str, Any]:
    options = _options(hint)
    if len(options) > 1:
        return {"anyOf": [_schema(option) for option in options]}
    base, required = _split(hint)
    if base is type(None):
        return {"type": "null"}
    choices = next((r.choices for r in required if isinstance(r, OneOf)), None)
    if choices:
        return {"enum": list(choices)}
    if _is_list(base):
        schema: dict[str, Any] = {"type": "array", "items": _schema(get_args(base)[0])}
        for r in required:
            if isinstance(r, Len):
                schema["minItems"] = r.min_length
        return schema
    if base not in _TYPES:
        return json_schema(base)
    schema = {"type": _TYPES[base][2]}
    return schema | {
        _SCHEMA_WORDS[type(r)]: _limit(r) for r in required if type(r) in _SCHEMA_WORDS
    }

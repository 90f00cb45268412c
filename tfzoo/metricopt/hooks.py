"""Attaches adapters: selects layers of any Keras model by name and hooks them while it runs."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from tfzoo.errors import InputError
from tfzoo.typing import Tensor

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
AFFINE = (keras.layers.Dense, *_CONVOLUTIONS)
"""Layers whose adapter acts before the activation, so that it can be folded into the weights."""
NORMS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
"""Layers whose adapter acts on the output, and can also be folded."""


def paths(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """All layers inside a model by path, `"name"` or `"block/name"` in nested models, in order."""
    layers: dict[str, keras.layers.Layer] = {}
    seen: set[int] = {id(model)}

    def walk(parent: Any, prefix: str) -> None:
        for layer in parent._flatten_layers(include_self=False, recursive=False):
            if id(layer) not in seen:
                seen.add(id(layer))
                layers[prefix + layer.name] = layer
                walk(layer, f"{prefix}{layer.name}/")

    walk(model, "")
    return layers


Layers = str | Sequence[str | int] | None


def choose(model: keras.Model, layers: Layers) -> list[str]:
    """The paths selected by names, paths, patterns or positions; see `attach_adapters`.

    Raises:
        InputError: one of them matches no layer, a pattern matches none that can absorb an adapter,
            or the model has no layer with weights.
    """
    known = paths(model)
    if layers is None:
        weighted = [path for path, layer in known.items() if isinstance(layer, AFFINE)]
        if not weighted:
            raise InputError(f"layers=None: model {model.name!r} has no dense or convolution layer")
        return weighted[-1:]
    wanted = [layers] if isinstance(layers, str) else list(layers)
    chosen: dict[str, None] = {}
    for pattern in wanted:
        fits = [
            path
            for position, (path, layer) in enumerate(known.items())
            if pattern == position
            or any(fnmatch.fnmatchcase(name, str(pattern)) for name in (path, layer.name))
        ]
        if any(c in str(pattern) for c in "*?["):  # a dropout or a block must be named
            fits = [path for path in fits if isinstance(known[path], (*AFFINE, *NORMS))]
        if not fits:
            able = [path for path, x in known.items() if isinstance(x, (*AFFINE, *NORMS))]
            raise InputError(
                f"layers={pattern!r}: matches no layer that can absorb an adapter; these can: "
                f"{', '.join(able) or 'none'}"
            )
        chosen |= dict.fromkeys(fits)
    if not chosen:
        raise InputError("layers=[]: must name at least one layer")
    return [path for path in known if path in chosen]


def channel_axis(layer: keras.layers.Layer) -> int:
    """The axis of a layer's channels."""
    if getattr(layer, "data_format", None) == "channels_first":
        return 1
    axis = getattr(layer, "axis", -1)
    return axis if isinstance(axis, int) else -1


@contextlib.contextmanager
def hooked(pairs: Sequence[tuple[keras.layers.Layer, keras.layers.Layer]]) -> Iterator[None]:
    """Inside the block, the outputs of each (layer, adapter) pass through the adapter.

    For an affine layer this happens before its activation. The layers are restored afterwards.
    """
    with contextlib.ExitStack() as stack:
        for layer, adapter in pairs:
            name = "activation" if isinstance(layer, AFFINE) else "call"
            stack.enter_context(_replaced(layer, name, adapter))
        yield


@contextlib.contextmanager
def _replaced(layer: keras.layers.Layer, name: str, adapter: keras.layers.Layer) -> Iterator[None]:
    original, own = getattr(layer, name), vars(layer).get(name)

    def activation(x: Tensor) -> Tensor:
        return original(adapter(x))

    def call(*args: Any, **keywords: Any) -> Any:
        return adapter(original(*args, **keywords))

    # bypasses Keras's tracking of attributes
    vars(layer)[name] = activation if name == "activation" else call
    try:
        yield
    finally:
        if own is None:
            del vars(layer)[name]
        else:
            vars(layer)[name] = own

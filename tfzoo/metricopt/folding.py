"""Folds adapters into the weights of the adapted layers."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from tfzoo.errors import InputError
from tfzoo.metricopt import hooks
from tfzoo.metricopt.adapters import FiLM, LowRankFiLM


def fold(adapted: keras.Model, inplace: bool) -> keras.Model:
    """See `AdaptedModel.fold`."""
    check(adapted)  # before any weights change
    known = hooks.paths(adapted.base)
    model = adapted.base if inplace else _copy(adapted)
    hosts = dict(zip(known, hooks.paths(model).values(), strict=True))  # a copy has different names
    for path, adapter in zip(adapted.layer_paths, adapted.adapters, strict=True):
        _apply(hosts[path], *_effect(adapter))
    if inplace:
        adapted.set_vector(np.zeros_like(adapted.get_vector()))
    return model


def check(adapted: keras.Model) -> None:
    """Raises if an adapter cannot be folded.

    Raises:
        InputError: an adapter cannot be folded, with the reason.
    """
    known = hooks.paths(adapted.base)
    for path, adapter in zip(adapted.layer_paths, adapted.adapters, strict=True):
        _check(path, known[path], *_effect(adapter))


def _effect(adapter: FiLM | LowRankFiLM) -> tuple[np.ndarray | None, np.ndarray | None]:
    gamma, delta = (None if e is None else ops.convert_to_numpy(e) for e in adapter.effect())
    return gamma, delta


def _check(
    path: str, layer: keras.layers.Layer, gamma: np.ndarray | None, delta: np.ndarray | None
) -> None:
    scaled, shifted = ("gamma", "beta") if isinstance(layer, hooks.NORMS) else ("kernel", "bias")
    if not isinstance(layer, (*hooks.AFFINE, *hooks.NORMS)):
        raise InputError(
            f"layer {path!r}: a {type(layer).__name__} cannot absorb an adapter; export the "
            "adapted model itself, or attach to a dense, convolution or normalisation layer"
        )
    for name, values in ((scaled, gamma), (shifted, delta)):
        if values is not None and getattr(layer, name, None) is None:
            kind = "shift" if name == scaled else "scale"
            raise InputError(
                f"layer {path!r}: has no {name} to absorb the adapter; attach with kind={kind!r}"
            )


def _apply(layer: keras.layers.Layer, gamma: np.ndarray | None, delta: np.ndarray | None) -> None:
    weight, bias = (
        (layer.gamma, layer.beta) if isinstance(layer, hooks.NORMS) else (layer.kernel, layer.bias)
    )
    if gamma is not None:
        for variable in (weight, bias):
            if variable is not None:
                variable.assign(ops.convert_to_numpy(variable) * (1 + gamma))
    if delta is not None and bias is not None:
        bias.assign(ops.convert_to_numpy(bias) + delta)


def _copy(adapted: keras.Model) -> keras.Model:
    """A model with the base's class, config, weights and compilation."""
    base = adapted.base
    model = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(base))
    if not model.built:
        model.build_from_config(base.get_build_config())
    model.set_weights(base.get_weights())
    return model

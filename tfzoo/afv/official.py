"""The official code's networks (apple/ml-afv), loaded from its state dicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from tfzoo.afv.networks import BLOCKS, make_discriminator, make_generator
from tfzoo.errors import InputError

_D, _G = "main.0.conv.1.conv.weight_orig", "main.0.weight"
"""A key found only in the discriminator's, or only in the generator's, state dict."""


def from_official(state: str | Path | Mapping[str, np.ndarray]) -> keras.Model:
    """The official discriminator or generator for 32x32 colour images, as executed.

    A checkpoint `netD.pth` is converted by `numpy.savez(path, **{k: v.numpy() for k, v in
    torch.load("netD.pth", "cpu").items()})`. The discriminator is `make_discriminator(...,
    in_place=True)`. u and v of its spectral norms are those of the state; the official scripts
    leave their networks in training mode, where each call updates them. `FisherVectorizer(model,
    official=True)` reproduces the official code's vectors and similarity, in the order of this
    package's variables.

    Args:
        state: an `.npz` file, or the arrays themselves by name.

    Raises:
        InputError: a key is missing or has another shape, or the state belongs to neither network.
    """
    if not isinstance(state, Mapping):
        with np.load(state, allow_pickle=False) as file:
            state = dict(file)
    if _D in state:
        model = make_discriminator(width=len(state[_D]), in_place=True)
        _load(model, state, _discriminator_names())
    elif _G in state:
        latent, width = state[_G].shape[:2]
        model = make_generator(width=width, latent=latent)
        _load(model, state, _generator_names())
    else:
        raise InputError(f"state: has neither {_D!r} nor {_G!r}, a key of the official networks")
    return model


def _discriminator_names() -> dict[str, str]:
    """Prefixes in the state, by our layers' names."""
    names = {}
    for i in range(BLOCKS):
        block = f"block_{i + 1}"
        names[f"{block}_conv_1"] = f"main.{i}.conv.1.conv"
        names[f"{block}_conv_2"] = f"main.{i}.conv.3.conv"
        names[f"{block}_skip"] = f"main.{i}.shortcut.0.conv"
    return names | {"head": "main.6.conv"}


def _generator_names() -> dict[str, str]:
    names = {"g_first": "main.0", "g_last_norm": "main.4", "g_last": "main.6"}
    for i in (1, 2, 3):
        block = f"g_block_{i}"
        names |= {f"{block}_norm_1": f"main.{i}.conv.0", f"{block}_conv_1": f"main.{i}.conv.3"}
        names |= {f"{block}_norm_2": f"main.{i}.conv.4", f"{block}_conv_2": f"main.{i}.conv.6"}
        names[f"{block}_skip"] = f"main.{i}.shortcut.1"
    return names


def _load(model: keras.Model, state: Mapping[str, np.ndarray], names: dict[str, str]) -> None:
    for name, prefix in names.items():
        layer = model.get_layer(name)
        theirs: tuple[str, ...]
        ours: tuple[keras.Variable, ...]
        if isinstance(layer, keras.layers.BatchNormalization):
            theirs = ("weight", "bias", "running_mean", "running_var")
            ours = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        elif hasattr(layer, "u"):
            theirs = ("weight_orig", "bias", "weight_u", "weight_v")
            ours = (layer.kernel, layer.bias, layer.u, layer.v)
        else:
            theirs, ours = ("weight", "bias"), (layer.kernel, layer.bias)
        for key, variable in zip(theirs, ours, strict=True):
            value = _value(state, f"{prefix}.{key}")
            if key in ("weight", "weight_orig") and value.ndim == 4:
                value = value.transpose(2, 3, 1, 0)  # [out, in, h, w], transposed [in, out, h, w]
            if key == "weight_v":  # v of [in, h, w]; ours is of [h, w, in]
                height, width, inputs, _ = layer.kernel.shape
                value = value.reshape(inputs, height, width).transpose(1, 2, 0).reshape(-1)
            if value.shape != tuple(variable.shape):
                raise InputError(
                    f"state: {prefix}.{key} has shape {list(value.shape)} in our order, must be "
                    f"{list(variable.shape)}"
                )
            variable.assign(value)


def _value(state: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    if key not in state:
        raise InputError(f"state: has no {key!r}, which the official network has")
    return np.asarray(state[key])

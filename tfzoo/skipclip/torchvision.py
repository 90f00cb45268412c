"""Loads weights of torchvision's video networks from `.npz` files into our encoders."""

from __future__ import annotations

import re
from pathlib import Path

import keras

from tfzoo.skipclip.model import make_encoder
from tfzoo.skipclip.recognizer import ActionRecognizer
from tfzoo.training.state_dict import StateDict

MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)
"""Mean and deviation of pixels in [0, 1] with which torchvision's Kinetics weights were trained."""


def from_torchvision(path: str | Path) -> ActionRecognizer:
    """torchvision's `r3d_18` or `r2plus1d_18`, with the weights of a state dict.

    Its encoder takes raw pixels, 0 to 255, and normalises them by `MEAN` and `STD`. The mean over
    its map, `features`, equals the input of `fc` in torchvision's network; `fc` becomes the linear
    layer.

    Args:
        path: an `.npz` of the state dict, see `StateDict`; without `fc` there are no classes. The
            network is recognised by the names; its stages may have any widths.

    Raises:
        InputError: no such file, or not these networks' tensors.
    """
    state = StateDict(path)
    factorised = "stem.3.weight" in state
    name = "r2plus1d_18" if factorised else "r3d_18"
    model = ActionRecognizer(
        make_encoder(
            "r2plus1d18" if factorised else "r3d18",
            form="torchvision",
            channels=state.size("stem.0.weight", 1),
            widths=[state.size(f"layer{i}.1.conv2.1.weight") for i in range(1, 5)],
            pixel_mean=[255 * v for v in MEAN],
            pixel_std=[255 * v for v in STD],
        ),
        classes=state.size("fc.bias") if "fc.bias" in state else 0,
        dropout=0.0,
    )
    for layer in model.encoder.layers:
        if layer.weights:
            _assign(layer, _theirs(layer.name, factorised), state)
    if model.head is not None:
        kernel = state.kernel("fc.weight", model.head.kernel.shape)
        model.head.set_weights([kernel, state.take("fc.bias", model.head.bias.shape)])
    state.end(f"torchvision's {name}")
    return model


def _assign(layer: keras.layers.Layer, name: str, state: StateDict) -> None:
    if isinstance(layer, keras.layers.Conv3D):
        layer.kernel.assign(state.kernel(f"{name}.weight", layer.kernel.shape))
        return
    order = ("weight", "bias", "running_mean", "running_var")
    layer.set_weights([state.take(f"{name}.{key}", layer.gamma.shape) for key in order])


def _theirs(name: str, factorised: bool) -> str:
    """torchvision's name for one of our layers."""
    stems = {"stem": 0, "stem_norm": 1}
    if factorised:
        stems = {"stem_space": 0, "stem_space_norm": 1, "stem": 3, "stem_norm": 4}
    if name in stems:
        return f"stem.{stems[name]}"
    stage, block, rest = re.fullmatch(r"stage(\d)_(\d)_(.+)", name).groups()  # type: ignore[union-attr]
    where = f"layer{stage}.{int(block) - 1}"
    if rest.startswith("shortcut"):
        return f"{where}.downsample.{int(rest.endswith('norm'))}"
    if rest.startswith("norm"):  # of the full convolution
        return f"{where}.conv{rest[-1]}.1"
    conv, _, part = rest.partition("_")
    places = {"": "0", "space": "0.0", "norm": "0.1", "time": "0.3"}
    return f"{where}.{conv}.{places[part]}"

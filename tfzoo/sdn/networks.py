"""Encoders and decoders of single images with one interface, for three problem sizes.

The details are ours: of the paper's networks it is known only that they are SAGAN-like, with
spectral norm and self-attention (arXiv:2006.10705; arXiv:1805.08318).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
from keras import layers, ops
from typing_extensions import override

from tfzoo.layers import Conv2D, SNConv2D, SNDense
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor

PRESETS = ("mlp", "conv", "sagan")
ATTENTION_SIZE = 32
SLOPE = 0.2


@serializable("sdn")
class SelfAttention2D(keras.layers.Layer):
    """x + gamma * attention(x) over positions; gamma starts at 0 (arXiv:1805.08318, eq. 3).

    Keys and queries have C/8 channels, values C/2, each at least 1; all maps are 1x1 convolutions
    with the re-parametrised spectral norm.

    Input: [B, H, W, C]. Output: the same shape.
    """

    def build(self, shape: Shape) -> None:
        """Creates the four maps and gamma."""
        channels = shape[-1]
        small, half = max(1, channels // 8), max(1, channels // 2)
        make = lambda n, name: SNConv2D(n, 1, name=name, dtype=self.dtype_policy)  # noqa: E731
        self.query = make(small, "query")
        # a key's bias would not change the softmax
        self.key = SNConv2D(small, 1, use_bias=False, name="key", dtype=self.dtype_policy)
        self.values, self.out = make(half, "values"), make(channels, "out")
        for layer in (self.query, self.key, self.values):
            layer.build(shape)
        self.out.build((*shape[:-1], half))
        self.gamma = self.add_weight((), "zeros", name="gamma", autocast=False)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """The softmax in float32."""
        height, width = x.shape[1], x.shape[2]
        flat = lambda t: ops.reshape(t, (-1, height * width, t.shape[-1]))  # noqa: E731
        query, key = flat(self.query(x, training=training)), flat(self.key(x, training=training))
        scores = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
        weights = ops.cast(ops.softmax(ops.cast(scores, "float32")), x.dtype)
        attended = ops.matmul(weights, flat(self.values(x, training=training)))
        attended = ops.reshape(attended, (-1, height, width, attended.shape[-1]))
        return x + ops.cast(self.gamma, x.dtype) * self.out(attended, training=training)

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return tuple(shape)


def check_preset(preset: str, image_size: int, **numbers: int) -> None:
    """Checks a network's size.

    Raises:
        ValueError: an unknown preset, an unsupported size, or a number below 1.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r}: must be one of {', '.join(PRESETS)}")
    fits = {
        "mlp": image_size >= 1,
        "conv": image_size >= 8 and image_size % 4 == 0,
        "sagan": image_size in (32, 64, 128),
    }[preset]
    if not fits:
        wants = {"mlp": "at least 1", "conv": "a multiple of 4 from 8", "sagan": "32, 64 or 128"}
        raise ValueError(f"image_size={image_size}: must be {wants[preset]} for {preset!r}")
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")


def make_encoder(
    preset: str, image_size: int, channels: int, width: int, units: int, depth: int, name: str
) -> keras.Model:
    """An encoder of images, [B, S, S, C] in [-1, 1] -> [B, units].

    Args:
        preset: `mlp`: `depth` dense layers of `width`; `conv`: two residual blocks, `width` and
            twice that, each halving the sides; `sagan`: blocks down to 4x4, at most 8 `width`, with
            spectral norm, and self-attention where the map is 32x32.
        image_size: side S of the images.
        channels: number of channels C.
        width: width of the first layers.
        units: units of the last layer.
        depth: depth of `mlp`.
        name: name of the model.
    """
    check_preset(preset, image_size, channels=channels, width=width, units=units, depth=depth)
    dense, conv = _kinds(preset)
    x = inputs = keras.Input((image_size, image_size, channels), name=f"{name}_images")
    if preset == "mlp":
        x = layers.Flatten()(x)
        for i in range(depth):
            x = layers.LeakyReLU(SLOPE)(dense(width, name=f"{name}_hidden_{i}")(x))
    else:
        for i, n in enumerate(_widths(preset, image_size, width)):
            if preset == "sagan" and x.shape[1] == ATTENTION_SIZE and i:
                x = SelfAttention2D(name=f"{name}_attention")(x)
            x = _down(x, n, conv, f"{name}_block_{i}")
        x = layers.Flatten()(layers.LeakyReLU(SLOPE)(x))
    return keras.Model(inputs, dense(units, name=f"{name}_out")(x), name=name)


def make_decoder(
    preset: str,
    image_size: int,
    channels: int,
    width: int,
    inputs: int,
    generator: bool,
    name: str,
) -> keras.Model:
    """A decoder to images, [B, inputs] -> [B, S, S, C].

    Args:
        preset: as in `make_encoder`, mirrored; `mlp` has two hidden layers.
        image_size: side S of the images.
        channels: number of channels C.
        width: as in `make_encoder`.
        inputs: size of the input.
        generator: with BatchNormalization (momentum 0.9), ReLU, and tanh at the end; otherwise with
            LeakyReLU and a linear end.
        name: name of the model.
    """
    check_preset(preset, image_size, channels=channels, width=width, inputs=inputs)
    dense, conv = _kinds(preset)
    x = start = keras.Input((inputs,), name=f"{name}_numbers")
    act = lambda x, n: _activated(x, generator, f"{name}_{n}")  # noqa: E731
    if preset == "mlp":
        for i in range(2):
            x = act(dense(width, name=f"{name}_hidden_{i}")(x), f"norm_{i}")
        x = dense(image_size * image_size * channels, name=f"{name}_out")(x)
        x = layers.Reshape((image_size, image_size, channels))(x)
    else:
        widths = _widths(preset, image_size, width)[::-1]
        side = image_size // 2 ** len(widths)
        x = dense(side * side * widths[0], name=f"{name}_first")(x)
        x = layers.Reshape((side, side, widths[0]))(x)
        for i, n in enumerate(widths):
            x = _up(x, n, conv, act, f"block_{i}", name)
            if preset == "sagan" and x.shape[1] == ATTENTION_SIZE and i + 1 < len(widths):
                x = SelfAttention2D(name=f"{name}_attention")(x)
        x = conv(channels, 3, padding="same", name=f"{name}_out")(act(x, "last_norm"))
    if generator:
        x = layers.Activation("tanh", name=f"{name}_tanh")(x)
    return keras.Model(start, x, name=name)


def _kinds(preset: str) -> tuple[Callable, Callable]:
    """Dense and convolution layers; the SAGAN-like networks' are spectrally normalised."""
    if preset == "sagan":
        return SNDense, SNConv2D
    return layers.Dense, Conv2D


def _widths(preset: str, image_size: int, width: int) -> list[int]:
    halvings = 2 if preset == "conv" else int(math.log2(image_size)) - 2
    return [width * min(2**i, 8) for i in range(halvings)]


def _activated(x: Tensor, generator: bool, name: str) -> Tensor:
    if not generator:
        return layers.LeakyReLU(SLOPE)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x))


def _down(x: Tensor, n: int, conv: Callable, name: str) -> Tensor:
    skip = layers.AveragePooling2D(2)(conv(n, 1, name=f"{name}_skip")(x))
    x = conv(n, 3, padding="same", name=f"{name}_conv_1")(layers.LeakyReLU(SLOPE)(x))
    x = conv(n, 3, padding="same", name=f"{name}_conv_2")(layers.LeakyReLU(SLOPE)(x))
    return layers.Add(name=name)([skip, layers.AveragePooling2D(2)(x)])


def _up(x: Tensor, n: int, conv: Callable, act: Callable, block: str, name: str) -> Tensor:
    skip = conv(n, 1, name=f"{name}_{block}_skip")(layers.UpSampling2D()(x))
    x = layers.UpSampling2D()(act(x, f"{block}_norm_1"))
    x = act(conv(n, 3, padding="same", name=f"{name}_{block}_conv_1")(x), f"{block}_norm_2")
    x = conv(n, 3, padding="same", name=f"{name}_{block}_conv_2")(x)
    return layers.Add(name=f"{name}_{block}")([skip, x])

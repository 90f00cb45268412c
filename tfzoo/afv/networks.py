"""Discriminator and generator of the official code, for any width and 16 to 128 pixels."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops
from typing_extensions import override

from tfzoo.layers import Conv2D, SNConv2D
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor

SIZES = (16, 32, 64, 128)
HEADS = ("sigmoid", "logit", "experts")
BLOCKS = 4
EXPERTS = 128
LAST_MAP, EXPERTS_OUTPUT = "last_map", "experts"
"""Names of the layers with the last feature map and the experts' probabilities."""


def _bound(fan_in: int) -> dict[str, Any]:
    """PyTorch's default initialisation: kernel and bias uniform in +-1/sqrt(fan_in)."""
    limit = 1 / math.sqrt(fan_in)
    uniform = keras.initializers.RandomUniform
    return {
        "kernel_initializer": uniform(-limit, limit),
        "bias_initializer": uniform(-limit, limit),
    }


def _conv(x: Tensor, filters: int, size: int, layer: type, name: str) -> Tensor:
    start = _bound(x.shape[-1] * size * size)
    return layer(filters, size, padding="same", name=name, **start)(x)


def _check(image_size: int, **numbers: int) -> None:
    if image_size not in SIZES:
        raise ValueError(f"image_size={image_size}: must be one of {', '.join(map(str, SIZES))}")
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")


def make_discriminator(
    image_size: int = 32,
    channels: int = 3,
    width: int = 256,
    head: str = "sigmoid",
    experts: int = EXPERTS,
    dtype: keras.DTypePolicy | str | None = None,
    in_place: bool = False,
) -> keras.Model:
    """D: four residual blocks, all convolutions spectrally normalised, without batch coupling.

    The shortcut is also a 3x3 convolution. Blocks 1 and 2 halve the sides (further ones from 64
    pixels upwards, so that the last map is 4x4 at 16 pixels and 8x8 above), followed by ReLU, the
    mean over the map, a 1x1 convolution and the head. Layers `block_1` to `block_4` are the blocks'
    outputs, `last_map` the input of the mean.

    Args:
        image_size: 16, 32, 64 or 128.
        channels: channels of the images.
        width: width n of all convolutions.
        head: `sigmoid`, as in the official code; `logit`; or `experts`: the negative energy of
            sigmoid experts, see `ExpertEnergy`.
        experts: number of experts of the head `experts`.
        dtype: as for any Keras layer.
        in_place: builds the network that the official code executes. There a block's first ReLU
            works in place before the shortcut reads its input, so the shortcuts of blocks 2 to 4
            get ReLU(x). By default they get x, as usual for pre-activation blocks.

    Returns:
        A functional model [B, S, S, C] in [-1, 1] -> [B, 1].

    Raises:
        ValueError: an argument is out of range.
    """
    _check(image_size, channels=channels, width=width, experts=experts)
    if head not in HEADS:
        raise ValueError(f"head={head!r}: must be one of {', '.join(HEADS)}")
    pools = max(2, int(math.log2(image_size)) - 3)
    with _policy(dtype):
        x = inputs = keras.Input((image_size, image_size, channels), name="images")
        for i in range(BLOCKS):
            x = _down(x, width, i, pool=i < pools, in_place=in_place)
        x = layers.ReLU(name=LAST_MAP)(x)
        x = layers.AveragePooling2D(x.shape[1], name="mean")(x)
        x = _conv(x, experts if head == "experts" else 1, 1, SNConv2D, "head")
        x = layers.Flatten(name="logit")(x)
        if head != "logit":
            name = EXPERTS_OUTPUT if head == "experts" else "sigmoid"
            x = layers.Activation("sigmoid", name=name)(x)
        if head == "experts":
            x = ExpertEnergy(name="energy")(x)
        return keras.Model(inputs, x, name="discriminator")


def _down(x: Tensor, width: int, i: int, pool: bool, in_place: bool) -> Tensor:
    """A pre-activation residual block; the first one takes the image without activation."""
    name = f"block_{i + 1}"
    active = layers.ReLU(name=f"{name}_relu_1")(x) if i else x
    skip = _conv(active if in_place else x, width, 3, SNConv2D, f"{name}_skip")
    x = active
    x = _conv(x, width, 3, SNConv2D, f"{name}_conv_1")
    x = layers.ReLU(name=f"{name}_relu_2")(x)
    x = _conv(x, width, 3, SNConv2D, f"{name}_conv_2")
    if pool:
        skip = layers.AveragePooling2D(2, name=f"{name}_pool_skip")(skip)
        x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
    return layers.Add(name=name)([x, skip])


def make_generator(
    image_size: int = 32,
    channels: int = 3,
    width: int = 256,
    latent: int = 256,
    dtype: keras.DTypePolicy | str | None = None,
) -> keras.Model:
    """G: a 4x4 transposed convolution of z, residual blocks that double the sides, tanh.

    Args:
        image_size: 16, 32, 64 or 128.
        channels: channels of the images.
        width: width n of all convolutions.
        latent: length of z.
        dtype: as for any Keras layer.

    Returns:
        A functional model [B, latent] -> [B, S, S, C] in [-1, 1].

    Raises:
        ValueError: an argument is out of range.
    """
    _check(image_size, channels=channels, width=width, latent=latent)
    with _policy(dtype):
        x = inputs = keras.Input((latent,), name="z")
        x = layers.Reshape((1, 1, latent), name="g_reshape")(x)
        # PyTorch computes a transposed convolution's fan-in from its outputs
        x = layers.Conv2DTranspose(width, 4, name="g_first", **_bound(16 * width))(x)
        for i in range(int(math.log2(image_size)) - 2):
            x = _up(x, width, f"g_block_{i + 1}")
        x = layers.ReLU(name="g_last_relu")(_norm(x, "g_last_norm"))
        x = _conv(x, channels, 3, Conv2D, "g_last")
        x = layers.Activation("tanh", name="images")(x)
        return keras.Model(inputs, x, name="generator")


def _norm(x: Tensor, name: str) -> Tensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def _up(x: Tensor, width: int, name: str) -> Tensor:
    skip = layers.UpSampling2D(name=f"{name}_up_skip")(x)
    skip = _conv(skip, width, 3, Conv2D, f"{name}_skip")
    x = layers.ReLU(name=f"{name}_relu_1")(_norm(x, f"{name}_norm_1"))
    x = layers.UpSampling2D(name=f"{name}_up")(x)
    x = _conv(x, width, 3, Conv2D, f"{name}_conv_1")
    x = layers.ReLU(name=f"{name}_relu_2")(_norm(x, f"{name}_norm_2"))
    x = _conv(x, width, 3, Conv2D, f"{name}_conv_2")
    return layers.Add(name=name)([x, skip])


def pooled_blocks(discriminator: keras.Model) -> keras.Model:
    """D-pool: the spatial means of the blocks' outputs, [B, S, S, C] -> [B, 4n] (the paper's)."""
    means = [
        layers.GlobalAveragePooling2D(dtype="float32")(
            discriminator.get_layer(f"block_{i + 1}").output
        )
        for i in range(BLOCKS)
    ]
    return keras.Model(discriminator.inputs[0], layers.Concatenate(dtype="float32")(means))


def last_map(discriminator: keras.Model) -> keras.Model:
    """The last feature map, [B, S, S, C] -> [B, s, s, n]."""
    return keras.Model(discriminator.inputs[0], discriminator.get_layer(LAST_MAP).output)


def binary_entropy(p: Tensor) -> Tensor:
    """-p log p - (1 - p) log (1 - p) in nats, p clipped to [1e-4, 1 - 1e-4], float32."""
    p = ops.clip(ops.cast(p, "float32"), 1e-4, 1 - 1e-4)
    return -p * ops.log(p) - (1 - p) * ops.log(1 - p)


@serializable("afv")
class ExpertEnergy(keras.layers.Layer):
    """-E(x) = -sum_j h(p_j(x)) over sigmoid experts, h the binary entropy (arXiv:1611.01799).

    A bounded energy with many minima: 0 where every expert is certain, either way.

    Input: [B, K] in (0, 1). Output: [B, 1].
    """

    @override
    def call(self, p: Tensor) -> Tensor:
        return ops.cast(-ops.sum(binary_entropy(p), -1, keepdims=True), self.compute_dtype)

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], 1)


class _policy:
    """Creates layers inside the block under a dtype policy; None: the global one."""

    def __init__(self, dtype: keras.DTypePolicy | str | None):
        self.dtype = dtype

    def __enter__(self):
        self.before = keras.config.dtype_policy()
        if self.dtype is not None:
            keras.config.set_dtype_policy(self.dtype)

    def __exit__(self, *error):
        keras.config.set_dtype_policy(self.before)

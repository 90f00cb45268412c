"""Image encoders of different spatial extent: a global code, a far-sighted map, a local map.

Convolutions of stride 2 have kernels of 4, pooling windows of 2: both keep the centres of cells
where `sample_features` expects them. A kernel of 3 would shift a map by half a pixel per level.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from tfzoo.config import Count
from tfzoo.layers import Conv2D
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor


def _block(filters: int, kernel: int = 3, stride: int = 1) -> list[keras.layers.Layer]:
    """Convolution, BatchNormalization with PyTorch's settings, ReLU."""
    return [
        Conv2D(filters, kernel, stride, "same", use_bias=False),
        layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
        layers.ReLU(),
    ]


def _apply(x: Tensor, *blocks: list[keras.layers.Layer]) -> Tensor:
    for block in blocks:
        for layer in block:
            x = layer(x)
    return x


class _Encoder(layers.Layer):
    """Base of the encoders: sizes, checks, and a functional network inside.

    Attributes:
        receptive_field: side in pixels of the region that a cell of the output depends on.
        stride: pixels spanned by a cell of the map; None for a single code.
    """

    divisor = 2
    receptive_field = 0
    stride: int | None = 2

    def __init__(
        self,
        image_size: int = 64,
        features: Count = 32,
        width: Count = 24,
        channels: Count = 3,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        if image_size < 2 * self.divisor or image_size % self.divisor:
            raise ValueError(
                f"image_size={image_size}: must be a multiple of {self.divisor}, at least "
                f"{2 * self.divisor}"
            )
        self.image_size, self.features, self.width = image_size, features, width
        self.channels = channels
        before = keras.config.dtype_policy()
        try:
            keras.config.set_dtype_policy(self.dtype_policy)
            image = keras.Input((image_size, image_size, channels))
            self.network = keras.Model(image, self.make(image), name="network")
        finally:
            keras.config.set_dtype_policy(before)
        self.built = True

    def make(self, image: Tensor) -> Tensor:
        """The network's output for a symbolic image."""
        raise NotImplementedError

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        """Features of images [M, S, S, channels] in [-1, 1]."""
        return self.network(images, training=training)

    def compute_output_shape(self, shape: Shape) -> Shape:
        """[M, C] or [M, S / stride, S / stride, C]."""
        if self.stride is None:
            return (shape[0], self.features)
        side = self.image_size // self.stride
        return (shape[0], side, side, self.features)


@serializable("recon3d")
class GlobalEncoder(_Encoder):
    """One code for a whole image: strided convolutions, mean over all positions, a dense layer.

    As in Occupancy Networks, at smaller scale: every point gets the same code.

    Args:
        image_size: side S of the images, a multiple of 16.
        features: size C of the code.
        width: channels of the first convolution; later ones have up to 4 times as many.
        channels: channels of the images; a fourth is a silhouette.
        **keywords: `name`, `dtype`, ...

    Input: [M, S, S, channels] in [-1, 1]. Output: [M, C].

    Raises:
        ValueError: an argument is out of range.
    """

    divisor = 16
    stride = None

    def make(self, image: Tensor) -> Tensor:
        """Halves the sides four times, then takes the mean."""
        self.receptive_field = self.image_size
        widths = [self.width, self.width * 3 // 2, self.width * 2, self.width * 4]
        x = _apply(image, *(_block(w, 4, 2) for w in widths))
        return layers.Dense(self.features)(layers.GlobalAveragePooling2D()(x))


@serializable("recon3d")
class UNetEncoder(_Encoder):
    """A map of stride 2 whose cells see most of the image but keep their position.

    Args:
        image_size: side S of the images, a multiple of 16.
        features: channels C of the map.
        width: channels at stride 2; 4/3, 2 and 8/3 times as many at strides 4, 8 and 16.
        channels: channels of the images; a fourth is a silhouette.
        **keywords: `name`, `dtype`, ...

    Input: [M, S, S, channels] in [-1, 1]. Output: [M, S/2, S/2, C].

    Raises:
        ValueError: an argument is out of range.
    """

    divisor = 16
    receptive_field = 106
    """For two neighbouring cells, at most: 5 cells of stride 16, 52 of stride 2, 106 pixels."""

    def make(self, image: Tensor) -> Tensor:
        """Down to stride 16 and up to stride 2, with skip connections."""
        widths = [self.width, self.width * 4 // 3, self.width * 2, self.width * 8 // 3]
        x, skips = _apply(image, _block(widths[0], 4, 2)), []
        for width in widths[1:]:
            skips.append(x)
            x = _apply(layers.AveragePooling2D(2)(x), _block(width))
        for width in reversed(widths[:-1]):
            x = layers.Concatenate()([layers.UpSampling2D(2)(x), skips.pop()])
            x = _apply(x, _block(width))
        return Conv2D(self.features, 1)(x)


@serializable("recon3d")
class LocalEncoder(_Encoder):
    """A map of stride 2 whose cells see 14 pixels: shapes are composed from local evidence.

    Args:
        image_size: side S of the images, even.
        features: channels C of the map.
        width: channels inside.
        channels: channels of the images; a fourth is a silhouette.
        **keywords: `name`, `dtype`, ...

    Input: [M, S, S, channels] in [-1, 1]. Output: [M, S/2, S/2, C].

    Raises:
        ValueError: an argument is out of range.
    """

    receptive_field = 14
    """A cell sees 4 + 4 + 4 pixels, interpolation between two cells 2 more."""

    def make(self, image: Tensor) -> Tensor:
        """Three convolutions and a 1x1 convolution."""
        x = _apply(image, _block(self.width, 4, 2), _block(self.width), _block(self.width))
        return Conv2D(self.features, 1)(x)


ENCODERS = {"global": GlobalEncoder, "unet": UNetEncoder, "local": LocalEncoder}
"""Encoders by their names in configs."""

"""Image classification with AFT (arXiv:2105.14103, sec. 5.3; DeiT's architecture)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Gt, Le
from keras import ops
from typing_extensions import override

from tfzoo.aft.block import TransformerBlock, Variant, make_mixer
from tfzoo.aft.layers import Odd
from tfzoo.config import Count, Fraction, Natural, Parts
from tfzoo.layers import size_within
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor

Ratio = Annotated[float, Gt(0), Le(1000)]


@serializable("aft")
class AFTClassifier(ZooModel):
    """Patches, transformer blocks, class logits.

    With `variant="conv"` there are neither positions nor a class token, blocks work on the grid of
    patches, and the logits come from its mean: any image size works whose sides are multiples of
    the patch size. Other variants accept only the size that they were built for.

    Args:
        image_size: side of the square images that it is built for.
        patch_size: side of a patch; must divide the image's.
        num_classes: number of classes.
        dim: width d.
        depth: blocks.
        variant: `full`, `simple`, `local`, `conv`, or `attention` for the baseline.
        bias_dim: d' of `full` and `local`.
        window: s of `local`.
        num_heads: number of heads of `conv` and `attention`.
        kernel_size: side of the kernels of `conv`.
        mlp_ratio: width of the feed-forward layers as a multiple of `dim`.
        dropout: dropout rate in the blocks.
        drop_path: stochastic depth, increasing linearly from 0 to this in the last block.
        channels: channels of the images.
        pixel_mean: subtracted from raw pixels; one number, or one per channel.
        pixel_std: divisor of the result, likewise.
        **keywords: `name`, `dtype`, ...

    Input: raw pixels [B, H, W, C], any numeric dtype. Output: logits float32 [B, num_classes].
    """

    built: bool  # by Keras

    def __init__(
        self,
        image_size: Count,
        patch_size: Count,
        num_classes: Count,
        dim: Count,
        depth: Parts,
        variant: Variant = "full",
        bias_dim: Count = 128,
        window: Natural = 32,
        num_heads: Count = 4,
        kernel_size: Odd = 11,
        mlp_ratio: Ratio = 4.0,
        dropout: Fraction = 0.0,
        drop_path: Fraction = 0.0,
        channels: Count = 3,
        pixel_mean: float | Sequence[float] = 127.5,
        pixel_std: float | Sequence[float] = 127.5,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        if image_size % patch_size:
            raise ValueError(f"patch_size={patch_size}: must divide image_size={image_size}")
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.patch_size, self.dim = patch_size, dim
        self.grid = variant == "conv"
        self.length = (image_size // patch_size) ** 2 + (not self.grid)
        policy = {"dtype": self.dtype_policy}
        self.patches = keras.layers.Conv2D(
            dim, patch_size, strides=patch_size, name="patches", **policy
        )
        rates = np.linspace(0.0, drop_path, depth)
        self.blocks = [
            TransformerBlock(
                make_mixer(
                    variant,
                    dim=dim,
                    max_length=self.length,
                    bias_dim=bias_dim,
                    window=window,
                    num_heads=num_heads,
                    kernel_size=kernel_size,
                    **policy,
                    rank=2,
                ),
                int(dim * mlp_ratio),
                dropout,
                float(rate),
                name=f"block{i}",
                **policy,
            )
            for i, rate in enumerate(rates)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm", **policy)
        self.head = keras.layers.Dense(num_classes, name="head", dtype="float32")
        self.build((None, image_size, image_size, channels))

    @override
    def build(self, shape: Shape) -> None:
        if self.built:
            return
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        if not self.grid:
            self.class_token = self.add_weight((1, 1, self.dim), small.clone(), name="class_token")
            self.positions = self.add_weight((1, self.length, self.dim), small, name="positions")
        self.patches.build((None, None, None, self.channels))
        side = self.image_size // self.patch_size
        inner = (None, side, side, self.dim) if self.grid else (None, self.length, self.dim)
        for block in self.blocks:
            block.build(inner)
        self.norm.build(inner)
        self.head.build((None, self.dim))
        self.built = True

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        """Raw pixels [B, H, W, C] -> logits [B, num_classes]."""
        images = self._checked(images)
        given = self.arguments
        x = ops.cast(images, "float32")
        mean, std = (np.asarray(n, "float32") for n in (given.pixel_mean, given.pixel_std))
        x = (x - mean) / std
        x = self.patches(ops.cast(x, self.compute_dtype))  # [B, H/p, W/p, d]
        if not self.grid:
            # keeps the batch size: an image of another size would become several
            x = ops.reshape(x, (ops.shape(x)[0], self.length - 1, self.dim))
            token = ops.cast(self.class_token, x.dtype)
            token = ops.broadcast_to(token, (ops.shape(x)[0], 1, self.dim))
            x = ops.concatenate([token, x], 1) + ops.cast(self.positions, x.dtype)
        for block in self.blocks:
            x = block(x, training=training)
        x = self.norm(x)
        return self.head(ops.mean(x, (1, 2)) if self.grid else x[:, 0])

    def input_specs(self) -> list[keras.InputSpec]:
        """Raw pixels of the size built for, or of any size with `variant="conv"`."""
        side = None if self.grid else self.image_size
        return [keras.InputSpec("float32", (None, side, side, self.channels))]

    def _checked(self, images: Tensor) -> Tensor:
        size, patch = self.image_size, self.patch_size
        allowed = f"multiples of {patch}" if self.grid else f"{size}"
        form = f"must be [B, H, W, {self.channels}], H and W {allowed}"
        shape = tuple(images.shape)
        if len(shape) != 4 or shape[-1] != self.channels or 0 in shape[1:]:
            raise ValueError(f"images {shape}: {form}")
        batch, *sides = ops.shape(images)[:3]
        if self.grid:
            words = f"images {shape} with {{}} pixels beyond a patch: {form}"
            sides = [s - size_within(s % patch, 0, 0, words) for s in sides]
        else:
            words = f"images of {{}} pixels a side: {form}"
            sides = [size_within(s, size, size, words) for s in sides]
        if None not in shape[1:3]:
            return images
        return ops.reshape(images, (batch, *sides, self.channels))

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.num_classes)

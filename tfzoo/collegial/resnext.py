"""ResNeXt whose blocks are collegial ensembles of bottlenecks (arXiv:2006.07678, 1611.05431)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfzoo.collegial.layers import GroupConv2D
from tfzoo.config import Count, Parts
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Tensor

IMAGENET_BLOCKS = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def stage_blocks(family: str, depth: int, stages: int) -> tuple[int, ...]:
    """Number of blocks of each stage.

    Raises:
        ValueError: there is no such network.
    """
    if family == "imagenet":
        if depth not in IMAGENET_BLOCKS:
            known = ", ".join(map(str, IMAGENET_BLOCKS))
            raise ValueError(f"depth={depth}: must be one of {known} for family='imagenet'")
        return IMAGENET_BLOCKS[depth]
    if family != "cifar":
        raise ValueError(f"family={family!r}: must be 'cifar' or 'imagenet'")
    blocks, rest = divmod(depth - 2, 3 * stages)
    if blocks < 1 or rest:
        hint = "; the official code's ImageNet-64 network, its depth 29, is depth=38, stages=4"
        hint = hint if (depth, stages) == (29, 4) else ""
        raise ValueError(f"depth={depth}: must be 2 plus a multiple of {3 * stages}{hint}")
    return (blocks,) * stages


def member_width(base_width: int, filters: int) -> int:
    """Channels of one member in a stage with `channels` output channels."""
    return int(base_width * filters / 256)


def count_kernels(
    cardinality: int,
    base_width: int,
    family: str = "cifar",
    depth: int = 29,
    num_classes: int = 10,
    stages: int = 3,
    channels: int = 3,
) -> int:
    """Parameters of kernels and classifier, without batch normalisation: the search's cost."""
    stem = 7 if family == "imagenet" else 3
    total, before = stem**2 * channels * 64, 64
    for stage, blocks in enumerate(stage_blocks(family, depth, stages)):
        filters = 256 * 2**stage
        n = member_width(base_width, filters)
        wide = cardinality * n
        for _ in range(blocks):
            total += before * wide + 9 * n * wide + wide * filters
            total += before * filters if before != filters else 0
            before = filters
    return total + before * num_classes + num_classes


@serializable("collegial")
class CollegialResNeXt(keras.Model):
    """ResNeXt; `cardinality` is the number m of members per block, `base_width` their width n.

    The two 1x1 convolutions around a grouped 3x3 one are m parallel bottlenecks of n channels,
    summed; He initialisation of the last one by fan-in gives the factor m^(-1/2).

    Args:
        num_classes: number of classes.
        cardinality: number of members m.
        base_width: width n in the first stage; doubles with each stage.
        depth: number of layers; `cifar`: 2 + 3 stages x blocks (29); `imagenet`: 26, 50, 101 or
            152. The official code's ImageNet-64 network, built with its default depth 29, is 38
            with `stages=4`.
        family: `"cifar"` (3x3 stem, no pooling) or `"imagenet"` (7x7 stem with stride, pooling).
        stages: number of stages of the `cifar` family: 3, or 4 for images of 64x64.
        channels: channels of the images.
        image_size: side to which served files are resized; the network itself takes any size.
        pixel_mean: subtracted from raw pixels; one number, or one per channel.
        pixel_std: divisor of the result, likewise.
        name: name of the model.
        dtype: dtype policy.

    Input: raw pixels [B, H, W, channels], any size. Output: logits float32 [B, num_classes].

    Raises:
        ValueError: there is no such network.
    """

    def __init__(
        self,
        num_classes: Count,
        cardinality: Count,
        base_width: Count,
        depth: Parts = 29,
        family: str = "cifar",
        stages: Parts = 3,
        channels: Count = 3,
        image_size: Count = 32,
        pixel_mean: float | Sequence[float] = 127.5,
        pixel_std: float | Sequence[float] = 127.5,
        name: str | None = None,
        dtype: keras.DTypePolicy | str | None = None,
        **keywords: Any,
    ):
        blocks = stage_blocks(family, depth, stages)
        make = _Maker(dtype or keras.config.dtype_policy())
        inputs = keras.Input((None, None, channels))
        std = np.asarray(pixel_std, float)
        mean = np.asarray(pixel_mean, float)
        x = keras.layers.Rescaling(_plain(1 / std), _plain(-mean / std), dtype=make.dtype)(inputs)
        if family == "imagenet":
            x = make.normal(make.convolution(x, 64, 7, stride=2, name="stem"), "stem_norm")
            x = keras.layers.ReLU(dtype=make.dtype)(x)
            x = keras.layers.ZeroPadding2D(1, dtype=make.dtype)(x)  # values are non-negative here
            x = keras.layers.MaxPooling2D(3, 2, dtype=make.dtype)(x)
        else:
            x = make.normal(make.convolution(x, 64, 3, name="stem"), "stem_norm")
            x = keras.layers.ReLU(dtype=make.dtype)(x)
        for stage, count in enumerate(blocks):
            filters = 256 * 2**stage
            wide = cardinality * member_width(base_width, filters)
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                x = make.block(x, filters, wide, cardinality, stride, f"stage{stage}_block{i}")
        x = keras.layers.GlobalAveragePooling2D(dtype=make.dtype)(x)
        outputs = keras.layers.Dense(
            num_classes, kernel_initializer="he_normal", name="head", dtype="float32"
        )(x)
        super().__init__(inputs=inputs, outputs=outputs, name=name, **keywords)
        self.channels, self.image_size, self.num_classes = channels, image_size, num_classes
        self.dtype_policy = make.dtype  # Keras gives functional models the global policy

    save = ZooModel.save  # a functional model cannot have it as a base class


class _Maker:
    """Layers with PyTorch's conventions: padding on both sides, and its batch normalisation."""

    def __init__(self, dtype: keras.DTypePolicy | str | None):
        self.dtype = keras.dtype_policies.get(dtype)

    def convolution(
        self, x: Tensor, filters: int, size: int, stride: int = 1, groups: int = 1, name: str = ""
    ) -> Tensor:
        if stride > 1 and size > 1:  # "same" would pad on one side only
            x = keras.layers.ZeroPadding2D(size // 2, dtype=self.dtype)(x)
        return GroupConv2D(
            filters,
            size,
            groups,
            strides=stride,
            padding="same" if stride == 1 else "valid",
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
            dtype=self.dtype,
        )(x)

    def normal(self, x: Tensor, name: str) -> Tensor:
        return keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, name=name, dtype=self.dtype
        )(x)

    def block(
        self, x: Tensor, filters: int, wide: int, groups: int, stride: int, name: str
    ) -> Tensor:
        y = self.convolution(x, wide, 1, name=f"{name}_reduce")
        y = keras.layers.ReLU(dtype=self.dtype)(self.normal(y, f"{name}_reduce_norm"))
        y = self.convolution(y, wide, 3, stride, groups, name=f"{name}_members")
        y = keras.layers.ReLU(dtype=self.dtype)(self.normal(y, f"{name}_members_norm"))
        y = self.normal(self.convolution(y, filters, 1, name=f"{name}_expand"), f"{name}_norm")
        if x.shape[-1] != filters:
            x = self.convolution(x, filters, 1, stride, name=f"{name}_shortcut")
            x = self.normal(x, f"{name}_shortcut_norm")
        return keras.layers.ReLU(dtype=self.dtype)(keras.layers.Add(dtype=self.dtype)([x, y]))


def _plain(values: np.ndarray) -> float | list[float]:
    return float(values) if values.ndim == 0 else [float(v) for v in values]

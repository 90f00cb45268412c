"""Plain models made of stock Keras layers, which load without tfzoo."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import ArrayLike

from tfzoo.layers import Conv2D
from tfzoo.typing import Tensor

_CAFFE_RGB = (123.68, 116.779, 103.939)


def mlp(
    shape: Sequence[int], outputs: int, hidden: Sequence[int], mean: ArrayLike, std: ArrayLike
) -> keras.Model:
    """Standardises inputs [B, *shape]; dense layers `hidden_0`, ... and `logits` follow.

    Args:
        shape: shape of one example.
        outputs: units of the last layer.
        hidden: widths of the hidden layers.
        mean: subtracted from the inputs; one number, or one per entry of the last axis.
        std: divisor of the result, likewise.
    """
    inputs, h = _standardised(shape, mean, std)
    h = keras.layers.Flatten()(h)
    for i, width in enumerate(hidden):
        h = keras.layers.Dense(width, "relu", name=f"hidden_{i}")(h)
    return keras.Model(inputs, keras.layers.Dense(outputs, name="logits")(h))


def resnet(
    shape: Sequence[int], outputs: int, depth: int, width: int, mean: ArrayLike, std: ArrayLike
) -> keras.Model:
    """The residual network of 6 n + 2 layers for small images (arXiv:1512.03385, 4.2).

    Three stages of n blocks, with 1, 2 and 4 times `width` channels; shortcuts between widths are
    1x1 convolutions (the paper's option B).

    Args:
        shape: [H, W, C].
        outputs: units of the last layer, `logits`.
        depth: 6 n + 2.
        width: width of the first stage.
        mean: see `mlp`.
        std: see `mlp`.
    """
    inputs, h = _standardised(shape, mean, std)
    h = _normal(Conv2D(width, 3, padding="same", use_bias=False, name="stem")(h))
    h = keras.layers.ReLU()(h)
    for stage in range(3):
        for block in range((depth - 2) // 6):
            stride = 2 if stage and not block else 1
            h = _block(h, width * 2**stage, stride, f"stage_{stage}_block_{block}")
    h = keras.layers.GlobalAveragePooling2D(name="features")(h)
    return keras.Model(inputs, keras.layers.Dense(outputs, name="logits")(h))


def embedder(
    shape: Sequence[int], backbone: str, dim: int, mean: ArrayLike, std: ArrayLike
) -> keras.Model:
    """Maps images [B, H, W, C] to `embedding` [B, dim] of unit length.

    Args:
        shape: [H, W, C].
        backbone: `small` (three convolutions), or `resnet50` for RGB images, which uses the mean
            pixel of its ImageNet weights instead of `mean` and `std`.
        dim: size of the embedding.
        mean: see `mlp`.
        std: see `mlp`.
    """
    if backbone == "resnet50":
        inputs, h = _standardised(shape, _CAFFE_RGB, 1.0)
        net = keras.applications.ResNet50(include_top=False, weights=None, input_shape=shape)
        h = net(h[..., ::-1])  # it expects BGR
    else:
        inputs, h = _standardised(shape, mean, std)
        for width in (16, 32, 64):
            h = Conv2D(width, 3, padding="same", activation="relu")(h)
            h = keras.layers.MaxPooling2D(padding="same")(h)
    h = keras.layers.GlobalAveragePooling2D(name="features")(h)
    h = keras.layers.Dense(dim, name="embedding")(h)
    return keras.Model(inputs, keras.layers.UnitNormalization(name="unit")(h))


def load_imagenet(model: keras.Model) -> None:
    """Loads ImageNet weights, downloaded by Keras, into an embedder's `resnet50`."""
    trained = keras.applications.ResNet50(include_top=False, weights="imagenet")
    next(la for la in model.layers if la.name == "resnet50").set_weights(trained.get_weights())


def _standardised(shape: Sequence[int], mean: ArrayLike, std: ArrayLike) -> tuple[Tensor, Tensor]:
    inputs = keras.Input(tuple(shape))
    mean, std = np.asarray(mean, "float64"), np.asarray(std, "float64")
    h = keras.layers.Normalization(
        axis=-1,
        mean=np.broadcast_to(mean, shape[-1:]).tolist(),
        variance=np.broadcast_to(std**2, shape[-1:]).tolist(),
    )(inputs)
    return inputs, h


def _normal(h: Tensor, name: str | None = None) -> Tensor:
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(h)


def _block(h: Tensor, width: int, stride: int, name: str) -> Tensor:
    kept = h
    h = Conv2D(width, 3, stride, "same", use_bias=False)(h)
    h = keras.layers.ReLU()(_normal(h))
    h = _normal(Conv2D(width, 3, padding="same", use_bias=False)(h), f"{name}_norm")
    if kept.shape[-1] != width or stride != 1:
        kept = Conv2D(width, 1, stride, use_bias=False)(kept)
    return keras.layers.ReLU()(keras.layers.Add()([h, kept]))

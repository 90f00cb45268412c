"""Plain models of stock Keras layers, which load without tfzoo."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import ArrayLike

from tfzoo.typing import Tensor

_CAFFE_RGB = (123.68, 116.779, 103.939)


def mlp(
    shape: Sequence[int], outputs: int, hidden: Sequence[int], mean: ArrayLike, std: ArrayLike
) -> keras.Model:
    """Inputs [B, *shape], standardised, through dense layers `hidden_0`, ... to `logits`.

    Args:
        shape: of one example.
        outputs: of the last layer.
        hidden: widths.
        mean: subtracted from the inputs, a number or one for each of the last axis.
        std: then divided by.
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

    Three stages of n blocks, `width`, 2 and 4 times that wide; a narrower shortcut is padded by a
    1x1 convolution (its option B).

    Args:
        shape: [H, W, C].
        outputs: of the last layer, `logits`.
        depth: 6 n + 2.
        width: of the first stage.
        mean: see `mlp`.
        std: see there.
    """
    inputs, h = _standardised(shape, mean, std)
    h = _normal(keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name="stem")(h))
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
    """Images [B, H, W, C] to `embedding` [B, dim] of unit length.

    Args:
        shape: [H, W, C].
        backbone: `small` (three convolutions), or `resnet50` of RGB images, with the mean pixel
            that its ImageNet weights were trained with in place of `mean` and `std`.
        dim: of the embedding.
        mean: see `mlp`.
        std: see there.
    """
    if backbone == "resnet50":
        inputs, h = _standardised(shape, _CAFFE_RGB, 1.0)
        net = keras.applications.ResNet50(include_top=False, weights=None, input_shape=shape)
        h = net(h[..., ::-1])  # it takes BGR
    else:
        inputs, h = _standardised(shape, mean, std)
        for width in (16, 32, 64):
            h = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(h)
            h = keras.layers.MaxPooling2D(padding="same")(h)
    h = keras.layers.GlobalAveragePooling2D(name="features")(h)
    h = keras.layers.Dense(dim, name="embedding")(h)
    return keras.Model(inputs, keras.layers.UnitNormalization(name="unit")(h))


def load_imagenet(model: keras.Model) -> None:
    """Puts ImageNet weights, downloaded by Keras, into an embedder's `resnet50`."""
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
    h = keras.layers.Conv2D(width, 3, stride, "same", use_bias=False)(h)
    h = keras.layers.ReLU()(_normal(h))
    h = _normal(keras.layers.Conv2D(width, 3, padding="same", use_bias=False)(h), f"{name}_norm")
    if kept.shape[-1] != width or stride != 1:
        kept = keras.layers.Conv2D(width, 1, stride, use_bias=False)(kept)
    return keras.layers.ReLU()(keras.layers.Add()([h, kept]))

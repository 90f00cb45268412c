"""Signatures of the exported models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfzoo.bottleneck.infinite import InfiniteNetwork
from tfzoo.bottleneck.model import BottleneckNetwork
from tfzoo.data import Info
from tfzoo.recipes.image_signatures import image_signatures
from tfzoo.serving import Signature
from tfzoo.typing import Tensor

Network = BottleneckNetwork | InfiniteNetwork


def answer(model: Network, classes: bool = False) -> Callable[..., dict[str, Tensor]]:
    """Maps inputs to `mean`, `stddev` [B, k] and, with `classes`, `probabilities`, `classes`.

    A network with one draw has no `stddev`. If trained by cross-entropy, `mean` are logits, and
    `probabilities` [B, k] the mean over draws of their softmax. If trained by squared error on
    one-hot rows, there are no `probabilities`. `classes` int32 [B] are the most likely ones.
    """
    logits = not isinstance(model.loss, str) and "entropy" in type(model.loss).__name__.lower()

    def call(*values: Tensor, **named: Tensor) -> dict[str, Tensor]:
        (x,) = (*values, *named.values())
        if getattr(model, "draws", 2) > 1:
            mean, stddev = model.predictive(x)
            outputs = {"mean": mean, "stddev": stddev}
        else:
            mean = model(x, training=False)
            outputs = {"mean": mean}
        if classes:
            scores = mean
            if logits:
                scores = tf.reduce_mean(tf.nn.softmax(model.members(x)), 1)
                outputs["probabilities"] = scores
            outputs["classes"] = tf.argmax(scores, -1, tf.int32)
        return outputs

    return call


def signatures(model: Network, classes: bool = False) -> dict[str, Signature]:
    """`serving_default(x)` and, of a bottleneck, `features(x) -> features` [B, draws, d].

    Args:
        model: a fitted model.
        classes: whether outputs stand for classes; see `answer`.
    """
    shape, _, _ = model.sizes()
    inputs = {"x": tf.TensorSpec([None, *shape], tf.float32)}
    rng = np.random.default_rng(0)
    examples = {"x": rng.normal(size=(4, *shape)).astype(np.float32)}
    named = {
        "serving_default": Signature(
            answer(model, classes), inputs, examples, description="inputs to mean and spread"
        )
    }
    return named | _features(model, "x", inputs, examples, {})


def of_images(model: Network, info: Info | None = None) -> dict[str, Signature]:
    """`serving_default(images)`, `bytes(encoded)` and `features(images)` of an image classifier."""
    (height, width, channels), _, _ = model.sizes()
    if height != width:
        raise ValueError(f"images {height}x{width}: must be square")
    says = "mean and spread of the outputs, and the most likely class"
    named = image_signatures(answer(model, classes=True), height, channels, says, info)
    default = named["serving_default"]
    return named | _features(model, "images", default.inputs, default.examples, default.ranges)


def _features(
    model: keras.Model, name: str, inputs: Any, examples: Any, ranges: Any
) -> dict[str, Signature]:
    if not isinstance(model, BottleneckNetwork):
        return {}

    def call(**values: Tensor) -> dict[str, Tensor]:
        return {"features": model.features(values[name])}

    says = "inputs to the values of the bottleneck, for each draw"
    return {"features": Signature(call, inputs, examples, description=says, ranges=ranges)}

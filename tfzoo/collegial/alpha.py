"""alpha of the variance law, measured on a block of the user's by Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfzoo.collegial.ntk import model_input_shape


@dataclass(frozen=True)
class AlphaFit:
    """What `measure_alpha` found.

    Attributes:
        alpha: slope of log(1 + V) over L/n through the origin.
        low: lower end of its 95 % interval, by bootstrap over the samples.
        high: upper end.
        r_squared: of the fit, 1 - residual / total about the mean.
        widths: n.
        variances: measured V at each width: variance / mean^2 of K(x, x).
    """

    alpha: float
    low: float
    high: float
    r_squared: float
    widths: tuple[int, ...]
    variances: tuple[float, ...]


def measure_alpha(
    block_fn: Callable[[int], keras.Model],
    widths: Sequence[int],
    *,
    depth: int,
    samples: int = 4000,
    x: Any = None,
    seed: int = 0,
) -> AlphaFit:
    """Fits V(1, n) = exp(alpha L / n) - 1 to a block's kernel over initialisations.

    V is heavy-tailed: narrow blocks want 4,000 samples and more.

    Args:
        block_fn: width -> a built model with one input and outputs [B, k].
        widths: n to try, at least two.
        depth: hidden layers L of the block.
        samples: initialisations of each width.
        x: one example; None draws one.
        seed: of the draws.

    Raises:
        ValueError: an argument is out of range.
    """
    if len(set(widths)) < 2 or min(widths) < 1:
        raise ValueError(f"widths={list(widths)}: must be two or more whole numbers from 1 up")
    for name, value, least in (("depth", depth, 1), ("samples", samples, 2)):
        if value < least:
            raise ValueError(f"{name}={value}: must be at least {least}")
    drawn = [diagonal(block_fn(n), samples, x=x, seed=seed + i) for i, n in enumerate(widths)]
    inverse = depth / np.array(widths, float)

    def fit(parts: Sequence[np.ndarray]) -> tuple[float, np.ndarray]:
        logs = np.log1p([squared_variation(part) for part in parts])
        return float(inverse @ logs / (inverse @ inverse)), logs

    alpha, logs = fit(drawn)
    residual = np.sum((logs - alpha * inverse) ** 2) / np.sum((logs - logs.mean()) ** 2)
    rng = np.random.default_rng(seed)
    again = [
        fit([part[rng.integers(0, samples, samples)] for part in drawn])[0] for _ in range(200)
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    variances = tuple(float(v) for v in np.expm1(logs))
    return AlphaFit(alpha, float(low), float(high), float(1 - residual), tuple(widths), variances)


def squared_variation(values: np.ndarray) -> float:
    """Variance over squared mean."""
    return float(np.var(values, ddof=1) / np.mean(values) ** 2)


def diagonal(model: keras.Model, samples: int, *, x: Any = None, seed: int = 0) -> np.ndarray:
    """K(x, x) of a model at so many initialisations, float64 [samples].

    The model's weights are drawn anew each time by their layers' own initializers, and are left
    as the last draw made them.

    Raises:
        ValueError: a weight's initializer is not known.
    """
    if x is None:
        x = np.random.default_rng(seed).normal(size=model_input_shape(model)).astype("float32")
    x = tf.convert_to_tensor(x)[None]
    draws = _draws(model, keras.random.SeedGenerator(seed))
    weights = [w.value for w in model.trainable_weights]

    def norm() -> tf.Tensor:
        with tf.GradientTape(persistent=True) as tape:
            each = tf.unstack(tf.reshape(model(x, training=False), [-1]))
        total = 0.0
        for f in each:
            for g in tape.gradient(f, weights, unconnected_gradients="zero"):
                total += tf.reduce_sum(tf.square(tf.cast(tf.convert_to_tensor(g), tf.float32)))
        return total / len(each)

    def step(i: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        for weight, draw in draws:
            weight.assign(draw(weight.shape, weight.dtype))
        return i + 1, found.write(i, norm())

    @tf.function
    def run() -> tf.Tensor:
        found = tf.TensorArray(tf.float32, samples)
        return tf.while_loop(lambda i, _: i < samples, step, (0, found))[1].stack()

    return run().numpy().astype(np.float64)


def _draws(model: keras.Model, seeds: keras.random.SeedGenerator) -> list[tuple[Any, Any]]:
    """Each trainable weight with its layer's initializer, by Keras's naming, on new seeds."""
    found = {}
    for layer in model._flatten_layers(include_self=True):
        for weight in layer._trainable_variables:
            found[id(weight)] = getattr(layer, f"{weight.name}_initializer", None)
    pairs = [(w, found.get(id(w))) for w in model.trainable_weights]
    for weight, initializer in pairs:
        if initializer is None:
            raise ValueError(
                f"weight {weight.path!r}: its layer has no {weight.name}_initializer to draw from"
            )
    return [(weight, _reseeded(initializer, seeds)) for weight, initializer in pairs]


def _reseeded(initializer: Any, seeds: keras.random.SeedGenerator) -> Any:
    config = initializer.get_config()
    if "seed" in config:
        config["seed"] = seeds
    return type(initializer).from_config(config)

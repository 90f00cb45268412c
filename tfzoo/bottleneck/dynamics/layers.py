"""Draws and applies the layers of a finite-width network in NTK parametrisation."""

from __future__ import annotations

from keras import ops

from tfzoo.bottleneck.kernels import InfiniteMLP
from tfzoo.typing import Tensor

_PHI = {"relu": ops.relu, "erf": ops.erf, "linear": lambda h: h}
Layers = list[Tensor]
"""One W [out, in], or with biases [out, in + 1], per layer."""


def draw_layers(
    mlp: InfiniteMLP, inputs: int, width: int, outputs: int, *, seed: int, dtype: str = "float64"
) -> Layers:
    """Standard normal weights of the network whose hidden layers have `width` units."""
    import tensorflow as tf  # Keras's generators draw different numbers

    generator = tf.random.Generator.from_seed(seed, alg="philox")
    bias = 1 if mlp.bias_scale else 0
    widths = [inputs, *[width] * mlp.depth, outputs]
    return [
        generator.normal((b, a + bias), dtype=dtype)
        for a, b in zip(widths[:-1], widths[1:], strict=True)
    ]


def forward(mlp: InfiniteMLP, layers: Layers, x: Tensor) -> Tensor:
    """Applies the network: [N, in] -> [N, out]."""
    for i, (w, scale) in enumerate(zip(layers, mlp.scales, strict=True)):
        x = _PHI[mlp.activation](x) if i else x
        fan_in = w.shape[1] - (1 if mlp.bias_scale else 0)
        h = ops.matmul(x, ops.transpose(w[:, :fan_in])) * (scale / fan_in**0.5)
        x = h + mlp.bias_scale * w[:, fan_in] if mlp.bias_scale else h
    return x

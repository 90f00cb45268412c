"""Convolutions equal Keras's, and their gradients a direct sum, where TensorFlow's are wrong.

On processors without AVX-512, TensorFlow's are right too, and the gradients' tests cannot fail.
"""

import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.layers import Conv2D, Conv3D, conv


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


GRID = [
    (sides, size, stride)
    for sides in ((2, 1), (2, 2), (3, 5), (6, 8), (2, 2, 3), (4, 3, 6))
    for size in (1, 2, 3)
    for stride in (1, 2, 3)
]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("known", [True, False])
def test_outputs_equal_keras(padding, dtype, known):
    for sides, size, stride in GRID:
        if padding == "valid" and min(sides) < size:
            continue
        kinds = (Conv2D, keras.layers.Conv2D) if len(sides) == 2 else (Conv3D, keras.layers.Conv3D)
        ours, keras_own = (k(4, size, stride, padding, dtype=dtype) for k in kinds)
        x = tf.cast(normal(2, *sides, 3), dtype)
        keras_own(x)
        ours.build(x.shape)
        ours.set_weights(keras_own.get_weights())
        spec = x.shape if known else (None,) * len(sides) + (None, 3)
        call = tf.function(ours, input_signature=[tf.TensorSpec(spec, dtype)], autograph=False)
        wanted = tf.cast(keras_own(x), "float32").numpy()
        actual = tf.cast(call(x), "float32").numpy()
        rounding = 1e-5 if dtype == "float32" else 4e-2
        np.testing.assert_allclose(
            actual, wanted, atol=rounding, err_msg=f"{sides} {size} {stride}"
        )


def kernel_gradient(x, g, sizes, strides):
    """sum over positions of x's patch times g, for `same` padding, in float64."""
    outputs = g.shape[1:-1]
    pads = [
        max((n - 1) * s + k - side, 0)
        for n, s, k, side in zip(outputs, strides, sizes, x.shape[1:-1], strict=True)
    ]
    x = np.pad(x, [(0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)])
    total = np.zeros((*sizes, x.shape[-1], g.shape[-1]))
    for tap in np.ndindex(*sizes):
        slices = (
            slice(t, t + (n - 1) * s + 1, s) for t, n, s in zip(tap, outputs, strides, strict=True)
        )
        total[tap] = np.tensordot(x[(slice(None), *slices)], g, [range(g.ndim - 1)] * 2)
    return total


def spoil():
    """Leaves NaN in memory that is free again."""
    for size in (2**8, 2**12, 2**16):
        tf.cast(tf.fill((size,), float("nan")), "bfloat16").numpy()


@pytest.mark.parametrize(
    ("sides", "size", "stride"),
    [*itertools.product([(2, 2), (2, 5)], [2, 3, 5], [1, 2]), ((2, 4, 4), 3, 1), ((2, 8, 8), 3, 2)],
)
def test_gradients_of_kernels_in_bfloat16(sides, size, stride):
    sizes, strides = (size,) * len(sides), (stride,) * len(sides)
    x = tf.cast(normal(3, *sides, 4), "bfloat16")
    kernel = tf.zeros((*sizes, 4, 6), "bfloat16")
    shape = conv(x, kernel, strides, "same").shape
    g = tf.cast(normal(*shape, seed=1), "bfloat16")
    wanted = kernel_gradient(*(tf.cast(t, "float64").numpy() for t in (x, g)), sizes, strides)
    for _ in range(8):
        spoil()
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            y = conv(x, kernel, strides, "same")
        actual = tf.cast(tape.gradient(y, kernel, g), "float64").numpy()
        np.testing.assert_allclose(actual, wanted, atol=0.02 * np.abs(wanted).max())


STRIDED = """
import numpy as np, tensorflow as tf
from tfzoo.layers import conv
x = tf.constant(np.random.default_rng(0).normal(size=(3, 16, 16, 3)), "float32")
kernel = tf.ones((1, 1, 3, 4))
for _ in range(300):
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        y = conv(x, kernel, (2, 2), "same")
    gradient = tape.gradient(y, kernel).numpy()
wanted = np.repeat(x.numpy()[:, ::2, ::2].sum((0, 1, 2))[:, None], 4, 1)
np.testing.assert_allclose(gradient[0, 0], wanted, rtol=1e-4, atol=1e-4)
"""


def test_strided_kernels_of_one_position_write_within_their_memory():
    """In a process of its own, which TensorFlow's own gradient ends by a corrupted heap."""
    done = subprocess.run([sys.executable, "-c", STRIDED], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]

"""Convolutions that work around a bug in TensorFlow's."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from tfzoo.typing import Tensor


def conv2d(x: Tensor, kernel: Tensor, strides: Sequence[int], padding: str) -> Tensor:
    """`ops.conv` of images, without a bug of TensorFlow on CPU.

    With oneDNN, `tf.nn.conv2d` of one channel with strides (1, s > 1) returns uninitialised memory
    if the output is one column wide (Collegial's card has a minimal example). Here such a
    convolution runs with strides (1, 1), and every s-th column is kept.

    Args:
        x: [B, H, W, C].
        kernel: [height, width, C, filters].
        strides: (vertical, horizontal).
        padding: `"valid"` or `"same"`.

    Returns:
        [B, H', W', filters].
    """
    down, right = strides
    if x.shape[-1] != 1 or down != 1 or right == 1:
        return ops.conv(x, kernel, (down, right), padding, "channels_last")
    if padding == "same":
        beyond = -ops.shape(x)[2] % right  # columns missing for the last step
        columns = kernel.shape[1] - right + beyond
        columns = max(columns, 0) if isinstance(columns, int) else ops.maximum(columns, 0)
        sides = [[n // 2, n - n // 2] for n in (kernel.shape[0] - 1, columns)]
        x = ops.pad(x, [[0, 0], *sides, [0, 0]])
    return ops.conv(x, kernel, (1, 1), "valid", "channels_last")[:, :, ::right]

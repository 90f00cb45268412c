"""Convolutions that work around bugs of TensorFlow's on CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import backend, ops

from tfzoo.registry import serializable
from tfzoo.typing import Tensor


def conv(x: Tensor, kernel: Tensor, strides: Sequence[int], padding: str = "valid") -> Tensor:
    """`ops.conv` of images or videos, without three bugs of TensorFlow 2.21 with oneDNN on CPU.

    On processors with AVX-512 (the devices guide has a minimal case of each):

    - A kernel of one position with strides of 2 and fewer than 16 channels: the kernel's gradient
      writes outside its memory. Here every other position is taken first.
    - bfloat16 and `"same"` padding of an axis of two: the kernel's gradient is uninitialised
      memory. Here the input is padded first.
    - Images of one channel, strides (1, s > 1) and an output of one column: the output is
      uninitialised memory. Here the strides are (1, 1), and every s-th column is kept.

    Args:
        x: [B, H, W, C] or [B, T, H, W, C].
        kernel: [height, width, C, filters] or [time, height, width, C, filters].
        strides: one for each axis of the kernel.
        padding: `"valid"` or `"same"`.

    Returns:
        [B, H', W', filters] or [B, T', H', W', filters].
    """
    sizes, strides = tuple(kernel.shape[:-2]), tuple(strides)
    if max(sizes) == 1:
        x = x[(slice(None), *(slice(None, None, stride) for stride in strides))]
        strides = (1,) * len(sizes)
    thinned = x.shape[-1] == 1 and len(sizes) == 2 and strides[0] == 1 < strides[1]
    bfloat16 = backend.standardize_dtype(x.dtype) == "bfloat16"
    if padding == "same" and (thinned or bfloat16 and backend.backend() == "tensorflow"):
        x, padding = _padded(x, sizes, strides), "valid"
    if thinned:
        return ops.conv(x, kernel, (1, 1), padding, "channels_last")[:, :, :: strides[1]]
    return ops.conv(x, kernel, strides, padding, "channels_last")


def _padded(x: Tensor, sizes: Sequence[int], strides: Sequence[int]) -> Tensor:
    """x with the zeros of `"same"`; as TensorFlow puts them, the odd one behind."""
    pads = [[0, 0]]
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True), start=1):
        missing = -ops.shape(x)[axis] % stride  # positions that the last step lacks
        total = size - stride + missing
        total = max(total, 0) if isinstance(total, int) else ops.maximum(total, 0)
        pads.append([total // 2, total - total // 2])
    return ops.pad(x, [*pads, [0, 0]])


class _Convolution:
    """`keras.layers.Conv2D` or `Conv3D` by way of `conv`."""

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """The convolution without bias and activation."""
        layer: Any = self
        if (
            layer.groups != 1
            or layer.data_format != "channels_last"
            or set(layer.dilation_rate) != {1}
        ):
            return super().convolution_op(inputs, kernel)  # type: ignore[misc]
        return conv(inputs, kernel, layer.strides, layer.padding)


@serializable("layers")
class Conv2D(_Convolution, keras.layers.Conv2D):
    """`keras.layers.Conv2D` without the bugs that `conv` describes; the same weights and results.

    Input: [B, H, W, C]. Output: [B, H', W', filters].
    """


@serializable("layers")
class Conv3D(_Convolution, keras.layers.Conv3D):
    """`keras.layers.Conv3D` without the bugs that `conv` describes; the same weights and results.

    Input: [B, T, H, W, C]. Output: [B, T', H', W', filters].
    """

"""Video encoders: 3D ResNet-18, R(2+1)D-18 and a small one for CPUs."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from tfzoo.layers import Conv3D
from tfzoo.skipclip.layers import FoldedBatchNormalization, PadChannels
from tfzoo.typing import Tensor

KINDS = ("r3d18", "r2plus1d18", "small")
SHORTCUTS = ("A", "B")
FORMS = ("paper", "torchvision")

_WIDTHS = (64, 128, 256, 512)
_BLOCKS = 2  # of a stage


def make_encoder(
    kind: str = "r3d18",
    *,
    width: int = 16,
    channels: int = 3,
    shortcut: str = "B",
    form: str = "paper",
    last_relu: bool = True,
    pixel_mean: float | Sequence[float] = 110.0,
    pixel_std: float | Sequence[float] = 60.0,
    widths: Sequence[int] | None = None,
    dtype: keras.DTypePolicy | str | None = None,
    name: str = "encoder",
) -> keras.Model:
    """A network from raw video to a feature map, for any length and size of at least one pixel.

    `r3d18` is Hara et al.'s 3D ResNet-18 (arXiv:1711.09577): a 7x7x7 stem of stride (1, 2, 2), max
    pooling, four stages of two basic blocks; 33,203,904 trainable parameters with shortcut B,
    173,824 fewer with A. It has PyTorch's padding, BatchNormalization with momentum 0.9 and epsilon
    1e-5, and He initialisation by fan-out. `r2plus1d18` factorises each 3x3x3 convolution into
    1x3x3 and 3x1x1 with as many parameters (Tran et al., arXiv:1711.11248) and has that paper's
    stem, without pooling. `small` is a 3D ResNet with a 3x5x5 stem of stride (1, 2, 2) and two
    stages of two blocks, which halve times and cells and double channels; only the stem works on
    large maps, where normalisation is most expensive on a CPU. Its padding is `same`.

    The form `torchvision` is the common form of the two large networks, for which that library has
    weights (see `from_torchvision`): `r3d18` has a 3x7x7 stem without pooling (33,166,272 trainable
    parameters), and in `r2plus1d18` both convolutions of a block have as many channels between
    space and time as the first needs (31,300,125 parameters instead of 33,165,639).

    Args:
        kind: one of `KINDS`.
        width: channels of the small encoder's stem; its features have four times as many.
        channels: channels of the video.
        shortcut: `B`, a 1x1x1 convolution where the shape changes, or `A`, zero channels.
        form: `paper`, or `torchvision`, which the small encoder does not have.
        last_relu: whether the last block ends with a ReLU; without it, features may be negative.
        pixel_mean: subtracted from raw pixels; one number, or one per channel.
        pixel_std: divisor of the result, likewise.
        widths: channels of a large encoder's stages; the stem has those of the first. None: 64,
            128, 256, 512.
        dtype: the layers' policy; None: the current one.
        name: name of the model.

    Returns:
        A functional model: [B, T, H, W, C] of raw pixels, integers or floats, -> [B, T', H', W',
            D].

    Raises:
        ValueError: an argument is out of range.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: must be one of {', '.join(KINDS)}")
    if shortcut not in SHORTCUTS:
        raise ValueError(f"shortcut={shortcut!r}: must be A or B")
    if form not in FORMS:
        raise ValueError(f"form={form!r}: must be one of {', '.join(FORMS)}")
    if width < 1 or channels < 1:
        raise ValueError(f"width={width}, channels={channels}: must be at least 1")
    small = kind == "small"
    for name, value, default in (("form", form, "paper"), ("widths", widths, None)):
        if small and value != default:
            raise ValueError(f"{name}={value!r}: must be {default} for the small encoder")
    means, deviations = (
        [float(v) for v in np.broadcast_to(value, channels)] for value in (pixel_mean, pixel_std)
    )
    if not min(deviations) > 0:
        raise ValueError(f"pixel_std={pixel_std}: must be above 0")
    stages = (2 * width, 4 * width) if small else tuple(widths or _WIDTHS)
    build = _Builder(kind, form, shortcut, dtype)
    inputs = keras.Input((None, None, None, channels), name="video")
    if len(set(means)) == len(set(deviations)) == 1:
        means, deviations = means[:1], deviations[:1]
    factors = [1 / v for v in deviations]
    offsets = [-m / v for m, v in zip(means, deviations, strict=True)]
    plain = len(factors) == 1  # plain numbers, as in earlier files
    scale = keras.layers.Rescaling(
        factors[0] if plain else factors,
        offsets[0] if plain else offsets,
        name="pixels",
        dtype=dtype,
    )
    x = build.stem(scale(inputs), width if small else stages[0])
    for i, filters in enumerate(stages):
        for j in range(_BLOCKS):
            last = i == len(stages) - 1 and j == _BLOCKS - 1
            strides = 2 if not j and (i or small) else 1
            x = build.block(x, filters, strides, f"stage{i + 1}_{j + 1}", last_relu or not last)
    return keras.Model(inputs, x, name=name)


class _Builder:
    """Creates the parts of an encoder's graph."""

    def __init__(self, kind: str, form: str, shortcut: str, dtype: keras.DTypePolicy | str | None):
        self.common, self.shortcut = form == "torchvision", shortcut
        self.factorised, self.same, self.dtype = kind == "r2plus1d18", kind == "small", dtype

    def conv(self, x: Tensor, filters: int, kernel: tuple, strides: tuple, name: str) -> Tensor:
        """Padded as in PyTorch, equally on both sides for any stride, or `same`."""
        padding = tuple(k // 2 for k in kernel)
        if self.same or max(strides) == 1:
            mode = "same"
        else:
            mode = "valid"
            if max(padding):
                x = keras.layers.ZeroPadding3D(padding, dtype=self.dtype, name=f"{name}_pad")(x)
        return Conv3D(
            filters,
            kernel,
            strides,
            mode,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
            dtype=self.dtype,
            name=name,
        )(x)

    def norm(self, x: Tensor, name: str) -> Tensor:
        """BatchNormalization with PyTorch's constants."""
        return FoldedBatchNormalization(dtype=self.dtype, name=name)(x)

    def relu(self, x: Tensor, name: str) -> Tensor:
        """Adds by a layer, so that it has a name."""
        return keras.layers.ReLU(dtype=self.dtype, name=name)(x)

    def cube(self, x: Tensor, filters: int, strides: int, name: str, middle: int) -> Tensor:
        """A 3x3x3 convolution, or 1x3x3 and 3x1x1 with `middle` channels in between."""
        s = strides
        if not self.factorised:
            return self.conv(x, filters, (3, 3, 3), (s, s, s), name)
        x = self.conv(x, middle, (1, 3, 3), (1, s, s), f"{name}_space")
        x = self.relu(self.norm(x, f"{name}_norm"), f"{name}_relu")
        return self.conv(x, filters, (3, 1, 1), (s, 1, 1), f"{name}_time")

    def stem(self, x: Tensor, filters: int) -> Tensor:
        """From pixels to the first stage."""
        if self.factorised:
            x = self.conv(x, 45, (1, 7, 7), (1, 2, 2), "stem_space")
            x = self.relu(self.norm(x, "stem_space_norm"), "stem_space_relu")
            x = self.conv(x, filters, (3, 1, 1), (1, 1, 1), "stem")
            return self.relu(self.norm(x, "stem_norm"), "stem_relu")
        kernel = (3, 5, 5) if self.same else (3, 7, 7) if self.common else (7, 7, 7)
        x = self.conv(x, filters, kernel, (1, 2, 2), "stem")
        x = self.relu(self.norm(x, "stem_norm"), "stem_relu")
        if self.same or self.common:
            return x
        # after a ReLU, zeros are equivalent to PyTorch's minus infinity
        x = keras.layers.ZeroPadding3D(1, dtype=self.dtype, name="stem_pool_pad")(x)
        return keras.layers.MaxPooling3D(3, 2, dtype=self.dtype, name="stem_pool")(x)

    def block(self, x: Tensor, filters: int, strides: int, name: str, relu: bool) -> Tensor:
        """ResNet's basic block."""
        first, second = middle(x.shape[-1], filters), middle(filters, filters)
        y = self.cube(x, filters, strides, f"{name}_conv1", first)
        y = self.relu(self.norm(y, f"{name}_norm1"), f"{name}_relu1")
        y = self.cube(y, filters, 1, f"{name}_conv2", first if self.common else second)
        y = self.norm(y, f"{name}_norm2")
        if strides != 1 or x.shape[-1] != filters:
            if self.shortcut == "B":
                kernel, step = (1, 1, 1), (strides,) * 3
                x = self.conv(x, filters, kernel, step, f"{name}_shortcut")
                x = self.norm(x, f"{name}_shortcut_norm")
            else:
                pad = PadChannels(filters, strides, dtype=self.dtype, name=f"{name}_shortcut")
                x = pad(x)
        y = keras.layers.Add(dtype=self.dtype, name=f"{name}_add")([x, y])
        return self.relu(y, f"{name}_relu") if relu else y


def middle(before: int, after: int) -> int:
    """Channels between 1x3x3 and 3x1x1 that give as many parameters as 3x3x3 (1711.11248)."""
    return max(1, 27 * before * after // (9 * before + 3 * after))

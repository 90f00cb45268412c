"""Layers shared by several methods."""

from tfzoo.layers.borders import bad_rows, size_within
from tfzoo.layers.convolution import Conv2D, Conv3D, conv
from tfzoo.layers.spectral import SNConv2D, SNDense, SpectralLayer, settle

__all__ = [
    "Conv2D",
    "Conv3D",
    "SNConv2D",
    "SNDense",
    "SpectralLayer",
    "bad_rows",
    "conv",
    "settle",
    "size_within",
]

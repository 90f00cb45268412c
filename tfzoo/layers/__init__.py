"""Layers shared by several methods."""

from tfzoo.layers.borders import bad_rows, size_within
from tfzoo.layers.convolution import conv2d
from tfzoo.layers.spectral import SNConv2D, SNDense, SpectralLayer, settle

__all__ = ["SNConv2D", "SNDense", "SpectralLayer", "bad_rows", "conv2d", "settle", "size_within"]

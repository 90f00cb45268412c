"""Layers that several methods share."""

from tfzoo.layers.borders import bad_rows, size_within
from tfzoo.layers.spectral import SNConv2D, SNDense, SpectralLayer, settle

__all__ = ["SNConv2D", "SNDense", "SpectralLayer", "bad_rows", "settle", "size_within"]

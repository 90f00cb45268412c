"""Layers that several methods share."""

from tfzoo.layers.spectral import SNConv2D, SNDense, SpectralLayer, settle

__all__ = ["SNConv2D", "SNDense", "SpectralLayer", "settle"]

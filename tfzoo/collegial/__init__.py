"""Collegial Ensembles (arXiv:2006.07678)."""

from tfzoo import registry
from tfzoo.collegial import recipe as _recipe  # noqa: F401  registers the tasks
from tfzoo.collegial.alpha import AlphaFit, measure_alpha
from tfzoo.collegial.ensemble import Collegial
from tfzoo.collegial.layers import Aggregate, CollegialDense, GroupConv2D, MemberHeNormal
from tfzoo.collegial.mlp import CollegialMLP
from tfzoo.collegial.ntk import KernelDrift, empirical_ntk
from tfzoo.collegial.ops import grouped_conv2d
from tfzoo.collegial.resnext import CollegialResNeXt
from tfzoo.collegial.search import maximize_trainability, minimize_parameters

registry.experiment("search", "collegial", "tfzoo.collegial.experiments.search_command:main")
registry.experiment("study", "collegial", "tfzoo.collegial.experiments.study:main")
registry.experiment("bench", "collegial", "tfzoo.collegial.experiments.bench:main")

__all__ = [
    "Aggregate",
    "AlphaFit",
    "Collegial",
    "CollegialDense",
    "CollegialMLP",
    "CollegialResNeXt",
    "GroupConv2D",
    "KernelDrift",
    "MemberHeNormal",
    "empirical_ntk",
    "grouped_conv2d",
    "maximize_trainability",
    "measure_alpha",
    "minimize_parameters",
]

"""Infinitely wide networks with a finite bottleneck (arXiv:2107.00364)."""

from tfzoo import registry
from tfzoo.bottleneck import dynamics
from tfzoo.bottleneck import recipe as _recipe  # noqa: F401  registers the task
from tfzoo.bottleneck.blockwise import KernelOperator, kernel_matrix, kernel_times
from tfzoo.bottleneck.infinite import InfiniteNetwork
from tfzoo.bottleneck.kernels import Composition, InfiniteMLP
from tfzoo.bottleneck.model import BottleneckNetwork
from tfzoo.bottleneck.regression import KernelRegression
from tfzoo.bottleneck.signatures import signatures

registry.experiment("study", "bottleneck", "tfzoo.bottleneck.experiments.study:main")
registry.experiment("bench", "bottleneck", "tfzoo.bottleneck.experiments.bench:main")

__all__ = [
    "BottleneckNetwork",
    "Composition",
    "InfiniteMLP",
    "InfiniteNetwork",
    "KernelOperator",
    "KernelRegression",
    "dynamics",
    "kernel_matrix",
    "kernel_times",
    "signatures",
]

"""Adaptive Loss Alignment (arXiv:1905.05895)."""

from tfzoo import registry
from tfzoo.ala import recipe as _recipe  # noqa: F401  registers the tasks
from tfzoo.ala.alignment import Alignment
from tfzoo.ala.callback import AdaptiveLossAlignment
from tfzoo.ala.children import Children
from tfzoo.ala.controller import PAPER, LossController
from tfzoo.ala.learning import Schedule, SharedLearning
from tfzoo.ala.losses import ClassWeightLoss, CorrelationLoss
from tfzoo.ala.metric_losses import DistanceMixtureLoss, FocalPairLoss
from tfzoo.ala.parametric import ParametricLoss

registry.experiment("bench", "ala", "tfzoo.ala.experiments.bench:main")
registry.experiment("study", "ala", "tfzoo.ala.experiments.study:main")

__all__ = [
    "PAPER",
    "AdaptiveLossAlignment",
    "Alignment",
    "Children",
    "ClassWeightLoss",
    "CorrelationLoss",
    "DistanceMixtureLoss",
    "FocalPairLoss",
    "LossController",
    "ParametricLoss",
    "Schedule",
    "SharedLearning",
]

"""Adaptive Loss Alignment (arXiv:1905.05895)."""

from tfzoo.ala.alignment import Alignment
from tfzoo.ala.callback import AdaptiveLossAlignment
from tfzoo.ala.controller import LossController
from tfzoo.ala.losses import ClassWeightLoss, CorrelationLoss
from tfzoo.ala.metric_losses import DistanceMixtureLoss, FocalPairLoss
from tfzoo.ala.parametric import ParametricLoss

__all__ = [
    "AdaptiveLossAlignment",
    "Alignment",
    "ClassWeightLoss",
    "CorrelationLoss",
    "DistanceMixtureLoss",
    "FocalPairLoss",
    "LossController",
    "ParametricLoss",
]

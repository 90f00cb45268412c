"""GANs as energy-based models, and Adversarial Fisher Vectors (arXiv:1910.13101)."""

from tfzoo.afv.fisher import FisherVectorizer
from tfzoo.afv.gradients import PerExampleGradients
from tfzoo.afv.model import EnergyGAN
from tfzoo.afv.networks import ExpertEnergy, make_discriminator, make_generator

__all__ = [
    "EnergyGAN",
    "ExpertEnergy",
    "FisherVectorizer",
    "PerExampleGradients",
    "make_discriminator",
    "make_generator",
]

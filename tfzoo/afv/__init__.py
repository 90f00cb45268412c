"""GANs as energy-based models, and Adversarial Fisher Vectors (arXiv:1910.13101)."""

from tfzoo import registry
from tfzoo.afv import recipe as _recipe  # noqa: F401  registers the task
from tfzoo.afv.classifier import AFVClassifier, OneVsAllSquaredHinge
from tfzoo.afv.fisher import FisherVectorizer
from tfzoo.afv.gradients import PerExampleGradients, per_example_gradients
from tfzoo.afv.model import EnergyGAN
from tfzoo.afv.monitor import GANMonitor
from tfzoo.afv.networks import (
    ExpertEnergy,
    last_map,
    make_discriminator,
    make_generator,
    pooled_blocks,
)
from tfzoo.afv.official import from_official
from tfzoo.afv.signatures import export_distance, set_signatures, signatures

registry.experiment("study", "afv", "tfzoo.afv.experiments.study:main")
registry.experiment("bench", "afv", "tfzoo.afv.experiments.bench:main")

__all__ = [
    "AFVClassifier",
    "EnergyGAN",
    "ExpertEnergy",
    "FisherVectorizer",
    "GANMonitor",
    "OneVsAllSquaredHinge",
    "PerExampleGradients",
    "export_distance",
    "from_official",
    "last_map",
    "make_discriminator",
    "make_generator",
    "per_example_gradients",
    "pooled_blocks",
    "set_signatures",
    "signatures",
]

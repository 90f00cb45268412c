"""An Attention Free Transformer (arXiv:2105.14103)."""

from tfzoo import registry
from tfzoo.aft import recipe as _recipe  # noqa: F401  registers the tasks
from tfzoo.aft.autoregressive import AFTImageModel, AFTLanguageModel
from tfzoo.aft.block import TransformerBlock
from tfzoo.aft.classifier import AFTClassifier
from tfzoo.aft.layers import AFTConv1D, AFTConv2D, AFTFull, AFTLocal, AFTSimple
from tfzoo.aft.metrics import BitsPerSymbol
from tfzoo.aft.ops import aft_conv, aft_full, aft_local, aft_simple

registry.experiment("study", "aft", "tfzoo.aft.experiments.study:main")
registry.experiment("bench", "aft", "tfzoo.aft.experiments.bench:main")

__all__ = [
    "AFTClassifier",
    "AFTConv1D",
    "AFTConv2D",
    "AFTFull",
    "AFTImageModel",
    "AFTLanguageModel",
    "AFTLocal",
    "AFTSimple",
    "BitsPerSymbol",
    "TransformerBlock",
    "aft_conv",
    "aft_full",
    "aft_local",
    "aft_simple",
]

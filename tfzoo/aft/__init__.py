"""An Attention Free Transformer (arXiv:2105.14103)."""

from tfzoo.aft.layers import AFTConv1D, AFTConv2D, AFTFull, AFTLocal, AFTSimple
from tfzoo.aft.ops import aft_conv, aft_full, aft_local, aft_simple

__all__ = [
    "AFTConv1D",
    "AFTConv2D",
    "AFTFull",
    "AFTLocal",
    "AFTSimple",
    "aft_conv",
    "aft_full",
    "aft_local",
    "aft_simple",
]

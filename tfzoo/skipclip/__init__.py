"""Skip-Clip: self-supervised video encoders by ranking future clips (arXiv:1910.12770)."""

from tfzoo import registry
from tfzoo.skipclip import recipe as _recipe  # noqa: F401  registers the task
from tfzoo.skipclip.layers import FoldedBatchNormalization, PadChannels
from tfzoo.skipclip.model import make_encoder
from tfzoo.skipclip.objective import pair_accuracy, ranking_loss, similarity
from tfzoo.skipclip.optim import TrunkSGD
from tfzoo.skipclip.pretext import ClipOrder, SkipClip
from tfzoo.skipclip.recognizer import ActionRecognizer
from tfzoo.skipclip.sampling import Clips
from tfzoo.skipclip.torchvision import from_torchvision

registry.experiment("study", "skipclip", "tfzoo.skipclip.experiments.study:main")
registry.experiment("bench", "skipclip", "tfzoo.skipclip.experiments.bench:main")

__all__ = [
    "ActionRecognizer",
    "ClipOrder",
    "Clips",
    "FoldedBatchNormalization",
    "PadChannels",
    "SkipClip",
    "TrunkSGD",
    "from_torchvision",
    "make_encoder",
    "pair_accuracy",
    "ranking_loss",
    "similarity",
]

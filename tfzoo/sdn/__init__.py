"""Set Distribution Networks (arXiv:2006.10705)."""

from tfzoo import registry
from tfzoo.sdn import judge_recipe as _judge_recipe  # noqa: F401  registers the tasks
from tfzoo.sdn import recipe as _recipe  # noqa: F401
from tfzoo.sdn.codes import straight_through
from tfzoo.sdn.judges import make_verifier, make_voxel_net
from tfzoo.sdn.layers import SetDiscriminator, SetEncoder, SetGenerator
from tfzoo.sdn.made import MADE
from tfzoo.sdn.model import SetDistributionNetwork
from tfzoo.sdn.monitor import CodeMonitor
from tfzoo.sdn.networks import SelfAttention2D, make_decoder, make_encoder
from tfzoo.sdn.signatures import signatures

registry.experiment("study", "sdn", "tfzoo.sdn.experiments.study:main")
registry.experiment("bench", "sdn", "tfzoo.sdn.experiments.bench:main")

__all__ = [
    "CodeMonitor",
    "MADE",
    "SelfAttention2D",
    "SetDiscriminator",
    "SetDistributionNetwork",
    "SetEncoder",
    "SetGenerator",
    "make_decoder",
    "make_encoder",
    "make_verifier",
    "make_voxel_net",
    "signatures",
    "straight_through",
]

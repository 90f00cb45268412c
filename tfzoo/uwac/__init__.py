"""Uncertainty Weighted Actor-Critic for offline reinforcement learning (arXiv:2105.08140).

Networks, mathematics and recipes load without tf-agents; agents, policies and environments are
imported, with tf-agents, on first use.
"""

from typing import Any

from tfzoo import registry
from tfzoo.uwac import evaluators, extras, mathematics
from tfzoo.uwac import recipe as _recipe  # noqa: F401  registers the task
from tfzoo.uwac.critic import DropoutCritic
from tfzoo.uwac.front_end import UWAC, UWACConfig
from tfzoo.uwac.model import ActorCritic
from tfzoo.uwac.networks import BehaviorVAE, GaussianActor
from tfzoo.uwac.official import from_official
from tfzoo.uwac.references import normalised
from tfzoo.uwac.settings import AgentSettings
from tfzoo.uwac.signatures import signatures

registry.experiment("study", "uwac", "tfzoo.uwac.experiments.study:main")
registry.experiment("bench", "uwac", "tfzoo.uwac.experiments.bench:main")

_LAZY = {
    "BearAgent": "agent",
    "BehaviorCloningAgent": "agent",
    "UwacAgent": "agent",
    "save_policy": "agent",
    "specs_of": "agent",
    "MaxQPolicy": "policy",
    "VectorEnvironment": "environments",
    "make_environment": "environments",
}

__all__ = [
    "UWAC",
    "ActorCritic",
    "AgentSettings",
    "BearAgent",
    "BehaviorCloningAgent",
    "BehaviorVAE",
    "DropoutCritic",
    "GaussianActor",
    "MaxQPolicy",
    "UWACConfig",
    "UwacAgent",
    "VectorEnvironment",
    "evaluators",
    "from_official",
    "make_environment",
    "mathematics",
    "normalised",
    "save_policy",
    "signatures",
    "specs_of",
]


def __getattr__(name: str) -> Any:
    """Agents, policies and environments.

    Raises:
        InputError: tf-agents or gymnasium is not installed.
    """
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(extras.load(f"tfzoo.uwac.{_LAZY[name]}"), name)

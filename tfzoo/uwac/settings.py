"""Hyperparameters of UWAC and BEAR, named as in d3rlpy where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import Ge

from tfzoo.config import (
    Config,
    Count,
    Counts,
    Factor,
    Fraction,
    Must,
    Natural,
    NonNegative,
    OneOf,
    Positive,
    Share,
    key,
)
from tfzoo.uwac.critic import ESTIMATORS
from tfzoo.uwac.mathematics import KERNELS, WEIGHTS

ALGORITHMS = ("uwac", "bear", "bc")


def _rising_pair(clip: Sequence[float]) -> bool:
    return len(clip) == 2 and 0 <= clip[0] < clip[1]


@dataclass(frozen=True)
class AgentSettings(Config):
    """Networks, losses and rates; by default the official code's, with the paper's weights.

    The critics' objective, with y from M candidates a' at s' and weights w from their uncertainty,
    is the mean of w (Q(s, a) - y)^2 (`weight_power` 1, the paper's) or (w (Q(s, a) - y))^2 (2, the
    official code's). The actor's is the mean of -w Q(s, a) + alpha (MMD - alpha_threshold).
    """

    builds = ("tfzoo.uwac.critic:DropoutCritic",)

    hidden: Counts = key([256, 256], "widths of actor and critics")
    vae_units: Count = key(750, "units of the behaviour model")
    dropout_rate: Fraction = key(0.1, "dropout rate of the critics; 0 with `bear` is plain BEAR")
    spectral_norm: bool = key(True, "spectral normalisation of the critics' kernels")
    sn_coeff: Positive = key(1.0, "see `DropoutCritic`")
    actor_learning_rate: Positive = key(1e-4, "Adam's learning rate for the actor")
    critic_learning_rate: Positive = key(3e-4, "learning rate of both critics")
    imitator_learning_rate: Positive = key(3e-4, "learning rate of the behaviour model")
    alpha_learning_rate: Positive = key(1e-3, "learning rate of the multiplier")
    gamma: Fraction = key(0.99, "discount")
    tau: Factor = key(0.005, "rate tau of the targets' moving averages, updated after each step")
    lam: Share = key(0.75, "lambda of the pessimistic mixture of both critics")
    n_action_samples: Count = key(100, "number N of actions to choose from when acting")
    n_target_samples: Count = key(10, "number M of candidate actions of the target")
    n_mmd_action_samples: Count = key(4, "number K of samples on both sides of the MMD")
    mmd_kernel: Annotated[str, OneOf(*KERNELS)] = key("gaussian", "`gaussian` or `laplacian`")
    mmd_sigma: Positive = key(20.0, "see `mathematics.kernel_mean`")
    alpha_threshold: Positive = key(0.07, "epsilon, the allowed MMD")
    vae_kl_weight: NonNegative = key(0.5, "weight of the behaviour model's KL")
    warmup_steps: Natural = key(40000, "steps in which the actor only minimises the MMD")
    n_mc_samples: Annotated[int, Ge(2)] = key(100, "number T of dropout masks, at least 2")
    estimator: Annotated[str, OneOf(*ESTIMATORS)] = key(
        "monte_carlo", "`monte_carlo` or `conditional`, see `DropoutCritic.moments`"
    )
    shared_masks: bool = key(False, "see `DropoutCritic.moments`")
    beta: Positive = key(0.5, "scale beta of the weights")
    weight_fn: Annotated[str, OneOf(*WEIGHTS)] = key(
        "inverse", "`inverse` (paper) or `exp` (official code)"
    )
    weight_clip: Annotated[list[float], Must(_rising_pair, "[low, high] with 0 <= low < high")] = (
        key([0.0, 1.5], "smallest and largest weight")
    )
    weight_power: Annotated[int, OneOf(1, 2)] = key(1, "1 or 2")
    weight_critic: bool = key(True, "whether the critics' losses are weighted")
    weight_actor: bool = key(True, "whether the actor's loss is weighted")
    q_penalty: NonNegative = key(0.0, "weight of mean relu(Q(s, a)) Var, in the critics' losses")

    @classmethod
    def paper(cls, **changes: Any) -> AgentSettings:
        """The paper's weights: beta / Var, to the first power, clipped to [0, 1.5]."""
        return replace(cls(), **changes)

    @classmethod
    def official_code(cls, **changes: Any) -> AgentSettings:
        """The official code's weights: exp(-beta Var), squared, clipped to [0, 1]."""
        settings = cls(weight_fn="exp", weight_power=2, weight_clip=[0.0, 1.0])
        return replace(settings, **changes)

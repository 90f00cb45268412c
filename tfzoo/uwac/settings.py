"""What an agent of UWAC or BEAR can be told; named as in d3rlpy where it has it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tfzoo.config import check, choices
from tfzoo.uwac.critic import ESTIMATORS
from tfzoo.uwac.mathematics import KERNELS, WEIGHTS

ALGORITHMS = ("uwac", "bear", "bc")


@dataclass(frozen=True)
class AgentSettings:
    """Networks, losses and rates; the defaults are the official code's, the weights the paper's.

    Objective of the critics, y from M candidates a' at s' and weights w of their uncertainty:
    mean of w (Q(s, a) - y)^2 (`weight_power` 1, the paper's) or (w (Q(s, a) - y))^2 (2, the
    official code's). Of the actor: mean of -w Q(s, a) + alpha (MMD - alpha_threshold).

    Attributes:
        hidden: widths of actor and critics.
        vae_units: of the behaviour model.
        dropout_rate: of the critics; 0 with `bear` is plain BEAR.
        spectral_norm: of the critics' kernels.
        sn_coeff: see `DropoutCritic`.
        actor_learning_rate: Adam's, as the next three.
        critic_learning_rate: of both critics.
        imitator_learning_rate: of the behaviour model.
        alpha_learning_rate: of the multiplier.
        gamma: discount.
        tau: of the targets' averages, after each step.
        lam: of the pessimistic mixture of both critics.
        n_action_samples: N, actions to choose from when it acts.
        n_target_samples: M, candidates of the target.
        n_mmd_action_samples: K, of both sides.
        mmd_kernel: `gaussian` or `laplacian`.
        mmd_sigma: see `mathematics.kernel_mean`.
        alpha_threshold: epsilon, what the MMD may reach.
        vae_kl_weight: of the behaviour model's KL.
        warmup_steps: steps whose actor only follows the MMD.
        n_mc_samples: T, dropout masks; at least 2, for a variance.
        estimator: `monte_carlo` or `conditional`, see `DropoutCritic.moments`.
        shared_masks: see there.
        beta: of the weights.
        weight_fn: `inverse` (paper) or `exp` (official code).
        weight_clip: least and greatest weight.
        weight_power: 1 or 2.
        weight_critic: whether the critics' losses are weighted.
        weight_actor: whether the actor's is.
        q_penalty: of mean relu(Q(s, a)) Var, in the critics' losses.
    """

    hidden: list[int] = field(default_factory=lambda: [256, 256])
    vae_units: int = 750
    dropout_rate: float = 0.1
    spectral_norm: bool = True
    sn_coeff: float = 1.0
    actor_learning_rate: float = 1e-4
    critic_learning_rate: float = 3e-4
    imitator_learning_rate: float = 3e-4
    alpha_learning_rate: float = 1e-3
    gamma: float = 0.99
    tau: float = 0.005
    lam: float = 0.75
    n_action_samples: int = 100
    n_target_samples: int = 10
    n_mmd_action_samples: int = 4
    mmd_kernel: str = "gaussian"
    mmd_sigma: float = 20.0
    alpha_threshold: float = 0.07
    vae_kl_weight: float = 0.5
    warmup_steps: int = 40000
    n_mc_samples: int = 100
    estimator: str = "monte_carlo"
    shared_masks: bool = False
    beta: float = 0.5
    weight_fn: str = "inverse"
    weight_clip: list[float] = field(default_factory=lambda: [0.0, 1.5])
    weight_power: int = 1
    weight_critic: bool = True
    weight_actor: bool = True
    q_penalty: float = 0.0

    def __post_init__(self):
        """Checks the ranges."""
        hidden = list(self.hidden)
        check(bool(hidden) and min(hidden) >= 1, "agent.hidden", hidden, "widths from 1 up")
        check(0 <= self.dropout_rate < 1, "agent.dropout_rate", self.dropout_rate, "in [0, 1)")
        for name in ("actor", "critic", "imitator", "alpha"):
            key = f"{name}_learning_rate"
            check(getattr(self, key) > 0, f"agent.{key}", getattr(self, key), "above 0")
        for key in ("sn_coeff", "mmd_sigma", "beta", "alpha_threshold"):
            check(getattr(self, key) > 0, f"agent.{key}", getattr(self, key), "above 0")
        check(0 <= self.gamma < 1, "agent.gamma", self.gamma, "from 0 to below 1")
        for key in ("tau", "lam"):
            check(0 <= getattr(self, key) <= 1, f"agent.{key}", getattr(self, key), "from 0 to 1")
        check(self.tau > 0, "agent.tau", self.tau, "above 0")
        counts = ("vae_units", "n_action_samples", "n_target_samples", "n_mmd_action_samples")
        for key in counts:
            check(getattr(self, key) >= 1, f"agent.{key}", getattr(self, key), "at least 1")
        check(self.n_mc_samples >= 2, "agent.n_mc_samples", self.n_mc_samples, "at least 2")
        for key in ("vae_kl_weight", "warmup_steps", "q_penalty"):
            check(getattr(self, key) >= 0, f"agent.{key}", getattr(self, key), "at least 0")
        choices("agent.mmd_kernel", self.mmd_kernel, KERNELS)
        choices("agent.weight_fn", self.weight_fn, WEIGHTS)
        choices("agent.estimator", self.estimator, ESTIMATORS)
        check(self.weight_power in (1, 2), "agent.weight_power", self.weight_power, "1 or 2")
        clip = list(self.weight_clip)
        ordered = len(clip) == 2 and 0 <= clip[0] < clip[1]
        check(ordered, "agent.weight_clip", clip, "[low, high] with 0 <= low < high")

    @classmethod
    def paper(cls, **changes: object) -> AgentSettings:
        """Weights of the paper: beta / Var, once, cut to [0, 1.5]."""
        return replace(cls(), **changes)

    @classmethod
    def official_code(cls, **changes: object) -> AgentSettings:
        """Weights of the official code: exp(-beta Var) in the square, cut to [0, 1]."""
        made = cls(weight_fn="exp", weight_power=2, weight_clip=[0.0, 1.0])
        return replace(made, **changes)

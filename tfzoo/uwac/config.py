"""The config of `uwac.offline`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tfzoo.config import MISSING, check, choices
from tfzoo.data import DataConfig
from tfzoo.training.config import RunConfig
from tfzoo.uwac.settings import ALGORITHMS, AgentSettings


@dataclass(frozen=True)
class OfflineConfig(RunConfig):
    """Offline reinforcement learning from recorded transitions.

    Attributes:
        data: episodes in the RLDS form, see `tfzoo.data.control.offline`.
        environment: gymnasium's id of the task to be evaluated in; null evaluates nothing.
        algorithm: `uwac`, `bear` or `bc`.
        agent: see `AgentSettings`.
        steps_per_epoch: gradient steps between two evaluations.
        normalise: observations by the data's mean and standard deviation.
        action_low: the least action, one number or one for each of its dimensions.
        action_high: the greatest.
        clip_actions: cut the data's actions to the limits, as environments do with what a policy
            gave them; otherwise one outside them is an error.
        evaluate_every: epochs between two evaluations; the last is always evaluated.
        evaluation_episodes: of one evaluation, side by side.
        parallel: evaluate each episode in a process of its own.
    """

    data: DataConfig = MISSING
    environment: str | None = None
    algorithm: str = "uwac"
    agent: AgentSettings = field(default_factory=AgentSettings)
    steps_per_epoch: int = 1000
    normalise: bool = False
    action_low: list[float] = field(default_factory=lambda: [-1.0])
    action_high: list[float] = field(default_factory=lambda: [1.0])
    clip_actions: bool = False
    evaluate_every: int = 1
    evaluation_episodes: int = 20
    parallel: bool = False

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        choices("algorithm", self.algorithm, ALGORITHMS)
        check(self.environment != "", "environment", "", "the id of a gymnasium task, or null")
        check(self.distribute == "none", "distribute", self.distribute, "none")
        for name in ("evaluate_every", "evaluation_episodes"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        low, high = list(self.action_low), list(self.action_high)
        for name, value in (("action_low", low), ("action_high", high)):
            fine = bool(value) and bool(np.isfinite(value).all())
            check(fine, name, value, "finite numbers, one or one for each dimension")
        if len(low) == len(high) or 1 in (len(low), len(high)):
            ordered = bool((np.asarray(low) < np.asarray(high)).all())
            check(ordered, "action_low", low, f"below action_high={high}")

    def limits(self, actions: int) -> dict[str, list[float]]:
        """Keywords of `Space` for so many actions.

        Raises:
            InputError: limits of another length.
        """
        found = {}
        for name in ("action_low", "action_high"):
            value = list(getattr(self, name))
            check(len(value) in (1, actions), name, value, f"1 or {actions} numbers")
            found[name] = value * actions if len(value) == 1 else value
        return found

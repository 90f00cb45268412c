"""The config of `uwac.offline`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Len

from tfzoo.config import MISSING, Count, OneOf, Text, check, key
from tfzoo.data import DataConfig
from tfzoo.training.config import RunConfig
from tfzoo.uwac.references import REFERENCES
from tfzoo.uwac.settings import ALGORITHMS, AgentSettings


@dataclass(frozen=True)
class OfflineConfig(RunConfig):
    """Offline reinforcement learning from recorded transitions."""

    data: DataConfig = key(MISSING, "episodes in the RLDS form, see `tfzoo.data.control.offline`")
    environment: Text | None = key(
        None, "gymnasium id of the task for evaluation; null: no evaluation"
    )
    references: Annotated[str, OneOf(*REFERENCES)] = key(
        "d4rl", "returns for the scores 0 and 100: `d4rl`'s, or `tfzoo`'s own for its v5 tasks"
    )
    algorithm: Annotated[str, OneOf(*ALGORITHMS)] = key("uwac", "`uwac`, `bear` or `bc`")
    agent: AgentSettings = key(AgentSettings(), "see `AgentSettings`")
    steps_per_epoch: Count = key(1000, "gradient steps per epoch")
    normalise: bool = key(False, "standardise observations by the data's mean and deviation")
    action_low: Annotated[list[float], Len(1)] = key(
        [-1.0], "smallest action, one number or one per dimension"
    )
    action_high: Annotated[list[float], Len(1)] = key([1.0], "largest action, likewise")
    clip_actions: bool = key(
        False,
        "clip the data's actions to the limits, as environments do with a policy's "
        "actions; otherwise an action outside them is an error.",
    )
    evaluate_every: Count = key(1, "epochs between evaluations; the last is always evaluated")
    evaluation_episodes: Count = key(20, "parallel episodes of an evaluation")
    parallel: bool = key(False, "whether to evaluate each episode in its own process")

    def __post_init__(self) -> None:
        super().__post_init__()

        low, high = list(self.action_low), list(self.action_high)
        if len(low) == len(high) or 1 in (len(low), len(high)):
            ordered = bool((np.asarray(low) < np.asarray(high)).all())
            check(ordered, "action_low", low, f"below action_high={high}")

    def limits(self, actions: int) -> dict[str, list[float]]:
        """Keyword arguments of `Space` for a number of actions.

        Raises:
            InputError: limits with another length.
        """
        read = {}
        for name in ("action_low", "action_high"):
            value = list(getattr(self, name))
            check(len(value) in (1, actions), name, value, f"1 or {actions} numbers")
            read[name] = value * actions if len(value) == 1 else value
        return read

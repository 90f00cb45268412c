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
        None, "gymnasium's id of the task to be evaluated in; null evaluates nothing"
    )
    references: Annotated[str, OneOf(*REFERENCES)] = key(
        "d4rl", "references of the score's 0 and 100: `d4rl`'s, or `tfzoo`'s own for its v5 tasks"
    )
    algorithm: Annotated[str, OneOf(*ALGORITHMS)] = key("uwac", "`uwac`, `bear` or `bc`")
    agent: AgentSettings = key(AgentSettings(), "see `AgentSettings`")
    steps_per_epoch: Count = key(1000, "gradient steps between two evaluations")
    normalise: bool = key(False, "observations by the data's mean and standard deviation")
    action_low: Annotated[list[float], Len(1)] = key(
        [-1.0], "the least action, one number or one for each of its dimensions"
    )
    action_high: Annotated[list[float], Len(1)] = key([1.0], "the greatest")
    clip_actions: bool = key(
        False,
        "cut the data's actions to the limits, as environments do with what a policy gave "
        "them; otherwise one outside them is an error.",
    )
    evaluate_every: Count = key(1, "epochs between two evaluations; the last is always evaluated")
    evaluation_episodes: Count = key(20, "episodes of one evaluation, side by side")
    parallel: bool = key(False, "evaluate each episode in a process of its own")

    def __post_init__(self) -> None:
        super().__post_init__()

        low, high = list(self.action_low), list(self.action_high)
        if len(low) == len(high) or 1 in (len(low), len(high)):
            ordered = bool((np.asarray(low) < np.asarray(high)).all())
            check(ordered, "action_low", low, f"below action_high={high}")

    def limits(self, actions: int) -> dict[str, list[float]]:
        """Keywords of `Space` for so many actions.

        Raises:
            InputError: limits of another length.
        """
        read = {}
        for name in ("action_low", "action_high"):
            value = list(getattr(self, name))
            check(len(value) in (1, actions), name, value, f"1 or {actions} numbers")
            read[name] = value * actions if len(value) == 1 else value
        return read

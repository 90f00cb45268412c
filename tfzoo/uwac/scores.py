"""Normalised scores: 0 is a random policy's return, 100 the expert's."""

from __future__ import annotations

from tfzoo.data.control import PENDULUM, POINT_MASS

REFERENCES: dict[str, tuple[float, float, str]] = {
    "HalfCheetah": (-280.178953, 12135.0, "D4RL"),
    "Hopper": (-20.272305, 3234.3, "D4RL"),
    "Walker2d": (1.629008, 4592.3, "D4RL"),
    "AdroitHandPen": (96.262799, 3076.8331, "D4RL"),
    "AdroitHandHammer": (-274.856578, 12794.1348, "D4RL"),
    "AdroitHandDoor": (-56.512833, 2880.5693, "D4RL"),
    "AdroitHandRelocate": (-6.425911, 4233.8778, "D4RL"),
    "tfzoo/PointMass": (POINT_MASS.random_return, POINT_MASS.expert_return, "tfzoo"),
    "tfzoo/Pendulum": (PENDULUM.random_return, PENDULUM.expert_return, "tfzoo"),
}
"""(random return, expert return, source) by the task without its version. D4RL's are of its own
environments, which are older than gymnasium's v5: scores there are a scale, not D4RL's scores."""


def normalised(environment: str, value: float) -> float | None:
    """100 (value - random) / (expert - random), or None for a task without references."""
    found = REFERENCES.get(environment.rsplit("-v", 1)[0])
    if found is None:
        return None
    random, expert, _ = found
    return 100.0 * (value - random) / (expert - random)

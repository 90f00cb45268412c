"""Normalised scores of returns: 0 for a random policy, 100 for an expert."""

from __future__ import annotations

from tfzoo.config import choices
from tfzoo.data.control.tasks import PENDULUM, POINT_MASS

_EMBEDDED = {
    "tfzoo/PointMass": (POINT_MASS.random_return, POINT_MASS.expert_return),
    "tfzoo/Pendulum": (PENDULUM.random_return, PENDULUM.expert_return),
}

REFERENCES: dict[str, dict[str, tuple[float, float]]] = {
    "d4rl": _EMBEDDED
    | {
        "HalfCheetah": (-280.178953, 12135.0),
        "Hopper": (-20.272305, 3234.3),
        "Walker2d": (1.629008, 4592.3),
        "AdroitHandPen": (96.262799, 3076.8331),
        "AdroitHandHammer": (-274.856578, 12794.1348),
        "AdroitHandDoor": (-56.512833, 2880.5693),
        "AdroitHandRelocate": (-6.425911, 4233.8778),
    },
    "tfzoo": _EMBEDDED | {"HalfCheetah": (-277.0, 6361.0), "Hopper": (16.8, 2933.0)},
}
"""(random return, expert return) by source, then by the task without its version.

D4RL's are for its own environments, which are older than gymnasium's v5: scores with them only give
a scale and are not comparable with D4RL's. tfzoo's own are for v5: uniform actions over 100
episodes, and the mean action of the soft actor-critic behind `tfzoo_mujoco`'s expert data, over
20."""


def normalised(environment: str, value: float, references: str = "d4rl") -> float | None:
    """100 (value - random) / (expert - random), or None for a task without references.

    Args:
        environment: gymnasium's id.
        value: a return.
        references: `d4rl` or `tfzoo`, see `REFERENCES`.

    Raises:
        InputError: unknown references.
    """
    choices("references", references, list(REFERENCES))
    limits = REFERENCES[references].get(environment.rsplit("-v", 1)[0])
    if limits is None:
        return None
    random, expert = limits
    return 100.0 * (value - random) / (expert - random)

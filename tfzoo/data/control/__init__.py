"""Recorded control: tasks, behaviours, episodes, transitions."""

from tfzoo.data.control.tasks import (
    MIXTURES,
    PENDULUM,
    POINT_MASS,
    TASKS,
    ControlTask,
    collect,
    rollout,
)

__all__ = ["MIXTURES", "PENDULUM", "POINT_MASS", "TASKS", "ControlTask", "collect", "rollout"]

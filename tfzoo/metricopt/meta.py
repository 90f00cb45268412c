"""Meta-learning of the value function across tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops

from tfzoo.config import check
from tfzoo.metricopt.value import Observations, ValueFunction, renew


def meta_train(
    value: ValueFunction,
    tasks: Sequence[Observations],
    rounds: int = 50,
    inner_steps: int = 20,
    epsilon: float = 0.2,
    seed: int = 0,
) -> ValueFunction:
    """Trains a value function as an initialisation for new tasks.

    Each round takes every task in turn: from the weights w, `inner_steps` of Adam on the task's
    observations give w_j, then w += epsilon (w_j - w) (Reptile, arXiv:1803.02999). The paper
    meta-trains "from different finetuning trajectories"; doing so in this way is our reading. Costs
    are standardised within each task, parameters over all tasks.

    Args:
        value: modified in place and returned.
        tasks: each task's observations, all with the same D (`MetricOpt.observations()`).
        rounds: passes over the tasks.
        inner_steps: minibatches per task.
        epsilon: outer step.
        seed: seed of the minibatches.

    Raises:
        InputError: no tasks, different dimensions, or a setting out of range.
    """
    check(len(tasks) > 0, "tasks", [], "at least one task's observations")
    for task in tasks:
        check(task.phi.shape[1] == value.dim, "tasks", list(task.phi.shape), f"[N, {value.dim}]")
    check(0 < epsilon <= 1, "epsilon", epsilon, "above 0 and up to 1")
    check(rounds >= 1, "rounds", rounds, "at least 1")
    scaled = [_standardised(task) for task in tasks]
    joined = [np.concatenate([getattr(t, n) for t in scaled]) for n in ("phi", "cost", "variance")]
    value.fit_observations(Observations(*joined), 0, seed)  # sets the standardisation and the box
    trained = value.trainable_variables
    for round_ in range(rounds):
        for j, task in enumerate(scaled):
            start = [ops.convert_to_numpy(v) for v in trained]
            renew(value.optimizer)
            value.fit_observations(task, inner_steps, seed + 1000 * round_ + j)
            for variable, old in zip(trained, start, strict=True):
                variable.assign(old + epsilon * (ops.convert_to_numpy(variable) - old))
    return value


def _standardised(task: Observations) -> Observations:
    scale = max(float(np.std(task.cost)), 1e-6)
    cost = (task.cost - np.mean(task.cost)) / scale
    return Observations(task.phi, cost, task.variance / scale**2)

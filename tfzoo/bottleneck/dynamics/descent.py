"""Gradient descent on any of the simulators, with the step size from the monitored spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.bottleneck.dynamics.sharpness import Problem, largest, random_probe, watch


@dataclass
class Descent:
    """The result of a simulation.

    Attributes:
        losses: before each step and after the last, [T + 1] or, with draws, [T + 1, ...].
        rates: learning rate of each step, [T].
        sharpness: by step, learning rate x curvature x lambda_max(Theta_F) / N where it was
            computed, before any reduction; gradient descent is unstable above 2.
        state: the final state.
        noted: results of `note`, by step.
    """

    losses: np.ndarray
    rates: np.ndarray
    sharpness: dict[int, float]
    state: Any
    noted: dict[int, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """The number of steps T."""
        return len(self.rates)

    def steps_to(self, level: float) -> int | None:
        """Steps until the (mean) loss first reaches `level`; None if it never does."""
        losses = self.losses.reshape(len(self.losses), -1).mean(1)
        below = np.flatnonzero(losses <= level)
        return int(below[0]) if len(below) else None


def descend(
    problem: Problem,
    steps: int,
    *,
    rate: float = 0.1,
    learning_rate: float | None = None,
    limit: float | None = 1.0,
    look_every: int = 2,
    until: float | None = None,
    note: Callable[[int, Any], Any] | None = None,
    note_every: int = 100,
    state: Any = None,
) -> Descent:
    """Runs explicit Euler steps, that is, gradient descent.

    Args:
        problem: the simulator.
        steps: maximum number of steps.
        rate: c in learning rate = c N / (curvature x lambda_max(Theta_F)) at the start.
        learning_rate: the learning rate itself; overrides `rate`.
        limit: the sharpness above which the learning rate is reduced (recorded in `rates`); None:
            the sharpness is not computed.
        look_every: steps between checks of the sharpness and the loss.
        until: stops at the first check with a mean loss of at most this.
        note: called with (step, state), at the start, at the end, and in between about every
            `note_every` steps; its results are collected.
        note_every: see `note`.
        state: state to continue from; default: the initial state.

    Raises:
        ValueError: a number is out of range.
        FloatingPointError: the loss became NaN or infinite.
    """
    for name, value in (("steps", steps), ("look_every", look_every), ("note_every", note_every)):
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")
    for name, given in (("rate", rate), ("learning_rate", learning_rate), ("limit", limit)):
        if given is not None and not 0 < given < float("inf"):
            raise ValueError(f"{name}={given}: must be above 0 and finite")
    state = problem.start() if state is None else state
    probe = random_probe(problem.outputs(state))
    if learning_rate is None:
        learning_rate = rate / (problem.loss.curvature * largest(problem, state))
    eta = tf.constant(learning_rate, probe.dtype)
    advance = (
        _in_python
        if getattr(problem, "growing", False)
        else tf.function(_in_graph, autograph=False)
    )
    look = tf.function(watch, autograph=False)
    losses, rates, sharpness, noted, done = [], [], {}, {}, 0
    if note:
        noted[0] = note(0, state)
    while done < steps:
        count = min(look_every, steps - done)
        state, seen = advance(problem, state, eta, tf.constant(count))
        _check_finite(seen, done, float(eta))
        losses.append(seen.numpy())
        rates.append(np.full(count, float(eta)))
        done += count
        if limit is not None:
            eta, probe, sharp = look(problem, state, probe, eta, limit)
            sharpness[done] = float(sharp)
        ended = done == steps or (until is not None and losses[-1][-1].mean() <= until)
        if note and (ended or done // note_every > (done - count) // note_every):
            noted[done] = note(done, state)
        if ended:
            break
    last = problem.loss.value(problem.outputs(state), problem.y)
    _check_finite(last, done, float(eta))
    losses.append(last.numpy()[None])
    return Descent(np.concatenate(losses), np.concatenate(rates), sharpness, state, noted)


def _in_graph(
    problem: Problem, state: Any, eta: tf.Tensor, count: tf.Tensor
) -> tuple[Any, tf.Tensor]:
    """Runs `count` steps in a compiled loop; returns the last state and each step's first loss."""
    losses = tf.TensorArray(eta.dtype, count)

    def body(i: tf.Tensor, state: Any, losses: tf.TensorArray) -> tuple:
        state, outputs = problem.step(state, eta)
        return i + 1, state, losses.write(i, problem.loss.value(outputs, problem.y))

    _, state, losses = tf.while_loop(lambda i, *_: i < count, body, (0, state, losses))
    return state, losses.stack()


def _in_python(problem: Problem, state: Any, eta: tf.Tensor, count: tf.Tensor) -> tuple:
    losses = []
    for _ in range(int(count)):
        state, outputs = problem.step(state, eta)
        losses.append(problem.loss.value(outputs, problem.y))
    return state, tf.stack(losses)


def _check_finite(losses: tf.Tensor, step: int, rate: float) -> None:
    if not bool(tf.reduce_all(tf.math.is_finite(losses))):
        raise FloatingPointError(
            f"the loss became NaN or infinite after step {step}, at learning rate {rate:.4g}; "
            "use a smaller rate, or a limit of at most 1"
        )

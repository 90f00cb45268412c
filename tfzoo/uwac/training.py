"""The loop of gradient steps: many per graph call, with checkpoints, logs and evaluations."""

from __future__ import annotations

import functools
import math
import sys
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfzoo.data import TrainStream, Transitions
from tfzoo.training.callbacks import TrainingDiverged
from tfzoo.training.run import Run
from tfzoo.typing import Tensor
from tfzoo.uwac import extras
from tfzoo.uwac.config import OfflineConfig
from tfzoo.uwac.evaluation import Evaluation
from tfzoo.uwac.model import ActorCritic

CHUNK = 50
"""Steps per call of the graph; signals are checked between calls."""
LOW_WEIGHT = 0.1
"""A mean weight below this means that hardly anything is learnt."""


def make_agent(model: ActorCritic) -> Any:
    """The TF-Agents agent for a model's algorithm.

    Raises:
        InputError: tf-agents is not installed.
    """
    agents = extras.load("tfzoo.uwac.agent")
    time_step_spec, action_spec = agents.specs_of(model)
    return agents.AGENTS[model.algorithm](time_step_spec, action_spec, model)


class Learner:
    """Runs an agent over a stream of transition batches.

    Args:
        agent: an agent from `make_agent`.
        batches: dicts of `Transitions`' arrays, [B, ...].
        jit_compile: whether to compile a step with XLA.
    """

    def __init__(self, agent: Any, batches: tf.data.Dataset, jit_compile: bool = False):
        self.agent, self._iterator = agent, iter(batches)
        as_experience = extras.load("tfzoo.uwac.agent").as_experience

        @tf.function(autograph=False, jit_compile=jit_compile)
        def one(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return scalars(agent._train(as_experience(batch, agent)))

        @tf.function
        def many(iterator: Any, steps: Any) -> Any:
            # the sum over the steps, and the largest target of all
            total = one(next(iterator))
            for _ in tf.range(steps - 1):
                now = one(next(iterator))
                total = {
                    k: tf.maximum(v, now[k]) if k == "target_max" else v + now[k]
                    for k, v in total.items()
                }
            return total

        self._many = many

    def steps(self, count: int) -> dict[str, float]:
        """Makes gradient steps; returns sums of their scalars (`target_max`: the maximum)."""
        metrics = self._many(self._iterator, tf.constant(count))
        return {name: float(value) for name, value in metrics.items()}


def scalars(info: Any) -> dict[str, Tensor]:
    """Loss and scalars of a TF-Agents `LossInfo`."""
    extra = info.extra._asdict() if hasattr(info.extra, "_asdict") else {}
    numbers = {k: v for k, v in extra.items() if getattr(v, "shape", None) == ()}
    return {"loss": info.loss} | numbers


def train(
    model: ActorCritic, stream: TrainStream, transitions: Transitions, run: Run[OfflineConfig]
) -> None:
    """Trains a model up to the end of the run's config, from the run's current position.

    Args:
        model: the model to train.
        stream: stream of transition batches.
        transitions: transitions from which the batches are drawn; their rewards bound the true
            values.
        run: the current run, for checkpoints and log.

    Raises:
        TrainingInterrupted: on SIGINT or SIGTERM; the state is saved.
        TrainingDiverged: a loss became NaN or infinite.
    """
    config, agent = run.config, make_agent(model)
    parts = [model, *(optimizer for optimizer, _ in agent.optimizers.values())]
    evaluation = None
    if config.environment:
        evaluation = Evaluation(
            model,
            config.environment,
            config.evaluation_episodes,
            config.parallel,
            config.references,
        )
    position = run.restore(*parts)
    step, sums = position.get("step", 0), position.get("sums", {})
    agent.train_step_counter.assign(step)
    per_epoch, total = config.steps_per_epoch, config.epochs * config.steps_per_epoch
    bounds = reachable(transitions, config.agent.gamma)
    learner = Learner(agent, stream.from_step(step), config.jit_compile)
    board = tf.summary.create_file_writer(str(run.directory / "tensorboard"))
    bar = keras.utils.Progbar(total) if sys.stderr.isatty() else None
    told: set[str] = set()  # each kind is reported once
    if step:
        print(f"resuming after step {step} of {total}", file=sys.stderr)
    while step < total:
        ends = (CHUNK, per_epoch, config.save_every)
        count = min(every - step % every for every in ends)
        metrics = learner.steps(count)
        if not all(map(math.isfinite, metrics.values())):
            raise TrainingDiverged(f"step {step + count}: losses {metrics}; no later state is kept")
        sums = add(sums, metrics)
        step += count
        done = step % per_epoch == 0
        if done:
            row = {"epoch": step // per_epoch, "step": step}
            row |= {k: v if k == "target_max" else v / per_epoch for k, v in sums.items()}
            sums, last = {}, step == total
            if evaluation and (last or row["epoch"] % config.evaluate_every == 0):
                row |= evaluation.metrics()
            run.log.add(row)
            report(row, config.epochs, board, bar)
            for kind, what in complaints(row, bounds, model).items():
                if kind not in told:
                    warnings.warn(f"epoch {row['epoch']}: {what}", stacklevel=2)
                told.add(kind)
        save = functools.partial(run.checkpoint, step, *parts, sums=sums)
        run.after_step(step, total, done or step % config.save_every == 0, save)


def add(sums: dict[str, float], metrics: dict[str, float]) -> dict[str, float]:
    """Adds the sums of further steps; for `target_max`, takes the maximum."""
    if not sums:
        return metrics
    return {k: max(sums[k], v) if k == "target_max" else sums[k] + v for k, v in metrics.items()}


def reachable(data: Transitions, gamma: float) -> tuple[float, float]:
    """Bounds of any true value: the extreme rewards forever; with 0, where networks start."""
    low, high = min(float(data.reward.min()), 0.0), max(float(data.reward.max()), 0.0)
    return low / (1 - gamma), high / (1 - gamma)


def write(board: Any, row: dict[str, float]) -> None:
    """Writes a row's scalars to a TensorBoard writer."""
    with board.as_default(step=row["step"]):
        for name, value in row.items():
            if name not in ("epoch", "step"):
                tf.summary.scalar(name, value)


def report(row: dict[str, float], epochs: int, board: Any, bar: Any) -> None:
    """Writes to TensorBoard, and prints a line or updates the progress bar."""
    write(board, row)
    shown = {k: v for k, v in row.items() if k not in ("epoch", "step")}
    if bar:
        bar.update(row["step"], list(shown.items()))
    else:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        print(f"epoch {row['epoch']}/{epochs}  {numbers}", file=sys.stderr, flush=True)


def complaints(
    row: dict[str, float], bounds: tuple[float, float], model: ActorCritic
) -> dict[str, str]:
    """Faults of an epoch by kind: unreachable values, or weights that stop learning."""
    low, high = bounds
    lines = {}
    if row.get("target_max", high) > high + 1e-6 * max(1.0, abs(high)):
        lines["above"] = (
            f"the largest target is {row['target_max']:.4g}, above {high:.4g}, the most that any "
            "policy can reach: values are overestimated"
        )
    if row.get("q", low) < low:
        lines["below"] = (
            f"the mean Q is {row['q']:.4g}, below {low:.4g}, the least that any policy can reach: "
            "values diverge"
        )
    if model.algorithm == "uwac" and row["weight"] < LOW_WEIGHT:
        lines["weight"] = (
            f"the mean weight is {row['weight']:.3g}, critics hardly learn; a smaller agent.beta "
            "or spectral_norm helps"
        )
    return lines


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Summary of a log: the highest return and score as `best_...`, the largest target of all
    epochs as `target_max`, and the last epoch's means `q`, `weight`, `mmd` and `alpha`."""
    metrics = {}
    for name, key in (("return", "best_return"), ("score", "best_score")):
        values = [row[name] for row in rows if name in row]
        if values:
            metrics[key] = float(np.max(values))
    if "target_max" in rows[-1]:
        metrics["target_max"] = float(np.max([row["target_max"] for row in rows]))
        metrics |= {name: rows[-1][name] for name in ("q", "weight", "mmd", "alpha")}
    return metrics

"""Training of the recipes: one model with the callback, or several children."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from tfzoo import metrics
from tfzoo.ala.alignment import Alignment
from tfzoo.ala.callback import AdaptiveLossAlignment
from tfzoo.ala.children import Children
from tfzoo.ala.config import AlignedClassificationConfig, AlignedRetrievalConfig
from tfzoo.ala.controller import LossController
from tfzoo.ala.learning import Schedule, SharedLearning
from tfzoo.ala.losses import effective_number
from tfzoo.ala.parametric import ParametricLoss
from tfzoo.data import Datasets, Info
from tfzoo.errors import InputError
from tfzoo.files import replacing
from tfzoo.metrics.held_out import HeldOut
from tfzoo.training.callbacks import TrainingDiverged
from tfzoo.training.run import Run
from tfzoo.typing import Tensor

Aligned = TypeVar("Aligned", bound=AlignedClassificationConfig | AlignedRetrievalConfig)


def one_device(config: AlignedClassificationConfig | AlignedRetrievalConfig) -> str:
    """Why several children must have `distribute=none`; empty for one child."""
    count = config.ala.children
    if count == 1:
        return ""
    return (
        f"since ala.children={count} share one device; ala.children=1 can be distributed, and "
        "tfzoo.ala.Children takes a strategy"
    )


def compiled(model: keras.Model, loss: ParametricLoss, config: Any, info: Info) -> keras.Model:
    """The model, with its loss and its optimizer."""
    optimizer = config.optimizer.make(config.epochs * info.steps_per_epoch)
    model.compile(optimizer, loss, jit_compile=config.jit_compile)
    return model


def train(
    model: keras.Model, datasets: Datasets, run: Run[Aligned], metric: metrics.BlackBoxMetric
) -> None:
    """Trains a compiled model while a controller adapts its loss; writes `controller.keras`.

    Args:
        model: a model compiled with a `ParametricLoss`.
        datasets: its data; the metric is evaluated on the validation split.
        run: the current run.
        metric: the metric, evaluated on validation batches.

    Raises:
        InputError: a training too short for one action.
        TrainingInterrupted: on SIGINT or SIGTERM; the state is saved.
        TrainingDiverged: a loss is NaN or infinite.
    """
    config = run.config
    settings, controller = config.ala, config.ala.make_controller(config.seed)
    steps = config.epochs * datasets.train.steps_per_epoch
    window = settings.warmup_steps + settings.steps_per_action
    if steps < window:
        raise InputError(
            f"epochs={config.epochs}: {steps} steps, must be at least {window}: ala.warmup_steps "
            "and one window of ala.steps_per_action"
        )
    if settings.effective:
        counts = _counted(datasets)
        model.loss.counts.assign(counts)
        model.loss.phi.assign(effective_number(counts, settings.effective))
    if settings.children > 1:
        _children(model, datasets, run, controller, metric, steps)
    else:
        callback = AdaptiveLossAlignment(
            controller,
            datasets.validation,
            metric,
            steps_per_action=settings.steps_per_action,
            evaluations=settings.evaluations,
            warmup_steps=settings.warmup_steps,
            learn=settings.learn,
            total_steps=steps,
        ).bind(model.loss, steps)
        run.fit(model, datasets, [callback], validate=False, state=[callback])
        alignment = callback.alignment
        assert alignment is not None  # created by `bind`
        model.loss.phi.assign(alignment.phi[0])
    if run.chief:
        with replacing(run.directory / "controller.keras") as aside:
            controller.save(aside)


def _counted(datasets: Datasets) -> np.ndarray:
    """Training examples of each class [C] in one epoch, from one-hot labels."""
    epoch = datasets.train.from_step(0).take(datasets.train.steps_per_epoch)
    return np.sum([np.asarray(y).sum(0) for _, y in epoch], 0)


def _children(
    model: keras.Model,
    datasets: Datasets,
    run: Run[Aligned],
    controller: LossController,
    metric: metrics.BlackBoxMetric,
    steps: int,
) -> None:
    """Trains several models like `model`, which finally gets the weights of the best."""
    config, settings = run.config, run.config.ala
    actions = (steps - settings.warmup_steps) // settings.steps_per_action
    schedule = Schedule(
        actions, settings.steps_per_action, settings.evaluations, settings.warmup_steps
    )

    def make() -> keras.Model:
        child = keras.models.clone_model(model)
        if settings.common:
            child.set_weights(model.get_weights())
        return child

    children = Children(
        make,
        model.loss,
        config.optimizer.make(steps),
        settings.children,
        settings.mode,
        jit_compile=config.jit_compile,
    )
    alignment = Alignment(
        model.loss, controller, settings.children, actions, settings.learn, settings.anchor
    )
    held = HeldOut(datasets.validation)
    learning = SharedLearning(children, alignment, held, metric, schedule)
    step = run.restore(learning).get("step", 0)

    def after(step: int, losses: Tensor) -> None:
        run.after_step(
            step, schedule.total, step % config.save_every == 0, lambda: save(step, losses)
        )

    def save(step: int, losses: Tensor) -> None:
        losses = np.asarray(losses)
        if not np.isfinite(losses).all():
            raise TrainingDiverged(f"step {step}: the children's losses are {losses.tolist()}")
        row = {"step": step, "loss": float(losses.mean())}
        if learning.values:
            row[f"val_{metric.name}"] = float(learning.values[-1][1].mean())
        run.log.add(row)
        run.checkpoint(step, learning)

    if settings.common:

        def repeated(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            return tuple(ops.concatenate([a] * settings.children) for a in (x, y))

        batches = datasets.train.from_step(step).map(repeated)
    else:  # consecutive batches of the stream
        stream = datasets.train.from_step(step * settings.children)
        batches = stream.batch(settings.children).map(_joined)
    learning.fit(batches, step, after)
    best = learning.best()
    children.write(best, model)
    model.loss.phi.assign(alignment.phi[best])


def _joined(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    join = lambda a: ops.reshape(a, (-1, *ops.shape(a)[2:]))  # noqa: E731
    return join(x), join(y)

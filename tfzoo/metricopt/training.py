"""Training of the recipes: the base model, then its adapters, which are finally folded in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import keras

from tfzoo.data import Datasets
from tfzoo.files import replacing
from tfzoo.metricopt import folding
from tfzoo.metricopt.callback import MetricOpt
from tfzoo.metricopt.config import TunedClassificationConfig, TunedRetrievalConfig
from tfzoo.metricopt.model import attach_adapters
from tfzoo.metricopt.optimizer import MetricOptimizer
from tfzoo.optim import make_adamw
from tfzoo.training.run import Run
from tfzoo.typing import Tensor

ONE_DEVICE = "since the value function observes one model, on one device"
"""Why `distribute` must be none."""

Tuned = TypeVar("Tuned", bound=TunedClassificationConfig | TunedRetrievalConfig)


def train(
    model: keras.Model,
    base: keras.Model,
    datasets: Datasets,
    run: Run[Tuned],
    labels: Callable[[Tensor], Tensor],
    validate: bool = True,
) -> None:
    """Trains `base`, writes `base.keras`, fine-tunes adapters for the metric and folds them in.

    Args:
        model: the run's final model; shares its layers with `base`.
        base: the compiled model to train: `model` itself, or one with more outputs.
        datasets: training stream and validation batches of `base`.
        run: the current run.
        labels: converts a batch's labels from the loss's form to the metric's.
        validate: see `Run.fit`.

    Raises:
        InputError: an adapter's layer does not exist, or cannot absorb it.
    """
    config = run.config
    settings = config.finetune
    adapted = attach_adapters(base, settings.layers, settings.kind, seed=config.seed)
    folding.check(adapted)  # fails early, not after an hour of training
    run.phase("base", config.epochs).fit(base, datasets, validate=validate)
    if run.chief:
        with replacing(run.directory / "base.keras") as aside:
            model.save(aside)

    optimizer = MetricOptimizer(_inner(settings), settings.weight)
    adapted.compile(optimizer, base.loss, jit_compile=config.jit_compile)
    metric = config.metric.make()
    metric.function = _on_outputs(metric.function)
    held = [(x, labels(y)) for x, y in datasets.validation]
    callback = MetricOpt(metric, held, seed=config.seed, **settings.callback_settings())
    stream = replace(datasets.train, steps_per_epoch=settings.total)
    phase = run.phase("finetune", 1)
    phase.fit(adapted, replace(datasets, train=stream), [callback], validate=False)
    optimizer.restore_best()  # also if a finished phase was only restored
    adapted.fold(inplace=True)


def compile_base(base: keras.Model, loss: Any, config: Any, steps: int) -> keras.Model:
    """`base`, compiled with the config's optimizer for an epoch of `steps` steps."""
    optimizer = make_adamw(config.optimizer, config.epochs * steps)
    base.compile(optimizer, loss, jit_compile=config.jit_compile)
    return base


def _inner(settings: Any) -> keras.optimizers.Optimizer:
    rate = settings.learning_rate
    if settings.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    return keras.optimizers.SGD(rate, momentum=0.9)


def _on_outputs(function: Callable[..., float]) -> Callable[..., float]:
    """A metric of the embedding, for a model with more outputs."""

    def call(y_true: Tensor, y_pred: Tensor, **options: Any) -> float:
        values = y_pred["embedding"] if isinstance(y_pred, dict) else y_pred
        return function(y_true, values, **options)

    return call

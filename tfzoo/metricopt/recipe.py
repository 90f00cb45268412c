"""MetricOpt's tasks on labelled examples: images and tables."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tfzoo import data
from tfzoo.metric_recipes.classification import Classification, Images, Table
from tfzoo.metricopt import training
from tfzoo.metricopt.config import TunedClassificationConfig
from tfzoo.registry import task
from tfzoo.runner import Run


class _Tuned(Classification):
    """A plain Keras model, whose adapters are then tuned for the metric."""

    config_class = TunedClassificationConfig

    def build(self, config: TunedClassificationConfig, info: dict[str, Any]) -> keras.Model:
        """The network, compiled."""
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        steps = info["steps_per_epoch"]
        return training.compile_base(self.network(config, info), loss, config, steps)

    def train(self, model: keras.Model, datasets: data.Datasets, run: Run) -> None:
        """The base model, then its adapters for the metric."""
        training.train(model, model, datasets, run, lambda y: np.argmax(y, -1))


@task("metricopt.images")
class ImageMetric(_Tuned, Images):
    """Small labelled images."""


@task("metricopt.table")
class TableMetric(_Tuned, Table):
    """Rows of numbers."""

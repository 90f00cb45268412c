"""Optimizers with a separate learning rate for the pre-trained part."""

from __future__ import annotations

from typing import Any

import keras

from tfzoo.optim import AdamW, MomentumSGD, OptimizerConfig, make_adamw
from tfzoo.registry import serializable
from tfzoo.skipclip.config import DescentConfig
from tfzoo.typing import Tensor


@serializable("skipclip")
class TrunkSGD(MomentumSGD):
    """`MomentumSGD` whose steps are multiplied by `trunk_factor`, except on a new layer.

    Args:
        learning_rate: learning rate of the new layer.
        momentum: momentum of the buffer.
        coupled_decay: as in `MomentumSGD`.
        trunk_factor: see above.
        new: name of the new layer.
        **keywords: those of `keras.optimizers.SGD`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01,
        momentum: float = 0.9,
        coupled_decay: float = 0.0,
        trunk_factor: float = 0.1,
        new: str = "head",
        **keywords: Any,
    ):
        keywords.setdefault("name", "trunk_sgd")
        super().__init__(learning_rate, momentum, coupled_decay, **keywords)
        self.trunk_factor, self.new = trunk_factor, new

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Updates one variable."""
        # on TensorFlow, Keras passes the backend's variable, `head/kernel:0`
        if self.new not in getattr(variable, "path", variable.name).split("/"):
            learning_rate = learning_rate * self.trunk_factor
        super().update_step(gradient, variable, learning_rate)


def make_optimizer(
    config: DescentConfig, steps_per_epoch: int, epochs: int
) -> keras.optimizers.Optimizer:
    """The optimizer of a config for a given number of training steps."""
    schedules, steps = keras.optimizers.schedules, steps_per_epoch * epochs
    rate: float | keras.optimizers.schedules.LearningRateSchedule = config.learning_rate
    if config.method == "adam" and config.form == "cosine":
        settings = OptimizerConfig(config.learning_rate, config.weight_decay, config.warmup_steps)
        return make_adamw(settings, steps)
    if config.form == "cosine":
        warm = config.warmup_steps
        target = {"warmup_target": rate, "warmup_steps": warm} if warm else {}
        rate = schedules.CosineDecay(0.0 if warm else rate, max(steps - warm, 1), **target)
    elif config.form == "steps" and config.drop_epochs:
        rates = [rate * config.drop_factor**i for i in range(len(config.drop_epochs) + 1)]
        # a boundary belongs to the interval before it
        ends = [epoch * steps_per_epoch - 1 for epoch in config.drop_epochs]
        rate = schedules.PiecewiseConstantDecay(ends, rates)
    if config.method == "adam":
        return AdamW(rate, config.weight_decay)
    return TrunkSGD(rate, config.momentum, config.weight_decay, config.trunk_factor)

"""Optimizers and schedules shared by recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import keras
from annotated_types import Gt, Lt

from tfzoo.config import (
    Config,
    Factor,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    Rising,
    Share,
    key,
)
from tfzoo.registry import serializable
from tfzoo.typing import Tensor

# Keras passes a bare name, or on TensorFlow "layer/kernel:0"
KERNELS_ONLY = (r"^(?!(.*/)?kernel(:\d+)?$)",)
"""Excludes everything but linear kernels from weight decay: biases, norms, embeddings,
positions."""


@serializable("optim")
class AdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` whose exclusions from weight decay survive saving.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: decoupled decay per step, multiplied by the learning rate.
        exclude: regular expressions; variables whose path matches one are not decayed.
        **keywords: those of `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        weight_decay: float = 0.0,
        exclude: tuple[str, ...] = KERNELS_ONLY,
        **keywords: Any,
    ):
        keywords.setdefault("name", "adamw")
        super().__init__(learning_rate, weight_decay=weight_decay, **keywords)
        self.exclude = tuple(exclude)
        self.exclude_from_weight_decay(var_names=list(self.exclude))


@serializable("optim")
class MomentumSGD(keras.optimizers.SGD):
    """SGD with momentum and L2 decay inside the gradient, as in PyTorch.

    The buffer is b = momentum b + (g + weight_decay w) and the step -learning_rate b (or, with
    Nesterov momentum, -learning_rate (g + weight_decay w + momentum b)). Keras's own `weight_decay`
    is
    decoupled: the momentum does not accumulate it, so the same value decays ten times less at
        momentum 0.9. All trainable variables decay, including biases and norms.

    Args:
        learning_rate: a number or a schedule.
        momentum: momentum of the buffer.
        coupled_decay: weight_decay.
        **keywords: those of `keras.optimizers.SGD`, but `weight_decay`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.1,
        momentum: float = 0.9,
        coupled_decay: float = 0.0,
        **keywords: Any,
    ):
        keywords.setdefault("name", "momentum_sgd")
        super().__init__(learning_rate, momentum, **keywords)
        self.coupled_decay = coupled_decay

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Updates one variable."""
        decay = keras.ops.cast(self.coupled_decay, variable.dtype)
        super().update_step(gradient + decay * variable, variable, learning_rate)


@dataclass(frozen=True)
class StepsConfig(Config):
    """The config group `optimizer`: momentum SGD whose learning rate drops in steps."""

    builds = ("tfzoo.optim:MomentumSGD",)

    learning_rate: Positive = key(0.1, "initial learning rate")
    drop_epochs: Rising = key([], "epochs after which the rate is multiplied by `drop_factor`")
    drop_factor: Factor = key(0.1, "factor of the drop")
    momentum: Fraction = key(0.9, "momentum of the gradients")
    weight_decay: NonNegative = key(0.0, "coupled L2 decay of all weights")


def make_momentum_sgd(config: StepsConfig, steps_per_epoch: int) -> MomentumSGD:
    """The optimizer of a config."""
    rate: float | keras.optimizers.schedules.LearningRateSchedule = config.learning_rate
    if config.drop_epochs:
        rates = [rate * config.drop_factor**i for i in range(len(config.drop_epochs) + 1)]
        # a boundary belongs to the interval before it
        ends = [epoch * steps_per_epoch - 1 for epoch in config.drop_epochs]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(ends, rates)
    return MomentumSGD(rate, config.momentum, config.weight_decay)


@dataclass(frozen=True)
class OptimizerConfig(Config):
    """The config group `optimizer`: AdamW with linear warm-up and cosine decay."""

    builds = ("tfzoo.optim:AdamW",)

    learning_rate: Annotated[float, Gt(0), Lt(10)] = key(
        1e-3, "peak rate, reached after the warm-up"
    )
    weight_decay: NonNegative = key(0.0, "weight decay, on linear kernels only")
    warmup_steps: Natural = key(0, "steps of linear warm-up from 0")
    final: Share = key(0.0, "final learning rate as a fraction of the peak")
    beta_2: Annotated[float, Gt(0), Lt(1)] = key(0.999, "beta_2 of Adam")
    clip_norm: Positive | None = key(None, "maximum global gradient norm; null: no clipping")


def make_adamw(config: OptimizerConfig, steps: int) -> AdamW:
    """The optimizer of a config for a given number of training steps."""
    decay_steps = max(steps - config.warmup_steps, 1)
    if config.warmup_steps:
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps,
            alpha=config.final,
            warmup_target=config.learning_rate,
            warmup_steps=config.warmup_steps,
        )
    else:
        schedule = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, decay_steps, alpha=config.final
        )
    return AdamW(
        schedule,
        weight_decay=config.weight_decay,
        beta_2=config.beta_2,
        global_clipnorm=config.clip_norm,
    )

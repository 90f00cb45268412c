"""Optimizers and schedules that recipes share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras

from tfzoo.config import check
from tfzoo.registry import serializable

# Keras hands over a bare name, or on TensorFlow "layer/kernel:0"
KERNELS_ONLY = (r"^(?!(.*/)?kernel(:\d+)?$)",)
"""Excludes from weight decay whatever is no linear kernel: biases, norms, embeddings, positions."""


@serializable("optim")
class AdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` that remembers, in saved files too, what it does not decay.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: decoupled decay, times the learning rate, each step.
        exclude: regular expressions; a variable whose path one of them finds is not decayed.
        **keywords: those of `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay: float = 0.0,
        exclude: tuple[str, ...] = KERNELS_ONLY,
        **keywords: Any,
    ):
        keywords.setdefault("name", "adamw")
        super().__init__(learning_rate, weight_decay=weight_decay, **keywords)
        self.exclude = tuple(exclude)
        self.exclude_from_weight_decay(var_names=list(self.exclude))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"exclude": list(self.exclude)}


@serializable("optim")
class MomentumSGD(keras.optimizers.SGD):
    """SGD with momentum and L2 decay inside the gradient, as PyTorch has it.

    The buffer is b = momentum b + (g + weight_decay w) and the step -learning_rate b (or, with
    Nesterov's, -learning_rate (g + weight_decay w + momentum b)). Keras's own `weight_decay` is
    decoupled: the momentum does not accumulate it, so that the same number decays ten times less
    at momentum 0.9. All trainable variables decay, biases and norms too.

    Args:
        learning_rate: a number or a schedule.
        momentum: of the buffer.
        coupled_decay: weight_decay.
        **keywords: those of `keras.optimizers.SGD`, but `weight_decay`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        momentum: float = 0.9,
        coupled_decay: float = 0.0,
        **keywords: Any,
    ):
        keywords.setdefault("name", "momentum_sgd")
        super().__init__(learning_rate, momentum, **keywords)
        self.coupled_decay = coupled_decay

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's step."""
        decay = keras.ops.cast(self.coupled_decay, variable.dtype)
        super().update_step(gradient + decay * variable, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"coupled_decay": self.coupled_decay}


@dataclass(frozen=True)
class StepsConfig:
    """The config's group `optimizer`: momentum SGD whose learning rate falls in steps.

    Attributes:
        learning_rate: the first.
        drop_epochs: epochs after which it is multiplied by `drop_factor`.
        drop_factor: see there.
        momentum: of the gradients.
        weight_decay: coupled L2 decay of all weights.
    """

    learning_rate: float = 0.1
    drop_epochs: list[int] = field(default_factory=list)
    drop_factor: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self):
        """Checks the ranges."""
        rate, drops = self.learning_rate, self.drop_epochs
        check(rate > 0, "optimizer.learning_rate", rate, "above 0")
        good = list(drops) == sorted(set(drops)) and all(e >= 1 for e in drops)
        check(good, "optimizer.drop_epochs", list(drops), "rising numbers from 1 up")
        factor, momentum = self.drop_factor, self.momentum
        check(0 < factor <= 1, "optimizer.drop_factor", factor, "above 0 and up to 1")
        check(0 <= momentum < 1, "optimizer.momentum", momentum, "from 0 to below 1")
        check(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "at least 0")


def make_momentum_sgd(config: StepsConfig, steps_per_epoch: int) -> MomentumSGD:
    """The optimizer of a config."""
    rate: Any = config.learning_rate
    if config.drop_epochs:
        rates = [rate * config.drop_factor**i for i in range(len(config.drop_epochs) + 1)]
        # a boundary belongs to the steps before it
        ends = [epoch * steps_per_epoch - 1 for epoch in config.drop_epochs]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(ends, rates)
    return MomentumSGD(rate, config.momentum, config.weight_decay)


@dataclass(frozen=True)
class OptimizerConfig:
    """The config's group `optimizer`: AdamW with linear warm-up and cosine decay.

    Attributes:
        learning_rate: the greatest, reached after the warm-up.
        weight_decay: on linear kernels only.
        warmup_steps: linear from 0.
        final: last learning rate as a share of the greatest.
        beta_2: of Adam.
        clip_norm: greatest global gradient norm; None for no clipping.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup_steps: int = 0
    final: float = 0.0
    beta_2: float = 0.999
    clip_norm: float | None = None

    def __post_init__(self):
        """Checks the ranges."""
        rate = self.learning_rate
        check(0 < rate < 10, "optimizer.learning_rate", rate, "above 0 and below 10")
        decay, warmup = self.weight_decay, self.warmup_steps
        check(decay >= 0, "optimizer.weight_decay", decay, "at least 0")
        check(warmup >= 0, "optimizer.warmup_steps", warmup, "at least 0")
        check(0 <= self.final <= 1, "optimizer.final", self.final, "from 0 to 1")
        check(0 < self.beta_2 < 1, "optimizer.beta_2", self.beta_2, "between 0 and 1")
        if self.clip_norm is not None:
            check(self.clip_norm > 0, "optimizer.clip_norm", self.clip_norm, "above 0, or null")


def make_adamw(config: OptimizerConfig, steps: int) -> AdamW:
    """The optimizer of a config for a training of so many steps."""
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

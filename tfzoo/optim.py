"""Optimizers and schedules that recipes share."""

from __future__ import annotations

from dataclasses import dataclass
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

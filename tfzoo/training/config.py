"""The keys that every recipe has."""

from __future__ import annotations

from dataclasses import dataclass

from tfzoo.config import MISSING, check, choices

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DISTRIBUTIONS = ("none", "mirrored", "multi_worker")


@dataclass(frozen=True)
class RunConfig:
    """The keys that every recipe has; a task's config adds its own.

    Attributes:
        task: registered task, e.g. `aft.classifier`.
        epochs: passes over the training stream.
        batch_size: examples a step, over all devices together.
        seed: fixes data order, initialisation, dropout and sampling.
        precision: Keras dtype policy.
        jit_compile: compile the training step with XLA.
        deterministic: bit-exact repetition on CPU, at some cost in speed.
        distribute: `none`, `mirrored` (all local devices) or `multi_worker` (by TF_CONFIG).
        save_every: steps between two checkpoints; one is also written at each epoch's end.
        steps_per_epoch: caps an epoch's length; None is one pass over the data.
    """

    task: str = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    seed: int = 0
    precision: str = "float32"
    jit_compile: bool = False
    deterministic: bool = True
    distribute: str = "none"
    save_every: int = 200
    steps_per_epoch: int | None = None

    def __post_init__(self):
        """Checks the ranges; a task's config calls `super().__post_init__()` first."""
        check(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        check(0 <= self.seed < 2**31, "seed", self.seed, "from 0 to 2**31 - 1")
        choices("precision", self.precision, PRECISIONS)
        choices("distribute", self.distribute, DISTRIBUTIONS)
        check(self.save_every >= 1, "save_every", self.save_every, "at least 1")
        if self.steps_per_epoch is not None:
            steps = self.steps_per_epoch
            check(steps >= 1, "steps_per_epoch", steps, "at least 1, or null")

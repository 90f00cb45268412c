"""The keys common to all recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from annotated_types import Ge, Le

from tfzoo.config import MISSING, Config, Count, OneOf, key

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
DISTRIBUTIONS = ("none", "mirrored", "multi_worker")


@dataclass(frozen=True)
class RunConfig(Config):
    """The keys common to all recipes; a task's config adds its own."""

    task: str = key(MISSING, "registered task, e.g. `aft.classifier`")
    epochs: Count = key(MISSING, "passes over the training stream")
    batch_size: Count = key(MISSING, "examples per step, over all devices together")
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = key(
        0, "determines data order, initialisation, dropout and sampling"
    )
    precision: Annotated[str, OneOf(*PRECISIONS)] = key("float32", "Keras dtype policy")
    jit_compile: bool = key(False, "whether to compile the training step with XLA")
    deterministic: bool = key(True, "bit-exact reproducibility on CPU, at some cost in speed")
    distribute: Annotated[str, OneOf(*DISTRIBUTIONS)] = key(
        "none", "`none`, `mirrored` (all local devices) or `multi_worker` (by TF_CONFIG)"
    )
    save_every: Count = key(
        200, "steps between checkpoints; one is also written at the end of each epoch"
    )
    steps_per_epoch: Count | None = key(
        None, "caps an epoch's length; null: one pass over the data"
    )


C = TypeVar("C", bound=RunConfig)
"""The config of a task."""

"""What a method provides so that the runner can train, evaluate and export it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tfzoo.config import MISSING, check, choices

if TYPE_CHECKING:
    import keras

    from tfzoo.data import Datasets
    from tfzoo.runner import Run
    from tfzoo.serving import Signature

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


class Recipe:
    """One task of a method: five functions and the config they read.

    Subclasses are registered by `@task("<method>.<task>")`; `configs/<method>/*.yaml` name the
    task in their key `task`.
    """

    config_class: ClassVar[type[RunConfig]] = RunConfig

    def data_info(self, config: Any) -> dict[str, Any]:
        """What `build` must know of the data, without preparing them (for `--dry-run`).

        Has at least `steps_per_epoch`, and the shapes and counts that the model depends on.
        """
        raise NotImplementedError

    def datasets(self, config: Any) -> Datasets:
        """Train, validation and test data; `Datasets.info` has the keys of `data_info`."""
        raise NotImplementedError

    def build(self, config: Any, info: dict[str, Any]) -> keras.Model:
        """The model, built and compiled."""
        raise NotImplementedError

    def train(self, model: keras.Model, datasets: Datasets, run: Run) -> None:
        """Trains `model`; by default one `fit` with the run's checkpoints, log and resume."""
        run.fit(model, datasets)

    def evaluate(self, model: keras.Model, datasets: Datasets) -> dict[str, float]:
        """Metrics on the test split, as plain numbers."""
        raise NotImplementedError

    def signatures(self, model: keras.Model) -> dict[str, Signature]:
        """What the exported SavedModel answers; `serving_default` must be among them."""
        raise NotImplementedError

"""What a method provides so that the runner can train, evaluate and export it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic

from tfzoo.training.config import C, RunConfig

if TYPE_CHECKING:
    import keras

    from tfzoo.data import Datasets
    from tfzoo.serving import Signature
    from tfzoo.training.run import Run


class Recipe(Generic[C]):
    """One task of a method: five functions and the config they read.

    Subclasses are registered by `@task("<method>.<task>")`; `configs/<method>/*.yaml` name the
    task in their key `task`.
    """

    config_class: ClassVar[type[RunConfig]] = RunConfig

    def data_info(self, config: C) -> dict[str, Any]:
        """What `build` must know of the data, without preparing them (for `--dry-run`).

        Has at least `steps_per_epoch`, and the shapes and counts that the model depends on.
        """
        raise NotImplementedError

    def datasets(self, config: C) -> Datasets:
        """Train, validation and test data; `Datasets.info` has the keys of `data_info`."""
        raise NotImplementedError

    def build(self, config: C, info: dict[str, Any]) -> keras.Model:
        """The model, built and compiled."""
        raise NotImplementedError

    def train(self, model: keras.Model, datasets: Datasets, run: Run[C]) -> None:
        """Trains `model`; by default one `fit` with the run's checkpoints, log and resume."""
        run.fit(model, datasets)

    def evaluate(self, model: keras.Model, datasets: Datasets) -> dict[str, float]:
        """Metrics on the test split, as plain numbers."""
        raise NotImplementedError

    def signatures(self, model: keras.Model) -> dict[str, Signature]:
        """What the exported SavedModel answers; `serving_default` must be among them."""
        raise NotImplementedError

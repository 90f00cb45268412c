"""What a method must provide so that the runner can train, evaluate and export it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from tfzoo.training.config import C, RunConfig

if TYPE_CHECKING:
    import keras
    import numpy as np

    from tfzoo.data import Datasets, Info
    from tfzoo.serving import Signature
    from tfzoo.training.run import Run


D = TypeVar("D", bound="Datasets")
"""The data of a task."""


class Recipe(Generic[C, D]):
    """One task of a method: its functions, the config they read and the data they pass on.

    Subclasses are registered by `@task("<method>.<task>")`; `configs/<method>/*.yaml` name the
    task in their key `task`.
    """

    config_class: ClassVar[type[RunConfig]] = RunConfig
    formats: ClassVar[tuple[str, ...]] = ()
    """Suffixes of the files that `save_answer` writes, e.g. `.obj`."""
    own_data: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The values of `data.name` for a user's own files at `data.path`, each with the keys to
    set for them: sizes, and what only the user knows. The site's table is generated from it."""

    def one_device(self, config: C) -> str:
        """Why a config must have `distribute=none`; empty if all values work."""
        return ""

    def data_info(self, config: C) -> Info:
        """Properties of the data that are known without a download (for `--dry-run`).

        Unknown ones are guessed, and named in `guesses`.

        Raises:
            InputError: the user's file is missing or insufficient.
        """
        raise NotImplementedError

    def datasets(self, config: C) -> D:
        """Train, validation and test data.

        Raises:
            InputError: the data are missing, corrupt, or insufficient for the config.
        """
        raise NotImplementedError

    def build(self, config: C, info: Info) -> keras.Model:
        """The model, built and compiled."""
        raise NotImplementedError

    def train(self, model: keras.Model, datasets: D, run: Run[C]) -> dict[str, float]:
        """Trains `model`; by default one `fit` with the run's checkpoints, log and resume.

        Returns:
            What only the training knows, e.g. its best evaluation, as plain numbers.
        """
        run.fit(model, datasets)
        return {}

    def evaluate(self, model: keras.Model, datasets: D, config: C) -> dict[str, float]:
        """Metrics of a trained model on the test split, as plain numbers."""
        raise NotImplementedError

    def signatures(self, model: keras.Model, info: Info | None = None) -> dict[str, Signature]:
        """The signatures of the exported SavedModel, including `serving_default`.

        Args:
            model: a trained model.
            info: properties of its training data, for ranges of inputs and names of classes.
        """
        raise NotImplementedError

    def save_answer(self, model: keras.Model, arrays: Mapping[str, np.ndarray], path: str) -> None:
        """Writes the model's output in one of `formats`, if there are any.

        Args:
            model: a trained model.
            arrays: the user's arrays, by name.
            path: output file with one of `formats` as suffix.

        Raises:
            InputError: the arrays are not suitable.
        """
        raise NotImplementedError

    def save_folder(self, model: keras.Model, folder: str, path: str) -> None:
        """The same for a folder of files that belong together, e.g. photographs and their cameras.

        Args:
            model: a trained model.
            folder: the user's folder.
            path: output file with one of `formats` as suffix.

        Raises:
            InputError: the folder is not suitable.
        """
        raise NotImplementedError

"""What a method provides so that the runner can train, evaluate and export it."""

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
    """The `data.name`s by which a user's own files at `data.path` are taken, each with the keys to
    be set for them: sizes, and what only the user knows. README's table is made of it."""

    def one_device(self, config: C) -> str:
        """Why a config must have `distribute=none`; empty where all values work."""
        return ""

    def data_info(self, config: C) -> Info:
        """What the data say of themselves without being downloaded (for `--dry-run`).

        What cannot be learnt so is guessed, and named in `guesses`.

        Raises:
            InputError: the user's file is missing or does not suffice.
        """
        raise NotImplementedError

    def datasets(self, config: C) -> D:
        """Train, validation and test data.

        Raises:
            InputError: the data are missing, broken, or do not suffice for the config.
        """
        raise NotImplementedError

    def build(self, config: C, info: Info) -> keras.Model:
        """The model, built and compiled."""
        raise NotImplementedError

    def train(self, model: keras.Model, datasets: D, run: Run[C]) -> dict[str, float]:
        """Trains `model`; by default one `fit` with the run's checkpoints, log and resume.

        Returns:
            What only the training knows, e.g. the best of its evaluations: plain numbers.
        """
        run.fit(model, datasets)
        return {}

    def evaluate(self, model: keras.Model, datasets: D, config: C) -> dict[str, float]:
        """Metrics of a trained model on the test split, as plain numbers."""
        raise NotImplementedError

    def signatures(self, model: keras.Model, info: Info | None = None) -> dict[str, Signature]:
        """What the exported SavedModel answers; `serving_default` must be among them.

        Args:
            model: trained.
            info: of the data that it was trained on, for ranges of inputs and names of classes.
        """
        raise NotImplementedError

    def save_answer(self, model: keras.Model, arrays: Mapping[str, np.ndarray], path: str) -> None:
        """Writes what the model answers in one of `formats`, where there are any.

        Args:
            model: trained.
            arrays: the user's, by name.
            path: whose suffix is one of `formats`.

        Raises:
            InputError: the arrays are not as needed.
        """
        raise NotImplementedError

    def save_folder(self, model: keras.Model, folder: str, path: str) -> None:
        """The same of a folder whose files belong together, e.g. photographs and their cameras.

        Args:
            model: trained.
            folder: the user's.
            path: whose suffix is one of `formats`.

        Raises:
            InputError: the folder is not as needed.
        """
        raise NotImplementedError

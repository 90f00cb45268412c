"""The base class of builder configs for a user's own data."""

from __future__ import annotations

import dataclasses

import tensorflow_datasets as tfds


@dataclasses.dataclass
class UserConfig(tfds.core.BuilderConfig):
    """A builder config for a user's file or folder.

    Attributes:
        path: the file or folder.
        on_error: see `tfzoo.data.DataConfig`.
        unread: names in the file that no reader uses.
    """

    path: str = ""
    on_error: str = "fail"
    unread: tuple[str, ...] = ()

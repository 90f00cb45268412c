"""What the builder configs of a user's own data share."""

from __future__ import annotations

import dataclasses

import tensorflow_datasets as tfds


@dataclasses.dataclass
class UserConfig(tfds.core.BuilderConfig):
    """A builder config of a user's file or folder.

    Attributes:
        path: of the file or folder.
        on_error: of `tfzoo.data.DataConfig`.
        unread: names of what the file holds and no reader takes.
    """

    path: str = ""
    on_error: str = "fail"
    unread: tuple[str, ...] = ()

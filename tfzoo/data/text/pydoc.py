"""`tfzoo_pydoc`: Python's own documentation topics, real text on every machine."""

from __future__ import annotations

import hashlib
import platform

import tensorflow_datasets as tfds
from typing_extensions import override

from tfzoo.data.config import DataConfig
from tfzoo.data.text.segments import TextBuilder
from tfzoo.errors import InputError


def topics() -> bytes:
    """All topics of `pydoc_data` in alphabetical order, separated by empty lines, as UTF-8.

    Raises:
        InputError: this Python was installed without them.
    """
    try:
        from pydoc_data.topics import topics as topic_texts
    except ImportError:
        raise InputError(
            "data.name='tfzoo_pydoc': this Python has no module pydoc_data; must be a full Python"
        ) from None
    return "\n".join(topic_texts[name] for name in sorted(topic_texts)).encode()


def source(config: DataConfig) -> tfds.core.BuilderConfig:
    """A builder config named after the Python version, on which the text depends."""
    del config
    sha256 = hashlib.sha256(topics()).hexdigest()
    return tfds.core.BuilderConfig(
        name=f"python{platform.python_version()}-{sha256[:8]}",
        description=f"pydoc_data of Python {platform.python_version()}, sha256 {sha256}",
    )


class TfzooPydoc(TextBuilder):
    """Python's documentation topics (`pydoc_data.topics`) as bytes, about half a megabyte.

    The text depends on the Python version (466 KB in 3.11): report the version with any result. It
    is in the builder config's name and, with the text's sha256, in the metadata.
    """

    name = "tfzoo_pydoc"
    VERSION = tfds.core.Version("1.0.0")

    @override
    def text(self, manager: tfds.download.DownloadManager) -> bytes:
        del manager
        self.info.metadata["python"] = platform.python_version()
        return topics()

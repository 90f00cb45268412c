"""Ordered byte text in TFDS, the common base of `enwik8` and `tfzoo_pydoc`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

_SEGMENT = 1 << 16


# TFDS is untyped, and mypy accepts class keywords only of bases that it knows
class TextBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A byte text cut into train/validation/test of 90/5/5 %, in order.

    Features: `text` bytes, segments of 64 KiB; joined in order they are the split. The metadata
    hold the whole text's `bytes` and `sha256`.
    """

    def text(self, manager: tfds.download.DownloadManager) -> bytes:
        """Returns the whole text as bytes; a subclass reads or downloads it."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict({"text": np.object_}),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        text = memoryview(self.text(manager))  # a view, so that slices do not copy
        self.info.metadata.update(bytes=len(text), sha256=hashlib.sha256(text).hexdigest())
        ends = [0, len(text) * 90 // 100, len(text) * 95 // 100, len(text)]
        names = ("train", "validation", "test")
        return {
            name: self._generate_examples(text[start:end])
            for name, start, end in zip(names, ends, ends[1:], strict=False)
        }

    def _generate_examples(self, text: memoryview) -> Iterator[tuple[int, dict]]:
        for i, start in enumerate(range(0, len(text), _SEGMENT)):
            yield i, {"text": bytes(text[start : start + _SEGMENT])}

"""Where a recipe's data come from."""

from __future__ import annotations

from dataclasses import dataclass

from tfzoo.config import MISSING, check


@dataclass(frozen=True)
class DataConfig:
    """The config's group `data`.

    Attributes:
        name: a TFDS name: one of TFDS's own, `tfzoo_digits`, `tfzoo_pydoc`,
            `tfzoo_breast_cancer`, `enwik8`, `tfzoo_arrays`, `tfzoo_image_folder`, `tfzoo_table`,
            `tfzoo_transitions`, ...; `name/config` for a builder that has several.
        data_dir: where TFDS keeps prepared data; None is its own default.
        path: the user's file or folder, for `enwik8`, `tfzoo_arrays`, `tfzoo_image_folder`,
            `tfzoo_table`, `tfzoo_transitions`, `tfzoo_video_arrays`, `tfzoo_video_folder`.
        prefix_bytes: `enwik8` reads only so many bytes; None is all.
    """

    name: str = MISSING
    data_dir: str | None = None
    path: str | None = None
    prefix_bytes: int | None = None

    def __post_init__(self):
        """Checks what does not need the disk."""
        check(bool(self.name), "data.name", self.name, "the name of a TFDS data set")
        for key in ("data_dir", "path"):
            check(getattr(self, key) != "", f"data.{key}", "", "a path, or null")
        prefix = self.prefix_bytes
        check(prefix is None or prefix >= 1000, "data.prefix_bytes", prefix, "at least 1000")

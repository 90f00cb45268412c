"""Where a recipe's data come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Len

from tfzoo.config import MISSING, Config, Level, OneOf, Spread, Text, UserPath, key

ON_ERROR = ("fail", "skip")

PixelMean = Annotated[list[Level], Len(1)] | None
PixelStd = Annotated[list[Spread], Len(1)] | None

PIXEL_MEAN = "subtracted from raw pixels; null: the mean of the training data"
PIXEL_STD = "then divided by; null: the standard deviation of the training data"
PIXEL_MIDDLE = "subtracted from raw pixels; null: the middle of the training data's range"
PIXEL_HALF = "then divided by; null: half the width of the training data's range"
"""Documentation of the recipes' keys `pixel_mean` and `pixel_std`; see `Info.by_channel`, ..."""


@dataclass(frozen=True)
class DataConfig(Config):
    """The config's group `data`."""

    name: Text = key(
        MISSING,
        "a TFDS name: one of TFDS's own, `tfzoo_digits`, `tfzoo_pydoc`, "
        "`tfzoo_breast_cancer`, `enwik8`, `tfzoo_arrays`, `tfzoo_image_folder`, "
        "`tfzoo_table`, `tfzoo_transitions`, ...; `name/config` for a builder with "
        "several configs.",
    )
    data_dir: UserPath | None = key(None, "where TFDS keeps prepared data; null: TFDS's default")
    path: UserPath | None = key(
        None,
        "the user's file or folder, for `enwik8`, `tfzoo_arrays`, `tfzoo_image_folder`, "
        "`tfzoo_table`, `tfzoo_transitions`, `tfzoo_mujoco/...`, `tfzoo_video_arrays`, "
        "`tfzoo_video_folder`.",
    )
    prefix_bytes: Annotated[int, Ge(1000)] | None = key(
        None, "`enwik8` reads only this many bytes; null: all"
    )
    on_error: Annotated[str, OneOf(*ON_ERROR)] = key(
        "fail",
        "what to do with a file of `path`, or a row, an episode or a mesh within it, that cannot "
        "be used: refuse the data (`fail`), or leave it out, count it and list it (`skip`).",
    )

"""TFDS builders by name, prepared and checked before training starts."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import absl.logging

from tfzoo.data.config import DataConfig
from tfzoo.errors import InputError, first_line
from tfzoo.files import locked

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds


def _is_news(record: logging.LogRecord) -> bool:
    """Filters TFDS's warnings about its own code: its features read their own `dtype`."""
    return "`FeatureConnector.dtype` is deprecated" not in record.getMessage()


absl.logging.get_absl_logger().addFilter(_is_news)

_OURS = {
    "tfzoo_digits": "tfzoo.data.images.digits",
    "tfzoo_pydoc": "tfzoo.data.text.pydoc",
    "enwik8": "tfzoo.data.text.enwik8",
    "tfzoo_arrays": "tfzoo.data.tables.arrays",
    "tfzoo_image_folder": "tfzoo.data.images.image_folder",
    "tfzoo_breast_cancer": "tfzoo.data.tables.csv",
    "tfzoo_shapes_views": "tfzoo.data.shapes.shapes_views",
    "tfzoo_solids": "tfzoo.data.shapes.solids",
    "tfzoo_meshes": "tfzoo.data.shapes.meshes",
    "tfzoo_table": "tfzoo.data.tables.csv",
    "tfzoo_motions": "tfzoo.data.videos.motions",
    "tfzoo_mujoco": "tfzoo.data.control.offline",
    "tfzoo_pendulum_offline": "tfzoo.data.control.offline",
    "tfzoo_pointmass_offline": "tfzoo.data.control.offline",
    "tfzoo_transitions": "tfzoo.data.control.offline",
    "tfzoo_video_arrays": "tfzoo.data.videos.video_arrays",
    "tfzoo_video_folder": "tfzoo.data.videos.video_folder",
}
_BY_PATH = ["enwik8", "tfzoo_arrays", "tfzoo_image_folder", "tfzoo_table"]
_BY_PATH += ["tfzoo_meshes", "tfzoo_mujoco", "tfzoo_transitions"]
_BY_PATH += ["tfzoo_video_arrays", "tfzoo_video_folder"]
_OF_PARTS = [name for name in _BY_PATH if name != "enwik8"]  # `data.on_error=skip` drops parts
_LISTED = 10


def register() -> None:
    """Registers the project's builders with TFDS, so that `tfds.load("tfzoo_digits")` works."""
    for module in _OURS.values():
        importlib.import_module(module)


def builder(config: DataConfig) -> tfds.core.DatasetBuilder:
    """The prepared TFDS builder of a config; downloads or generates the data on first use.

    TFDS prepares the data in a temporary folder and renames it when complete. Processes that
    prepare the same data at the same time wait for each other.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        InputError: no such data set, the source is missing or corrupt, or the download failed.
    """
    with _quiet():
        prepared = _find(config)
        if not Path(str(prepared.data_dir)).exists():
            with _alone(Path(str(prepared.data_dir))):
                prepared = _find(config)  # another process may have prepared it in the meantime
                _prepare(prepared)
    empty = [s for s in prepared.info.splits if prepared.info.splits[s].num_examples == 0]
    if empty:
        raise InputError(f"data.name={config.name!r}: split {empty[0]!r} is empty")
    if _base(config) in _OF_PARTS:
        told = prepared.info.metadata or {}
        tell_skipped(config, told.get("skipped", {}))
        if partial := told.get("partial", {}):
            listed = _listed(list(partial.values()))
            _say(f"{config.name}: {len(partial)} are used in part (data.partial=true): {listed}")
    return prepared


def tell_skipped(config: DataConfig, skipped: dict[str, str]) -> None:
    """Reports in one line what was left out of the data, once per process.

    Args:
        config: names the data.
        skipped: reasons by part.

    Raises:
        InputError: something was left out and `data.on_error` is `fail`: the data were prepared
            with `skip`.
    """
    if not skipped:
        return
    if config.on_error == "fail":
        reason = next(iter(skipped.values()))
        raise InputError(
            f"data.path={config.path!r}: was prepared without {len(skipped)} that cannot be "
            f"used; must have none, or data.on_error=skip: {reason}"
        )
    listed = _listed(list(skipped.values()))
    _say(f"{config.name}: left out {len(skipped)} (data.on_error=skip): {listed}")


def _listed(reasons: list[str]) -> str:
    more = f" and {len(reasons) - _LISTED} more" if len(reasons) > _LISTED else ""
    return "; ".join(reasons[:_LISTED]) + more


def unprepared(config: DataConfig) -> tfds.core.DatasetBuilder:
    """The builder of a config, for its metadata; downloads nothing.

    Raises:
        InputError: no such data set, or the user's file is missing or corrupt.
    """
    with _quiet():
        return _find(config)


@functools.cache
def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def split(
    builder: tfds.core.DatasetBuilder, name: str, *, encoded: bool = False
) -> tf.data.Dataset:
    """One split of a prepared builder, read in the order in which it was written.

    Args:
        builder: a result of the function `builder`.
        name: a split or a part of one, e.g. `"train[:90%]"`.
        encoded: keep images as encoded bytes, to be decoded in a stream's `map_fn`: cheaper to
            shuffle, and to skip when a run resumes.

    Returns:
        A `tf.data.Dataset` of examples.

    Raises:
        InputError: there is no such split.
    """
    import tensorflow_datasets as tfds

    splits = builder.info.splits
    if splits and name.split("[")[0].split("+")[0] not in splits:
        raise InputError(
            f"data.name={builder.name!r}: has no split {name!r}; must be one of {', '.join(splits)}"
        )
    images = [k for k, f in builder.info.features.items() if isinstance(f, tfds.features.Image)]
    return builder.as_dataset(
        split=name,
        decoders={k: tfds.decode.SkipDecoding() for k in images} if encoded else None,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        shuffle_files=False,
    )


def _find(config: DataConfig) -> tfds.core.DatasetBuilder:
    """The builder, prepared or not."""
    import tensorflow_datasets as tfds

    keywords: dict[str, Any] = {"data_dir": config.data_dir}
    base = _base(config)
    module = importlib.import_module(_OURS[base]) if base in _OURS else None
    source = getattr(module, "source", None)
    _refuse("prefix_bytes", config, ["enwik8"], None)
    _refuse("path", config, _BY_PATH, None)
    _refuse("on_error", config, _OF_PARTS, "fail")
    if source is not None and (candidate := source(config)) is not None:
        if config.on_error == "skip":  # different examples need prepared data of their own
            name = f"{candidate.name}-skip"
            candidate = dataclasses.replace(candidate, name=name, on_error="skip")
        if unread := getattr(candidate, "unread", ()):
            _say(f"{config.name}: {config.path!r}: ignores {', '.join(unread)}")
        keywords["config"] = candidate
    try:
        # the part after "tfzoo_mujoco/" is in the builder config from its source
        return tfds.builder(base if base == "tfzoo_mujoco" else config.name, **keywords)
    except Exception as error:  # errors for unknown names and unreadable metadata share no base
        raise InputError(
            f"data.name={config.name!r}: must be a TFDS data set or one of {', '.join(_OURS)}: "
            f"{first_line(error)}"
        ) from error


def _base(config: DataConfig) -> str:
    """The builder's name in "builder/config:version"."""
    return config.name.split("/")[0].split(":")[0]


def _refuse(key: str, config: DataConfig, takers: list[str], default: str | None) -> None:
    value = getattr(config, key)
    if value != default and _base(config) not in takers:
        raise InputError(
            f"data.{key}={value!r}: must be {default or 'null'} unless name is "
            f"{' or '.join(takers)}"
        )


def _prepare(builder: tfds.core.DatasetBuilder) -> None:
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for a command's result
            builder.download_and_prepare()
    except Exception as error:  # TFDS wraps exceptions of generators and downloads
        raise _input_error(error) or InputError(
            f"data.name={builder.name!r}: could not be prepared in {str(builder.data_dir)!r}: "
            f"{first_line(error)}"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences TFDS's remark, at each use, that a builder config is not in its list."""
    from absl import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Lets one process in at a time; the lock is released when the process ends in any way."""
    path = directory.parent / f".{directory.name}.lock"
    with contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(path, wait=True))
        except OSError as error:
            raise InputError(
                f"data.data_dir: {str(directory)!r} cannot be written: {error.strerror}"
            ) from None
        yield


def _input_error(error: BaseException | None) -> InputError | None:
    while error is not None:
        if isinstance(error, InputError):
            return InputError(str(error))
        error = error.__cause__ or error.__context__
    return None

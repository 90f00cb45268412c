"""Loads a SavedModel for inference."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2


def load(version_dir: str | Path) -> Any:
    """`tf.saved_model.load`, without its warning that gradients were not saved.

    A served model is not trained, and the warning names every function with a custom gradient.
    """
    with without("absl", "unsaved custom gradients"):
        return tf.saved_model.load(str(version_dir))


def open_session(
    version_dir: str | Path,
) -> tuple[tf.compat.v1.Session, meta_graph_pb2.MetaGraphDef]:
    """Opens a session on a SavedModel of TensorFlow 1 or 2, initialised as in TF Serving.

    It takes as long as `load`, but mostly without holding the GIL, since it creates no Python
    object per function of the model: other threads ran three to four times as often meanwhile.

    Returns:
        The session, which the caller must close, and the graph's description with its signatures.

    Raises:
        OSError, RuntimeError, ValueError, tf.errors.OpError: it cannot be read or restored.
    """
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=config)
    try:
        with graph.as_default(), without("tensorflow", "is deprecated", "read_checkpoint"):
            meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(version_dir))
    except BaseException:
        session.close()
        raise
    return session, meta


@contextlib.contextmanager
def without(logger_name: str, *words: str) -> Iterator[None]:
    """Filters log messages that contain any of the given phrases."""
    logger = logging.getLogger(logger_name)

    def other(record: logging.LogRecord) -> bool:
        return not any(word in record.getMessage() for word in words)

    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)

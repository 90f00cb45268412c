"""Loads a SavedModel for answering."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import tensorflow as tf


def load(version_dir: str | Path) -> Any:
    """`tf.saved_model.load`, without its warning that gradients were not saved.

    What is served is not trained; the warning names every function with a gradient of its own.
    """
    logger = logging.getLogger("absl")
    logger.addFilter(_not_about_gradients)
    try:
        return tf.saved_model.load(str(version_dir))
    finally:
        logger.removeFilter(_not_about_gradients)


def _not_about_gradients(record: logging.LogRecord) -> bool:
    return "unsaved custom gradients" not in record.getMessage()

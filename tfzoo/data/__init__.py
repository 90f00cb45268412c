"""Data through TFDS: the project's own builders, training streams, augmentation.

TensorFlow Datasets itself is imported when a builder is first asked for.
"""

from tfzoo.data.config import DataConfig
from tfzoo.data.control.transitions import Transitions, transitions
from tfzoo.data.images import augment
from tfzoo.data.images.image_streams import image_stream
from tfzoo.data.pipeline import Datasets, TrainStream, eval_batches, train_stream
from tfzoo.data.prepare import builder, register, split, unprepared
from tfzoo.data.splits import SPLITS, three_splits
from tfzoo.data.text.windows import byte_windows, eval_windows, read_bytes, train_windows

__all__ = [
    "SPLITS",
    "DataConfig",
    "Datasets",
    "TrainStream",
    "Transitions",
    "augment",
    "builder",
    "byte_windows",
    "eval_batches",
    "eval_windows",
    "image_stream",
    "read_bytes",
    "register",
    "split",
    "three_splits",
    "train_stream",
    "train_windows",
    "transitions",
    "unprepared",
]

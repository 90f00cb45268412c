"""Data through TFDS: the project's own builders, training streams, augmentation.

TensorFlow Datasets itself is imported when a builder is first requested.
"""

from tfzoo.data.config import DataConfig
from tfzoo.data.control.transitions import Transitions, minari_transitions, transitions
from tfzoo.data.images import augment
from tfzoo.data.images.image_streams import image_stream
from tfzoo.data.info import Info, epoch_steps, moments
from tfzoo.data.pipeline import Datasets, TrainStream, eval_batches, train_stream
from tfzoo.data.prepare import builder, register, split, unprepared
from tfzoo.data.splits import SPLITS, three_splits
from tfzoo.data.statistics import statistics, streamed_moments
from tfzoo.data.text.windows import byte_windows, eval_windows, read_bytes, train_windows

__all__ = [
    "SPLITS",
    "DataConfig",
    "Datasets",
    "Info",
    "TrainStream",
    "Transitions",
    "augment",
    "builder",
    "byte_windows",
    "epoch_steps",
    "eval_batches",
    "eval_windows",
    "image_stream",
    "minari_transitions",
    "moments",
    "read_bytes",
    "register",
    "split",
    "statistics",
    "streamed_moments",
    "three_splits",
    "train_stream",
    "train_windows",
    "transitions",
    "unprepared",
]

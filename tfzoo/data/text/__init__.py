"""Text as bytes: builders, readers, windows for training and evaluation."""

from tfzoo.data.text.windows import byte_windows, eval_windows, read_bytes, train_windows

__all__ = ["byte_windows", "eval_windows", "read_bytes", "train_windows"]

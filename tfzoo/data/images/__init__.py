"""Images: builders, streams, augmentation."""

from tfzoo.data.images.transforms import color_jitter, deit, padded_crop, shift, to_size

__all__ = ["color_jitter", "deit", "padded_crop", "shift", "to_size"]

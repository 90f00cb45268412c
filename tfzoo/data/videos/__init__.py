"""Videos: builders, files, splits."""

from tfzoo.data.videos.splits import VideoDataConfig, VideoSplit, frames, open_split, short_side

__all__ = ["VideoDataConfig", "VideoSplit", "frames", "open_split", "short_side"]

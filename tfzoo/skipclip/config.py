"""The config of Skip-Clip's task."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfzoo.config import MISSING, check, choices
from tfzoo.data.videos.splits import VideoDataConfig
from tfzoo.errors import InputError
from tfzoo.skipclip.augment import AugmentConfig
from tfzoo.skipclip.model import KINDS, SHORTCUTS
from tfzoo.skipclip.objective import REDUCTIONS, check_margin
from tfzoo.skipclip.sampling import Clips
from tfzoo.training.config import RunConfig

PRETEXTS = ("skipclip", "order", "none")
MODES = ("none", "probe", "full")
METHODS = ("adam", "sgd")
HEADS = ("none", "conv1x1")


@dataclass(frozen=True)
class EncoderConfig:
    """The group `model`; see `make_encoder`.

    Attributes:
        kind: `r3d18`, `r2plus1d18` or `small`.
        width: of the small one.
        shortcut: `A` or `B`.
        last_relu: whether features are cut at 0.
        pixel_mean: subtracted from raw pixels.
        pixel_std: then divided by.
    """

    kind: str = "r3d18"
    width: int = 16
    shortcut: str = "B"
    last_relu: bool = True
    pixel_mean: float = 110.0
    pixel_std: float = 60.0

    def __post_init__(self):
        """Checks the ranges."""
        choices("model.kind", self.kind, KINDS)
        choices("model.shortcut", self.shortcut, SHORTCUTS)
        check(self.width >= 1, "model.width", self.width, "at least 1")
        check(self.pixel_std > 0, "model.pixel_std", self.pixel_std, "above 0")


@dataclass(frozen=True)
class PretextConfig:
    """The group `pretext`: clips and losses of pre-training. `epochs` of the config are its.

    The paper's numbers of clips, skips, margin and weights are not known; these are the
    specification's, not from the paper.

    Attributes:
        kind: `skipclip`, `order` (shuffled clips) or `none`.
        source: a run directory or `.keras` file of a pre-trained model to start from instead of
            pre-training; then `kind` must be `none`.
        frames: T of a clip.
        stride: tau, frames of the video from one of the clip to the next.
        futures: m.
        skip: k, frames of the video from one future's start to the next.
        margin: of neighbouring futures' scores.
        rank_weight: of the ranking loss.
        rotation_weight: of the rotation loss; 0 is without it.
        reduction: `sum` or `mean_pairs`.
        head: `none` or `conv1x1`.
        head_width: its channels.
        cross_video_negatives: whether another video's clip is ranked last.
    """

    kind: str = "skipclip"
    source: str | None = None
    frames: int = 16
    stride: int = 1
    futures: int = 4
    skip: int = 16
    margin: float = 0.1
    rank_weight: float = 1.0
    rotation_weight: float = 1.0
    reduction: str = "sum"
    head: str = "none"
    head_width: int = 128
    cross_video_negatives: bool = False

    @property
    def clips(self) -> Clips:
        """The form of tuples."""
        return Clips(self.frames, self.stride, self.futures, self.skip)

    def __post_init__(self):
        """Checks the ranges."""
        choices("pretext.kind", self.kind, PRETEXTS)
        choices("pretext.reduction", self.reduction, REDUCTIONS)
        choices("pretext.head", self.head, HEADS)
        for name in ("frames", "stride", "skip", "head_width"):
            check(getattr(self, name) >= 1, f"pretext.{name}", getattr(self, name), "at least 1")
        for name in ("rank_weight", "rotation_weight"):
            check(getattr(self, name) >= 0, f"pretext.{name}", getattr(self, name), "at least 0")
        check(self.futures >= 2, "pretext.futures", self.futures, "at least 2")
        both = self.rank_weight + self.rotation_weight
        check(both > 0, "pretext.rank_weight", self.rank_weight, "above 0 without rotation")
        if self.source is not None:
            check(self.kind == "none", "pretext.kind", self.kind, "none with pretext.source")


@dataclass(frozen=True)
class DescentConfig:
    """The groups `optimizer`, of pre-training, and `finetune.optimizer`.

    Attributes:
        method: `sgd`, with momentum and coupled decay, whose rate falls at `drop_epochs`; or
            `adam`, with decoupled decay and a cosine to 0.
        learning_rate: the first.
        momentum: of `sgd`.
        weight_decay: of kernels (`adam`) or all weights (`sgd`, as PyTorch).
        drop_epochs: epochs after which the rate is multiplied by `drop_factor`.
        drop_factor: see there.
        trunk_factor: the encoder's rate is so many times that of the linear layer.
    """

    method: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    drop_epochs: list[int] = field(default_factory=list)
    drop_factor: float = 0.1
    trunk_factor: float = 1.0

    def __post_init__(self):
        """Checks the ranges."""
        choices("optimizer.method", self.method, METHODS)
        rate, drops = self.learning_rate, self.drop_epochs
        check(rate > 0, "optimizer.learning_rate", rate, "above 0")
        good = list(drops) == sorted(set(drops)) and all(e >= 1 for e in drops)
        check(good, "optimizer.drop_epochs", list(drops), "rising numbers from 1 up")
        check(0 < self.drop_factor <= 1, "optimizer.drop_factor", self.drop_factor, "up to 1")
        check(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "from 0 to below 1")
        check(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "at least 0")
        check(self.trunk_factor > 0, "optimizer.trunk_factor", self.trunk_factor, "above 0")


@dataclass(frozen=True)
class FinetuneConfig:
    """The group `finetune`: what becomes of the encoder, if videos have labels.

    Attributes:
        mode: `full` trains all layers; `probe` fits a logistic regression on frozen features, its
            penalty chosen on validation; `none` ends with the encoder.
        labels: training videos of each class whose labels are used; null is all.
        frames: of a clip; null is the pretext's. Clips of evaluation and serving have it too.
        stride: of a clip; null is the pretext's.
        clips: evenly spread over a video, whose mean softmax is the video's.
        epochs: of `full`.
        batch_size: clips a step.
        dropout: of the features.
        augment: whether training clips are shifted and recoloured as in pre-training.
        optimizer: see `DescentConfig`.
    """

    mode: str = "full"
    labels: int | None = None
    frames: int | None = None
    stride: int | None = None
    clips: int = 10
    epochs: int = 150
    batch_size: int = 16
    dropout: float = 0.5
    augment: bool = True
    optimizer: DescentConfig = field(
        default_factory=lambda: DescentConfig(learning_rate=0.01, trunk_factor=0.1)
    )

    def __post_init__(self):
        """Checks the ranges."""
        choices("finetune.mode", self.mode, MODES)
        for name in ("labels", "frames", "stride", "clips", "epochs", "batch_size"):
            value = getattr(self, name)
            check(value is None or value >= 1, f"finetune.{name}", value, "at least 1")
        check(0 <= self.dropout < 1, "finetune.dropout", self.dropout, "from 0 to below 1")


@dataclass(frozen=True)
class VideoConfig(RunConfig):
    """The config of `skipclip.videos`; `epochs` and `batch_size` are of pre-training.

    Attributes:
        data: see `tfzoo.data.videos.splits.VideoDataConfig`.
        model: see `EncoderConfig`.
        pretext: see `PretextConfig`.
        augment: see `AugmentConfig`.
        optimizer: of pre-training, see `DescentConfig`.
        finetune: see `FinetuneConfig`.
        classes: of the videos that a path leads to; for a dry run without the path only.
    """

    data: VideoDataConfig = MISSING
    model: EncoderConfig = field(default_factory=EncoderConfig)
    pretext: PretextConfig = field(default_factory=PretextConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: DescentConfig = field(default_factory=DescentConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    classes: int | None = None

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        check(self.classes is None or self.classes >= 1, "classes", self.classes, "at least 1")
        pretext = self.pretext
        signed = pretext.head != "none" or not self.model.last_relu
        if pretext.kind == "skipclip":
            ranked = pretext.futures + int(pretext.cross_video_negatives)
            try:
                check_margin(pretext.margin, ranked, signed)
            except ValueError as error:
                raise InputError(f"pretext.{error}") from None

    @property
    def clip(self) -> tuple[int, int]:
        """Frames and stride of clips for classification and serving."""
        tune, pretext = self.finetune, self.pretext
        return tune.frames or pretext.frames, tune.stride or pretext.stride

"""The config of Skip-Clip's task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from tfzoo.config import (
    MISSING,
    Config,
    Count,
    Factor,
    Fraction,
    Level,
    Natural,
    NonNegative,
    OneOf,
    Positive,
    Rising,
    Spread,
    check,
    key,
)
from tfzoo.data.config import PIXEL_MEAN, PIXEL_STD
from tfzoo.data.videos.splits import VideoDataConfig
from tfzoo.errors import InputError
from tfzoo.skipclip.augment import AugmentConfig
from tfzoo.skipclip.model import FORMS, KINDS, SHORTCUTS
from tfzoo.skipclip.objective import REDUCTIONS, check_margin
from tfzoo.skipclip.pretext import HEADS
from tfzoo.skipclip.sampling import Clips
from tfzoo.training.config import RunConfig

PRETEXTS = ("skipclip", "order", "none")
MODES = ("none", "probe", "full")
METHODS = ("adam", "sgd")
SCHEDULES = ("method", "cosine", "steps", "constant")


@dataclass(frozen=True)
class EncoderConfig(Config):
    """The group `model`; see `make_encoder`."""

    builds = ("tfzoo.skipclip.model:make_encoder",)

    kind: Annotated[str, OneOf(*KINDS)] = key("r3d18", "`r3d18`, `r2plus1d18` or `small`")
    width: Count = key(16, "width of the small encoder")
    shortcut: Annotated[str, OneOf(*SHORTCUTS)] = key("B", "`A` or `B`")
    form: Annotated[str, OneOf(*FORMS)] = key(
        "paper", "`paper`, or, for the two large encoders, torchvision's (`torchvision`)"
    )
    last_relu: bool = key(True, "whether features end with a ReLU")
    pixel_mean: Level | None = key(None, PIXEL_MEAN, of_data=True)
    pixel_std: Spread | None = key(None, PIXEL_STD, of_data=True)

    def __post_init__(self) -> None:
        super().__post_init__()

        small = self.kind == "small"
        check(not small or self.form == "paper", "form", self.form, "paper for the small encoder")


@dataclass(frozen=True)
class PretextConfig(Config):
    """The group `pretext`: clips and losses of pre-training, to which the config's `epochs` refers.

    The paper's numbers of clips, skips, margin and weights are unknown; these come from the
    specification, not from the paper.
    """

    builds = ("tfzoo.skipclip.pretext:SkipClip",)

    kind: Annotated[str, OneOf(*PRETEXTS)] = key(
        "skipclip", "`skipclip`, `order` (shuffled clips) or `none`"
    )
    source: str | None = key(
        None,
        "a run directory or `.keras` file of a pre-trained model to start from instead of "
        "pre-training; then `kind` must be `none`.",
    )
    frames: Count = key(16, "frames T of a clip")
    stride: Count = key(1, "tau, frames of the video between consecutive frames of a clip")
    futures: Annotated[int, Ge(2)] = key(4, "number m of futures")
    skip: Count = key(16, "k, frames of the video between the starts of consecutive futures")
    margin: float = key(0.1, "margin of neighbouring futures' scores")
    rank_weight: NonNegative = key(1.0, "weight of the ranking loss")
    rotation_weight: NonNegative = key(0.0, "weight of the rotation loss; 0 disables it")
    reduction: Annotated[str, OneOf(*REDUCTIONS)] = key("sum", "`sum` or `mean_pairs`")
    head: Annotated[str, OneOf(*HEADS)] = key(
        "none", "`none`, `conv1x1`, or `norm`: features standardised over the batch"
    )
    head_width: Count = key(128, "channels of `conv1x1`")
    cross_video_negatives: bool = key(False, "whether another video's clip is ranked last")
    negatives: Count = key(1, "number of other videos, fewer than in a batch")

    @property
    def clips(self) -> Clips:
        """The shape of tuples."""
        return Clips(self.frames, self.stride, self.futures, self.skip)

    def __post_init__(self) -> None:
        super().__post_init__()

        both = self.rank_weight + self.rotation_weight
        check(both > 0, "rank_weight", self.rank_weight, "above 0 without rotation")
        if self.source is not None:
            check(self.kind == "none", "kind", self.kind, "none with source")


@dataclass(frozen=True)
class DescentConfig(Config):
    """The groups `optimizer`, for pre-training, and `finetune.optimizer`."""

    method: Annotated[str, OneOf(*METHODS)] = key(
        "sgd",
        "`sgd`, with momentum and coupled decay, whose rate drops at `drop_epochs`; or "
        "`adam`, with decoupled decay and a cosine to 0.",
    )
    learning_rate: Positive = key(0.01, "initial learning rate")
    momentum: Fraction = key(0.9, "momentum of `sgd`")
    weight_decay: NonNegative = key(
        5e-4, "weight decay of kernels (`adam`) or of all weights (`sgd`, as in PyTorch)"
    )
    schedule: Annotated[str, OneOf(*SCHEDULES)] = key(
        "method",
        "rate schedule: `cosine` to 0, `steps` at `drop_epochs`, `constant`; `method` is `adam`'s "
        "cosine and `sgd`'s steps.",
    )
    warmup_steps: Natural = key(0, "warm-up steps of a cosine, in which the rate rises from 0")
    drop_epochs: Rising = key([], "epochs after which the rate is multiplied by `drop_factor`")
    drop_factor: Factor = key(0.1, "factor of the drop")
    trunk_factor: Positive = key(1.0, "the encoder's rate relative to the linear layer's")

    def __post_init__(self) -> None:
        super().__post_init__()

        warm = self.warmup_steps == 0 or self.form == "cosine"
        check(warm, "warmup_steps", self.warmup_steps, f"0 with the schedule {self.form}")

    @property
    def form(self) -> str:
        """The schedule, with `method` resolved."""
        if self.schedule != "method":
            return self.schedule
        return "cosine" if self.method == "adam" else "steps"


@dataclass(frozen=True)
class FinetuneConfig(Config):
    """The group `finetune`: how the encoder is used if videos have labels."""

    builds = ("tfzoo.skipclip.recognizer:ActionRecognizer",)

    mode: Annotated[str, OneOf(*MODES)] = key(
        "full",
        "`full` trains all layers; `probe` fits a logistic regression on frozen features, its "
        "penalty chosen on validation; `none` ends with the encoder.",
    )
    labels: Count | None = key(None, "training videos per class whose labels are used; null: all")
    frames: Count | None = key(
        None, "frames of a clip, also in evaluation and serving; null: the pretext's"
    )
    stride: Count | None = key(None, "stride of a clip; null: the pretext's")
    clips: Count = key(10, "clips evenly spread over a video, whose mean softmax is the video's")
    epochs: Count = key(150, "epochs of `full`")
    batch_size: Count = key(16, "clips per step")
    dropout: Fraction = key(0.5, "dropout of the features")
    augment: bool = key(
        True, "whether training clips are shifted and recoloured as in pre-training"
    )
    optimizer: DescentConfig = key(
        DescentConfig(learning_rate=0.01, trunk_factor=0.1),
        "see `DescentConfig`.",
    )


@dataclass(frozen=True)
class VideoConfig(RunConfig):
    """The config of `skipclip.videos`; `epochs` and `batch_size` refer to pre-training."""

    data: VideoDataConfig = key(MISSING, "see `tfzoo.data.videos.splits.VideoDataConfig`")
    model: EncoderConfig = key(EncoderConfig(), "see `EncoderConfig`")
    pretext: PretextConfig = key(PretextConfig(), "see `PretextConfig`")
    augment: AugmentConfig = key(AugmentConfig(), "see `AugmentConfig`")
    optimizer: DescentConfig = key(
        DescentConfig(), "optimizer of pre-training, see `DescentConfig`"
    )
    finetune: FinetuneConfig = key(FinetuneConfig(), "see `FinetuneConfig`")
    classes: Count | None = key(
        None, "number of classes of the videos; only for a dry run without their path"
    )

    def __post_init__(self) -> None:
        super().__post_init__()

        pretext = self.pretext
        signed = pretext.head != "none" or not self.model.last_relu
        if pretext.kind == "skipclip":
            ranked = pretext.futures + int(pretext.cross_video_negatives)
            if pretext.cross_video_negatives:
                fits = pretext.negatives < self.batch_size
                allowed = f"below batch_size={self.batch_size}"
                check(fits, "pretext.negatives", pretext.negatives, allowed)
            try:
                check_margin(pretext.margin, ranked, signed)
            except ValueError as error:
                raise InputError(f"pretext.{error}") from None

    @property
    def clip(self) -> tuple[int, int]:
        """Frames and stride of clips for classification and serving."""
        tune, pretext = self.finetune, self.pretext
        return tune.frames or pretext.frames, tune.stride or pretext.stride

"""Skip-Clip's task: pre-trains an encoder on videos, then fine-tunes or probes it."""

from __future__ import annotations

from typing import Any

import keras

from tfzoo import data
from tfzoo.data.videos import splits
from tfzoo.errors import InputError
from tfzoo.files import replacing
from tfzoo.recipe import Recipe
from tfzoo.registry import task
from tfzoo.serving import Signature
from tfzoo.skipclip import training
from tfzoo.skipclip.config import VideoConfig
from tfzoo.skipclip.recognizer import ActionRecognizer
from tfzoo.skipclip.signatures import signatures
from tfzoo.skipclip.training import VideoDatasets
from tfzoo.training.distribute import check_share
from tfzoo.training.run import Run

_PUBLIC = {"tfzoo_motions": 1200, "tfzoo_motions:2.0.0": 4200, "ucf101/ucf101_1": 9537}
"""Number of training videos of data that a dry run does not prepare."""
_BY_PATH = ("tfzoo_video_arrays", "tfzoo_video_folder")


@task("skipclip.videos")
class VideoRepresentation(Recipe[VideoConfig, VideoDatasets]):
    """Maps videos to features, classes and scores of order."""

    config_class = VideoConfig
    own_data = {"tfzoo_video_folder": (), "tfzoo_video_arrays": ("data.held_out",)}

    def data_info(self, config: VideoConfig) -> data.Info:
        """Classes (0 without labels) and steps; from `classes` if no path is given."""
        name = config.data.name
        if name in _PUBLIC:
            names = class_names(data.unprepared(config.data))
            return _info(_PUBLIC[name], names, config, guesses=("mean", "std"))
        if name in _BY_PATH and config.data.path is None and config.classes:
            return _info(
                config.batch_size,
                _numbered(config.classes),
                config,
                guesses=("steps_per_epoch", "examples", "classes", "mean", "std"),
            )
        builder = data.builder(config.data)
        train, *_ = split_names(builder)
        count = builder.info.splits[train].num_examples
        return _info(count, class_names(builder), config, version=builder.info.full_name)

    def datasets(self, config: VideoConfig) -> VideoDatasets:
        """Tuples of clips for the pretext; evaluation clips with labels."""
        builder = data.builder(config.data)
        form = config.pretext.clips
        least = form.span if config.pretext.kind != "none" else 1
        train, *others = (
            splits.open_split(builder, name, n, config.data.short)
            for name, n in zip(split_names(builder), (least, 1, 1), strict=True)
        )
        classes = class_names(builder)
        if config.finetune.mode != "none" and not classes:
            raise InputError(
                f"finetune.mode={config.finetune.mode!r}: must be none, the videos have no labels"
            )
        if config.pretext.kind != "none" and train.count < config.batch_size and train.dropped:
            raise InputError(
                f"data.short={config.data.short!r}: leaves {train.count} of "
                f"{train.count + train.dropped} training videos, those of {least} frames or more; "
                f"must be at least batch_size={config.batch_size}; data.short=loop keeps all"
            )
        stream = training.pretext_stream(train, config)
        known: dict[str, Any] = {"version": builder.info.full_name}
        if None in (config.model.pixel_mean, config.model.pixel_std):
            known |= data.statistics(builder, split_names(builder)[0], "video")
        info = _info(train.count, classes, config, **known)
        validation, test = (training.clips(part, config) for part in others)
        sources = dict(zip(data.SPLITS, (train, *others), strict=True))
        return VideoDatasets(stream, validation, test, info, sources)

    def build(self, config: VideoConfig, info: data.Info) -> keras.Model:
        """The recognizer, with an untrained encoder or that of `pretext.source`."""
        classes = info.num_classes if config.finetune.mode != "none" else 0
        pretrained = training.make_pretext(config, info)
        view = (config.augment.size, config.augment.size / config.augment.resize)
        return ActionRecognizer.from_pretrained(
            pretrained, classes, config.finetune.dropout, view=view
        )

    def train(
        self, model: ActionRecognizer, datasets: VideoDatasets, run: Run[VideoConfig]
    ) -> dict[str, float]:
        """Pre-training, then fine-tuning or the probe; also writes `pretrained.keras`."""
        config = run.config
        if run.strategy and config.finetune.mode == "full":  # fails before pre-training, not after
            _, batch = training.tuned(datasets, config)
            check_share(run.strategy, batch, "finetune.batch_size")
        with run.scope():
            pretrained = training.make_pretext(config, datasets.info)
        if config.pretext.kind != "none":
            training.pretrain(pretrained, datasets, run)
            if run.chief:
                with replacing(run.directory / "pretrained.keras") as aside:
                    pretrained.save(aside)
        training.adopt(model, pretrained)
        if config.finetune.mode == "full":
            training.finetune(model, datasets, run)
        elif config.finetune.mode == "probe":
            training.probe(model, datasets, config)
            with run.scope():  # so that a user's `fit` fine-tunes it
                training.compile_tuned(model, config, datasets.train.steps_per_epoch)
        return {}

    def evaluate(
        self, model: ActionRecognizer, datasets: VideoDatasets, config: VideoConfig
    ) -> dict[str, float]:
        """Accuracy of videos and clips; retrieval; the fraction of future clips in the right order.

        `retrieval_1`: fraction of test videos whose nearest training video, by cosine of mean
        features, is of their class. `pair_accuracy` is for tuples from the middle of test
        videos that are long enough; `far_accuracy` likewise, for the clip just after the
        context versus one that starts 40 frames after the context's start.
        """
        return training.evaluate(model, datasets, config)

    def signatures(
        self, model: ActionRecognizer, info: data.Info | None = None
    ) -> dict[str, Signature]:
        """`serving_default(video)`, `classify(video)`, `rank(context, future)`."""
        return signatures(model)


def split_names(builder: Any) -> tuple[str, str, str]:
    """Train, validation and test; a tenth of the first replaces a missing validation split.

    As TFDS shuffles UCF101, clips of one group may be in both parts, so choices on that validation
    part are optimistic.
    """
    if "validation" in builder.info.splits:
        return data.three_splits(builder)
    return "train[:90%]", "train[90%:]", "test"


def class_names(builder: Any) -> tuple[str, ...]:
    """Names of the videos' classes; empty without labels."""
    features = builder.info.features
    return tuple(features["label"].names) if "label" in features else ()


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _info(count: int, classes: tuple[str, ...], config: VideoConfig, **known: Any) -> data.Info:
    return data.Info(
        data.epoch_steps(count, config.batch_size, config.steps_per_epoch),
        examples=count,
        dtype="uint8",
        classes=classes,
        **{"low": 0.0, "high": 255.0, **known, "shape": (None, None, None, 3)},
    )

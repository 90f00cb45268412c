"""Skip-Clip's task: pre-train an encoder on videos, then fine-tune or probe it."""

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
from tfzoo.training.distribute import check_share
from tfzoo.training.run import Run

# what a dry run must know of data that it does not prepare: train videos, classes
_PUBLIC = {"tfzoo_motions": (1200, 12), "ucf101/ucf101_1": (9537, 101)}
_BY_PATH = ("tfzoo_video_arrays", "tfzoo_video_folder")


@task("skipclip.videos")
class VideoRepresentation(Recipe[VideoConfig]):
    """Videos to features, classes and scores of order."""

    config_class = VideoConfig

    def data_info(self, config: VideoConfig) -> dict[str, Any]:
        """Classes (0 without labels) and steps; by `classes` where no path is given."""
        name = config.data.name
        if name in _PUBLIC:
            return _info(*_PUBLIC[name], config)
        if name in _BY_PATH and config.data.path is None and config.classes:
            return _info(config.batch_size, config.classes, config)
        found = data.builder(config.data)
        train, *_ = split_names(found)
        return _info(found.info.splits[train].num_examples, class_count(found), config)

    def datasets(self, config: VideoConfig) -> data.Datasets:
        """Tuples of clips for the pretext; evaluation clips with labels."""
        found = data.builder(config.data)
        form = config.pretext.clips
        least = form.span if config.pretext.kind != "none" else 1
        train, *others = (
            splits.open_split(found, name, n, config.data.short)
            for name, n in zip(split_names(found), (least, 1, 1), strict=True)
        )
        classes = class_count(found)
        if config.finetune.mode != "none" and not classes:
            raise InputError(
                f"finetune.mode={config.finetune.mode!r}: must be none, the videos have no labels"
            )
        stream = training.pretext_stream(train, config)
        info = _info(train.count, classes, config)
        info |= {"train": train, "validation": others[0], "test": others[1], "config": config}
        validation, test = (training.clips(part, config) for part in others)
        return data.Datasets(stream, validation, test, info)

    def build(self, config: VideoConfig, info: dict[str, Any]) -> keras.Model:
        """The recognizer, its encoder untrained or of `pretext.source`."""
        classes = info["num_classes"] if config.finetune.mode != "none" else 0
        pretrained = training.make_pretext(config)
        view = (config.augment.size, config.augment.size / config.augment.resize)
        return ActionRecognizer.from_pretrained(
            pretrained, classes, config.finetune.dropout, view=view
        )

    def train(
        self, model: ActionRecognizer, datasets: data.Datasets, run: Run[VideoConfig]
    ) -> None:
        """Pre-training, then fine-tuning or the probe; leaves `pretrained.keras` too."""
        config = run.config
        if run.strategy and config.finetune.mode == "full":  # known before pre-training, not after
            _, batch = training.tuned(datasets, config)
            check_share(run.strategy, batch, "finetune.batch_size")
        with run.scope():
            pretrained = training.make_pretext(config)
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

    def evaluate(self, model: ActionRecognizer, datasets: data.Datasets) -> dict[str, float]:
        """Accuracy of videos and clips; retrieval; the share of future clips in the right order.

        `retrieval_1`: test videos whose nearest training video, by cosine of mean features, is of
        their class. `pair_accuracy` is of tuples from the middle of test videos, where they are
        long enough.
        """
        return training.evaluate(model, datasets)

    def signatures(self, model: ActionRecognizer) -> dict[str, Signature]:
        """`serving_default(video)`, `classify(video)`, `rank(context, future)`."""
        return signatures(model)


def split_names(found: Any) -> tuple[str, str, str]:
    """Train, validation and test; where there is no validation, a tenth of the training videos.

    UCF101's clips of one group follow each other in the prepared files' order or not, as TFDS
    shuffles them; choices on that validation part are optimistic.
    """
    if "validation" in found.info.splits:
        return data.three_splits(found)
    return "train[:90%]", "train[90%:]", "test"


def class_count(found: Any) -> int:
    """Of the videos' labels; 0 without labels."""
    features = found.info.features
    return features["label"].num_classes if "label" in features else 0


def _info(count: int, classes: int, config: VideoConfig) -> dict[str, Any]:
    whole = max(count // config.batch_size, 1)
    steps = min(whole, config.steps_per_epoch or whole)
    return {"steps_per_epoch": steps, "num_classes": classes, "videos": count}

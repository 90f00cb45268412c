"""The phases of Skip-Clip's recipe, also used by its study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from tfzoo import data, zoo
from tfzoo.data.videos import splits
from tfzoo.errors import InputError
from tfzoo.skipclip import objective, readout, streams
from tfzoo.skipclip.config import VideoConfig
from tfzoo.skipclip.model import make_encoder
from tfzoo.skipclip.optim import make_optimizer
from tfzoo.skipclip.pretext import ClipOrder, SkipClip
from tfzoo.skipclip.recognizer import ActionRecognizer
from tfzoo.skipclip.sampling import Clips
from tfzoo.training.run import Run
from tfzoo.typing import Tensor

if TYPE_CHECKING:
    import tensorflow as tf

EVALUATED = 8
"""Tuples per evaluation step."""

ORDERED = 3
"""Number of clips of the pretext `order`."""


FAR = 40
"""Frames from a context's start to the start of `far_accuracy`'s far future."""


@dataclass(frozen=True)
class VideoDatasets(data.Datasets):
    """Batches, and the videos from which clips are taken.

    Attributes:
        sources: videos by split: `train`, `validation` and `test`.
    """

    sources: dict[str, splits.VideoSplit]


def make_pretext(config: VideoConfig, info: data.Info) -> keras.Model:
    """The model to pre-train, for the data of `info`, or that of `pretext.source`.

    Raises:
        InputError: the source has no video encoder.
    """
    settings = config.pretext
    if settings.source is not None:
        source = zoo.load(settings.source)
        if not isinstance(source, (SkipClip, ClipOrder, ActionRecognizer)):
            raise InputError(
                f"pretext.source={settings.source!r}: holds {type(source).__name__}, must be from "
                "tfzoo.skipclip"
            )
        return source
    model = config.model
    encoder = make_encoder(
        model.kind,
        width=model.width,
        shortcut=model.shortcut,
        form=model.form,
        last_relu=model.last_relu,
        **info.over_all(model),
    )
    if settings.kind == "order":
        return ClipOrder(encoder, ORDERED)
    if settings.kind == "none":  # only the encoder counts
        return ActionRecognizer(encoder, 0)
    return SkipClip(
        encoder,
        settings.futures,
        settings.margin,
        settings.rank_weight,
        settings.rotation_weight,
        settings.reduction,
        settings.head,
        settings.head_width,
        settings.cross_video_negatives,
        signed=not model.last_relu,
        negatives=settings.negatives,
    )


def pretext_stream(source: splits.VideoSplit, config: VideoConfig) -> data.TrainStream:
    """The training stream of the pretext task."""
    settings = config.pretext
    common: dict[str, Any] = {
        "batch_size": min(config.batch_size, source.count)
        if settings.kind == "none"
        else config.batch_size,
        "seed": config.seed,
        "steps_per_epoch": config.steps_per_epoch,
    }
    if settings.kind == "order":
        return streams.orders(source, settings.clips, config.augment, count=ORDERED, **common)
    rotate = settings.kind == "skipclip" and settings.rotation_weight > 0
    return streams.tuples(source, settings.clips, config.augment, rotate=rotate, **common)


def pretrain(model: keras.Model, datasets: VideoDatasets, run: Run[VideoConfig]) -> None:
    """One `fit` of the pretext task, a phase of the run."""
    config = run.config
    steps = datasets.train.steps_per_epoch
    with run.scope():
        model.compile(
            make_optimizer(config.optimizer, steps, config.epochs), jit_compile=config.jit_compile
        )
    run.phase("pretrain", config.epochs).fit(model, datasets, validate=False)


def adopt(model: ActionRecognizer, pretrained: keras.Model) -> None:
    """Copies the weights of a pre-trained encoder and its heads to the recognizer."""
    model.encoder.set_weights(pretrained.encoder.get_weights())
    for name in ("context_head", "future_head"):
        theirs = getattr(pretrained, name, None)
        if theirs is not None and getattr(model, name) is not None:
            getattr(model, name).set_weights(theirs.get_weights())


def clips(source: splits.VideoSplit, config: VideoConfig) -> tf.data.Dataset:
    """Evaluation clips of a split."""
    frames, stride = config.clip
    batch = max(1, config.finetune.batch_size // config.finetune.clips)
    return streams.evaluation_clips(
        source, frames, stride, config.finetune.clips, config.augment, batch
    )


def tuned(datasets: VideoDatasets, config: VideoConfig) -> tuple[splits.VideoSplit, int]:
    """The labelled videos for fine-tuning, and the batch size, at most their number."""
    source = streams.few(datasets.sources["train"], config.finetune.labels, config.seed)
    return source, min(config.finetune.batch_size, source.count)


def finetune(model: ActionRecognizer, datasets: VideoDatasets, run: Run[VideoConfig]) -> None:
    """One `fit` of all layers, a phase of the run."""
    config, settings = run.config, run.config.finetune
    source, batch = tuned(datasets, config)
    (frames, stride), view = config.clip, config.augment
    if not settings.augment:
        view = replace(view, shift=0, brightness=0, contrast=0, saturation=0, hue=0, gray=0)
    stream = streams.labelled(
        source,
        frames,
        stride,
        view,
        batch_size=batch,
        seed=config.seed,
        steps_per_epoch=config.steps_per_epoch,
    )
    with run.scope():
        compile_tuned(model, config, stream.steps_per_epoch)
    phase = run.phase("finetune", settings.epochs)
    phase = replace(phase, config=replace(phase.config, batch_size=batch))
    phase.fit(model, replace(datasets, train=stream), validate=False)


def compile_tuned(model: ActionRecognizer, config: VideoConfig, steps: int) -> None:
    """Compiles a recognizer for fine-tuning with epochs of `steps` steps."""
    settings = config.finetune
    model.compile(
        make_optimizer(settings.optimizer, steps, settings.epochs),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=config.jit_compile,
    )


def probe(model: ActionRecognizer, datasets: VideoDatasets, config: VideoConfig) -> None:
    """Sets the linear layer to a logistic regression on frozen features averaged over clips."""
    assert model.head is not None  # its task has classes
    source = streams.few(datasets.sources["train"], config.finetune.labels, config.seed)
    (x, y), (held_x, held_y) = (
        readout.of_videos(model.features, batches)
        for batches in (clips(source, config), datasets.validation)
    )
    # fitted on clips and applied to clips; videos use the mean softmax
    rows = (x.reshape(-1, x.shape[-1]), np.repeat(y, x.shape[1]))
    held = (held_x.reshape(-1, x.shape[-1]), np.repeat(held_y, held_x.shape[1]))
    kernel, bias = readout.as_dense(readout.linear_probe(rows, held), model.classes)
    model.head.set_weights([kernel, bias])


def evaluate(
    model: ActionRecognizer, datasets: VideoDatasets, config: VideoConfig
) -> dict[str, float]:
    """Accuracy, retrieval and order of clips; see `VideoRepresentation.evaluate`."""
    metrics: dict[str, float] = {}
    labelled = datasets.info.num_classes > 0
    x, y = readout.of_videos(model.features, datasets.test)
    if labelled and model.head is not None:
        kernel, bias = (np.asarray(w, "float32") for w in model.head.get_weights())
        metrics |= readout.accuracies(x @ kernel + bias, y)
    else:
        metrics["count"] = len(y)
    if labelled:
        gallery, labels = readout.of_videos(
            model.features, clips(datasets.sources["train"], config)
        )
        order = readout.retrieve(x.mean(1), gallery.mean(1))
        metrics["retrieval_1"] = readout.recall(order, y, labels)
    clips_ = config.pretext.clips
    far = replace(clips_, futures=2, skip=max(1, FAR - clips_.clip_span))
    forms = {"pair_accuracy": clips_} | ({"far_accuracy": far} if clips_.clip_span < FAR else {})
    for name, form in forms.items():
        scores = order_scores(model, datasets.sources["test"], config, form)
        if len(scores):
            metrics[name] = float(np.mean(objective.pair_accuracy(scores)))
    return metrics


def order_scores(
    model: keras.Model, source: splits.VideoSplit, config: VideoConfig, form: Clips | None = None
) -> np.ndarray:
    """Scores [videos, m] of tuples from the middle of each video; empty if none is long enough.

    Args:
        model: a model with `rank`.
        source: the videos.
        config: config of the run.
        form: shape of the tuples; None: the pretext's.
    """
    form = form or config.pretext.clips

    def score(tuple_: Tensor) -> Tensor:
        context = ops.repeat(tuple_[:, 0], form.futures, 0)
        future = ops.reshape(tuple_[:, 1:], ops.shape(context))
        return ops.reshape(model.rank(context, future), (-1, form.futures))

    run = readout.compiled(score)
    long = replace(
        source, dataset=source.dataset.filter(lambda x: ops.shape(x["video"])[0] >= form.span)
    )
    batches = streams.evaluation_tuples(long, form, config.augment, EVALUATED)
    scores = [run(batch).numpy() for batch, _ in batches]
    return np.concatenate(scores) if scores else np.zeros((0, form.futures))

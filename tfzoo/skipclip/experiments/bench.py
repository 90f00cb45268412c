"""`tfzoo bench skipclip`: clips per second of an encoder, of its convolutions, and of its input.

The network is compared with the same network of plain Keras layers, with its convolutions alone
(forward and both gradients of each, on fixed inputs, one after another as in training: its upper
bound), and with complete training from the input pipeline. The part `peers` compares a
training step of 3D ResNet-18 with that of torchvision's `r3d_18`, the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfzoo.config import check
from tfzoo.experiments import bench, peers
from tfzoo.experiments.bench import Target, Times

if TYPE_CHECKING:
    import keras

WIDTH, CLIPS = 16, 5
SIZES = {"small": (12, 8, 24), "r2plus1d18": (1, 16, 112), "r3d18": (1, 16, 112)}
"""For each encoder: tuples of clips per batch, frames, pixels."""
RECIPES = dict.fromkeys(SIZES, "skipclip/ucf101_pretrain") | {"small": "skipclip/motions"}
"""The recipe with each encoder's crops and colours."""
FORWARD = ("forward", "plain_forward")
TRAINING = ("convolutions", "step", "plain_step", "training", "pipeline")
PARTS = ("forward", "training", peers.PART)
PEERS = {"clips": 5, "frames": 16, "pixels": 112}
"""Clips of a batch, and their size, of the training step beside torchvision's."""
ACTIONS = 400
LAYOUTS = ("channels_first", "channels_last")


def _encoder(plain: bool, kind: str, width: int) -> keras.Model:
    import keras

    from tfzoo.skipclip import FoldedBatchNormalization, make_encoder

    keras.utils.set_random_seed(0)
    encoder = make_encoder(kind, width=width)
    if not plain:
        return encoder

    def swap(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, FoldedBatchNormalization):
            return keras.layers.BatchNormalization.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    return keras.models.clone_model(encoder, clone_function=swap)


def _videos(kind: str) -> Any:
    import numpy as np

    batch, frames, side = SIZES[kind]
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch, CLIPS, frames, side, side, 3)).astype("uint8")


def build_forward(name: str, encoder: str = "small", width: int = WIDTH) -> Callable[[], None]:
    """Features of a batch's clips, from the encoder or its version of plain layers."""
    import tensorflow as tf

    model = _encoder(name.startswith("plain"), encoder, width)
    x = _videos(encoder)
    x = tf.constant(x.reshape(-1, *x.shape[2:]))
    run = tf.function(lambda x: model(x, training=False), autograph=False)
    return lambda: run(x)[0].numpy()


def build_training(name: str, encoder: str = "small", width: int = WIDTH) -> Callable[[], None]:
    """One repetition: a step on fixed clips, its convolutions, a step of `fit`, or many batches."""
    if name == "convolutions":
        return _convolutions(_encoder(False, encoder, width), encoder)
    if name == "pipeline":
        return bench.Pulling(_stream(encoder))
    import keras
    import tensorflow as tf

    from tfzoo.skipclip import SkipClip

    network = _encoder(name.startswith("plain"), encoder, width)
    model = SkipClip(network, futures=CLIPS - 1, margin=0.1)
    model.compile(keras.optimizers.Adam(1e-3))
    if name == "training":
        batches = iter(_stream(encoder))
        return lambda: model.train_on_batch(*next(batches))
    x = tf.constant(_videos(encoder))
    y = tf.zeros(x.shape[:1], tf.int32)
    return lambda: model.train_on_batch(x, y)


def _stream(kind: str) -> Any:
    """Tuples of videos like `tfzoo_motions` in memory, cropped and coloured as in the recipe."""
    import numpy as np
    import tensorflow as tf

    from tfzoo import data, runner
    from tfzoo.data.videos.motions import FRAMES as LENGTH
    from tfzoo.data.videos.motions import MOTIONS, make_video
    from tfzoo.data.videos.splits import VideoSplit
    from tfzoo.skipclip import Clips, streams

    held = tf.constant(np.stack([make_video(MOTIONS[i % 12], (i,), LENGTH) for i in range(60)]))
    lookup = lambda i, epoch: {"video": held[i]}  # noqa: E731
    source = VideoSplit(
        60,
        0,
        False,
        held.shape[2:4],
        lambda **more: data.train_stream(lookup, count=60, **more),
        tf.data.Dataset.from_tensor_slices({"video": held}),
    )
    batch, frames, _ = SIZES[kind]
    view = runner.resolve(RECIPES[kind]).config.augment
    form = Clips(frames, 1, CLIPS - 1, 4)
    return streams.tuples(source, form, view, rotate=False, batch_size=batch, seed=0).from_step(0)


def _convolutions(model: keras.Model, kind: str) -> Callable[[], None]:
    import keras
    import tensorflow as tf

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv3D)]
    inside = keras.Model(model.inputs, [layer.input for layer in layers])
    x = _videos(kind)
    x = tf.constant(x.reshape(-1, *x.shape[2:]))
    held = [tf.constant(value) for value in inside(x)]

    @tf.function(autograph=False)
    def run(held: list[tf.Tensor]) -> tf.Tensor:
        convolutions: list[keras.layers.Layer] = []
        before: list[Any] = []
        for layer, value in zip(layers, held, strict=True):
            # independent ones would run in parallel, which a network's cannot
            with tf.control_dependencies(before), tf.GradientTape() as tape:
                tape.watch(value)
                y = layer(value)
            convolutions.append((tape, layer, value, y))
            before = [y]
        values = [y for *_, y in convolutions]  # fetched too, so that they are computed
        for tape, layer, value, y in reversed(convolutions):
            inner = [value] if layer is not layers[0] else []  # pixels need no gradient
            with tf.control_dependencies(before):
                ones = tf.ones_like(y)
                before = tape.gradient(y, [layer.kernel.value, *inner], output_gradients=ones)
            values += before
        return tf.add_n([tf.reshape(v, [-1])[0] for v in values])

    return lambda: run(held).numpy()


def build_peer(
    name: str,
    precision: str,
    layout: str,
    clips: int,
    frames: int,
    pixels: int,
    xla: bool = False,
    widths: Sequence[int] | None = None,
) -> Callable[[], None]:
    """A training step by SGD with momentum of 3D ResNet-18 in torchvision's form, 400 classes.

    Args:
        name: `ours` or `torch`.
        precision: `float32` or `mixed_bfloat16`.
        layout: of the videos in memory; ours are `channels_last`.
        clips: videos of a batch.
        frames: frames of each.
        pixels: side of each.
        xla: compiles ours by XLA.
        widths: channels of our stages, for a smaller network.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(clips, frames, pixels, pixels, 3)).astype("float32")
    y = rng.integers(0, ACTIONS, clips)
    if name == "torch":
        torch = peers.import_torch()
        from torchvision.models.video import r3d_18

        last = layout == "channels_last"
        form = torch.channels_last_3d if last else torch.contiguous_format
        model = r3d_18(num_classes=ACTIONS).to(memory_format=form)
        optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
        videos = torch.from_numpy(x).permute(0, 4, 1, 2, 3).contiguous(memory_format=form)
        return peers.torch_step(model, optimizer, videos, torch.from_numpy(y), precision)
    import keras

    from tfzoo.skipclip import ActionRecognizer, make_encoder

    keras.config.set_dtype_policy(precision)
    encoder = make_encoder(
        "r3d18", form="torchvision", widths=widths, pixel_mean=0.0, pixel_std=1.0
    )
    recognizer = ActionRecognizer(encoder, ACTIONS, dropout=0.0)
    videos, actions = (keras.ops.convert_to_tensor(value) for value in (x, y))
    return peers.keras_step(recognizer, keras.optimizers.SGD(0.01, 0.9), videos, actions, xla)


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench skipclip` with the arguments `argv`."""
    parser = bench.parser("skipclip", __doc__, 7, PARTS)
    parser.add_argument(
        "--width", type=int, default=WIDTH, help="width of the small encoder; default %(default)s"
    )
    parser.add_argument("--encoders", default="small,r3d18", help="default %(default)s")
    words = bench.parse(parser, argv, PARTS)
    check(words.width >= 1, "--width", words.width, "at least 1")
    encoders = [name for name in words.encoders.split(",") if name]
    for name in encoders:
        check(name in SIZES, "--encoders", name, f"one of {', '.join(SIZES)}")
    rows: list[dict[str, Any]] = []
    for encoder in encoders:
        size = {"encoder": encoder, "width": words.width if encoder == "small" else 64}
        for part, names in (("forward", FORWARD), ("training", TRAINING)):
            if part in words.parts:
                rows += _compare(part, names, words.rounds, size)
    if peers.PART in words.parts:
        rows += peer_rows(words.rounds)
    bench.report("skipclip", rows, targets(rows), words.output)


def _compare(
    kind: str, names: Sequence[str], rounds: int, size: Mapping[str, Any]
) -> list[dict[str, Any]]:
    keywords = {name: {"name": name, **size} for name in names}
    with bench.workers(names, time_limit=120) as workers:
        target = f"tfzoo.skipclip.experiments.bench:build_{kind}"
        results = bench.compare(workers, target, keywords, rounds, memory=False)
    rows = bench.table(results, {"pipeline": bench.BATCHES}, kind=kind, **size)
    for row in rows:
        if row["seconds"]:
            clips = SIZES[size["encoder"]][0] * CLIPS
            row["clips_per_second"] = round(clips / row["seconds"], 1)
    return rows


def peer_rows(rounds: int) -> list[dict[str, Any]]:
    """A training step of 3D ResNet-18 beside torchvision's, if that is installed."""
    if peers.missing("torch", "torchvision"):
        return []
    given = {
        "ours": [s | {"layout": "channels_last"} for s in peers.KERAS],
        "torch": [s | {"layout": layout} for s in peers.TORCH for layout in LAYOUTS],
    }
    target = "tfzoo.skipclip.experiments.bench:build_peer"
    form: dict[str, Any] = {"kind": peers.PART, "encoder": "r3d18", "width": 64}
    rows = peers.compare(target, given, PEERS, rounds, **form)
    for row in rows:
        if row["seconds"]:
            row["clips_per_second"] = round(PEERS["clips"] / row["seconds"], 1)
    return rows


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The targets that can be computed from the rows."""
    keys = ("encoder", "kind", "alternative")
    times, reached, t = Times(peers.fastest(rows, *keys), *keys), [], "training"
    for e in dict.fromkeys(row["encoder"] for row in rows):
        says = f"{e}: training's clips a second / the convolutions' alone"
        reached += times.ratio(says, (e, t, "convolutions"), (e, t, "training"), 0.8, True)
        says = f"{e}: input pipeline's time / a training step's on held clips"
        reached += times.ratio(says, (e, t, "pipeline"), (e, t, "step"), 1.0, False)
        says = f"{e}: times as fast as plain Keras layers, a training step"
        reached += times.ratio(says, (e, t, "plain_step"), (e, t, "step"), 1.0, True)
        says = f"{e}, a training step, best settings: times as fast as torchvision's"
        torch, ours = ((e, peers.PART, name) for name in ("torch", "ours"))
        reached += times.ratio(says, torch, ours, 1.0, True)
    return reached

"""`tfzoo bench afv`: per-example gradients and linear read-outs, compared with plain TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfzoo.config import check
from tfzoo.experiments import bench
from tfzoo.experiments.bench import Target, Times
from tfzoo.typing import Tensor

if TYPE_CHECKING:
    import keras

    from tfzoo.afv import FisherVectorizer

WIDTH, SIDE, BATCH, CLASSES = 64, 32, 64, 10
BUDGET = 2**29
GRADIENTS = ("ours", "loop", "compiled_loop", "jacobian", "vectorized_map")
FEATURES = ("pass", "extraction")
READOUTS = ("features", "jvp", "layers")
PARTS = ("gradients", "features", "readout")
SLOW_ROUNDS = 3
"""Repetitions of alternatives that take seconds."""


def _model(width: int, batch: int, side: int) -> tuple[keras.Model, Tensor]:
    import keras
    import numpy as np
    import tensorflow as tf

    from tfzoo.afv import make_discriminator

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (batch, side, side, 3)).astype("float32")
    return make_discriminator(side, 3, width), tf.constant(images)


def _flat(gradients: Sequence[Tensor], rows: int) -> Tensor:
    import tensorflow as tf

    return tf.concat([tf.reshape(tf.convert_to_tensor(g), (rows, -1)) for g in gradients], 1)


def per_example(name: str, model: keras.Model, images: Tensor) -> Callable[[], Tensor]:
    """A function that maps a batch to [B, P]; a graph, except `loop`, which uses eager tapes."""
    import tensorflow as tf

    from tfzoo.afv import PerExampleGradients

    values, batch = [v.value for v in model.trainable_variables], images.shape[0]
    if name == "ours":
        gradients = PerExampleGradients(model, memory=BUDGET)
        return lambda: gradients(images)

    def of_one(image: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            y = model(image[None], training=False)
        return [tf.convert_to_tensor(g) for g in tape.gradient(y, values)]

    @tf.function(autograph=False)
    def one(image: tf.Tensor) -> tf.Tensor:
        return _flat(of_one(image), 1)

    @tf.function(autograph=False)
    def jacobian(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            y = model(x, training=False)[:, 0]
        return _flat(tape.jacobian(y, values), batch)

    @tf.function(autograph=False)
    def mapped(x: tf.Tensor) -> tf.Tensor:
        return _flat(tf.vectorized_map(of_one, x), batch)

    return {
        "loop": lambda: tf.concat([_flat(of_one(image), 1) for image in images], 0),
        "compiled_loop": lambda: tf.concat([one(image) for image in images], 0),
        "jacobian": lambda: jacobian(images),
        "vectorized_map": lambda: mapped(images),
    }[name]


def build_gradients(
    name: str, width: int = WIDTH, batch: int = BATCH, side: int = SIDE
) -> Callable[[], None]:
    """Per-example gradients of a batch by one of `GRADIENTS`."""
    run = per_example(name, *_model(width, batch, side))
    return lambda: _wait(run())


def build_features(
    name: str, width: int = WIDTH, batch: int = BATCH, side: int = SIDE
) -> Callable[[], None]:
    """`pass`: a forward and backward pass for the batch's gradient. `extraction`: its vectors."""
    import tensorflow as tf

    model, images = _model(width, batch, side)
    if name == "extraction":
        vectorizer = _vectorizer(model, images)
        extract = tf.function(vectorizer, autograph=False)
        return lambda: _wait(extract(images))
    values = [v.value for v in model.trainable_variables]

    @tf.function(autograph=False)
    def both(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(x, training=False))
        return [tf.convert_to_tensor(g) for g in tape.gradient(total, values)]

    return lambda: _wait(both(images)[0])


def build_readout(
    name: str, width: int = WIDTH, batch: int = BATCH, side: int = SIDE
) -> Callable[[], None]:
    """Scores of ten classes by one of the routes."""
    import numpy as np
    import tensorflow as tf

    from tfzoo.afv import AFVClassifier

    model, images = _model(width, batch, side)
    vectorizer = _vectorizer(model, images)
    classifier = AFVClassifier(
        vectorizer, None, CLASSES, images.shape[1:], pixel_mean=0.0, pixel_std=1.0, route=name
    )
    classifier.kernel.assign(np.random.default_rng(0).normal(size=classifier.kernel.shape))
    score = tf.function(lambda x: classifier(x, training=False), autograph=False)
    return lambda: _wait(score(images))


def _vectorizer(model: keras.Model, images: Tensor) -> FisherVectorizer:
    from tfzoo.afv import FisherVectorizer

    return FisherVectorizer(model, copy=False, memory=BUDGET).adapt(images)


def _wait(x: Tensor) -> None:
    x[:1].numpy()  # waits for the device


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench afv` with the arguments `argv`."""
    parser = bench.parser("afv", __doc__, 7, PARTS)
    parser.add_argument("--width", type=int, default=WIDTH, help="width of D; default %(default)s")
    parser.add_argument(
        "--batch", type=int, default=BATCH, help="images per batch; default %(default)s"
    )
    parser.add_argument("--side", type=int, default=SIDE, help="side of the images")
    words = bench.parse(parser, argv, PARTS)
    for name in ("width", "batch"):
        check(getattr(words, name) >= 1, f"--{name}", getattr(words, name), "at least 1")
    check(words.side in (16, 32, 64, 128), "--side", words.side, "16, 32, 64 or 128")
    size = {"width": words.width, "batch": words.batch, "side": words.side}
    rows: list[dict[str, Any]] = []
    if "gradients" in words.parts:
        rows += gradient_rows(words.rounds, size)
    if "features" in words.parts:
        rows += _compare("features", FEATURES, words.rounds, size)
    if "readout" in words.parts:
        rows += _compare("readout", READOUTS, words.rounds, size)
    bench.report("afv", rows, targets(rows), words.output)


def gradient_rows(rounds: int, size: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All alternatives; TensorFlow's own in fewer rounds."""
    target = "tfzoo.afv.experiments.bench:build_gradients"
    with bench.workers(GRADIENTS, time_limit=300) as workers:
        fast = {"ours": {"name": "ours", **size}}
        slow = {name: {"name": name, **size} for name in GRADIENTS[1:]}
        results = bench.compare(workers, target, fast, rounds)
        results |= bench.compare(workers, target, slow, min(rounds, SLOW_ROUNDS))
    return bench.table(results, kind="gradients", **size)


def _compare(
    kind: str, names: Sequence[str], rounds: int, size: Mapping[str, Any]
) -> list[dict[str, Any]]:
    keywords = {name: {"name": name, **size} for name in names}
    with bench.workers(names, time_limit=300) as workers:
        target = f"tfzoo.afv.experiments.bench:build_{kind}"
        results = bench.compare(workers, target, keywords, rounds)
    return bench.table(results, kind=kind, **size)


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The targets that can be computed from the rows."""
    times, ours = Times(rows, "kind", "alternative"), ("gradients", "ours")
    reached = times.ratio("times faster than loop", ("gradients", "loop"), ours, 10, True)
    reached += times.ratio("times faster than jacobian", ("gradients", "jacobian"), ours, 5, True)
    says = "extraction: time / one forward and backward pass"
    reached += times.ratio(says, ("features", "extraction"), ("features", "pass"), 4, False)
    for row in rows:
        if (row["kind"], row["alternative"]) == ours and row["peak_mib"] != "":
            says = "per-example gradients: peak MiB within the stated budget"
            reached.append(Target(says, row["peak_mib"], BUDGET / 2**20, False))
    return reached

"""`tfzoo bench ala`: the cost of alignment relative to plain `fit`, and of children to a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tfzoo.config import check
from tfzoo.experiments import bench
from tfzoo.experiments.bench import Target, Times

if TYPE_CHECKING:
    import keras

PARTS = ("overhead", "children")
ARMS = ("plain", "ala")
CHILDREN = ("vectorised", "loop_in_graph", "loop_of_models")

STEPS = {"mlp": 1000, "resnet": 200}
"""Steps of one repetition, with the paper's 200 per action."""

BATCH, HELD, EVALUATIONS = 64, 500, 1
COUNT, CHILD_STEPS = 8, 50
OVERHEAD, SPEEDUP = 1.1, 2.0


def build_overhead(name: str, model: str, steps: int) -> Callable[[], None]:
    """One `fit` of `steps` steps, with cross-entropy or with adaptive class weights.

    Args:
        name: one of `ARMS`.
        model: `mlp` (64-32-10 on 8x8 images) or `resnet` (ResNet-8, 32x32 images).
        steps: steps of the fit; the metric is evaluated on 500 images once per action; their
            sampling gives an error of 0.2 a standard deviation of 0.018.
    """
    import keras
    import numpy as np

    from tfzoo.ala import AdaptiveLossAlignment, ClassWeightLoss, LossController
    from tfzoo.recipes import networks

    keras.utils.set_random_seed(0)
    rng, side = np.random.default_rng(0), 8 if model == "mlp" else 32
    if model == "mlp":
        network = networks.mlp((8, 8, 1), 10, (32,), 0.0, 1.0)
    else:
        network = networks.resnet((32, 32, 3), 10, 8, 16, 0.0, 1.0)
    shape = (side, side, network.input_shape[-1])
    draw = lambda n: rng.normal(size=(n, *shape)).astype("float32")  # noqa: E731
    rows = np.arange(steps * BATCH) % (10 * BATCH)
    x, y = draw(10 * BATCH)[rows], rng.integers(0, 10, 10 * BATCH)[rows]
    loss: keras.losses.Loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    callbacks = []
    if name == "ala":
        loss = ClassWeightLoss(10, True)
        held = draw(HELD), rng.integers(0, 10, HELD)
        metric, every = "misclassification_rate", min(200, steps)
        callbacks = [
            AdaptiveLossAlignment(
                LossController(),
                held,
                metric,
                steps_per_action=every,
                evaluations=EVALUATIONS,
                batch_size=HELD,
            )
        ]
    network.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss)

    def run() -> None:
        network.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)

    return run


def build_children(name: str, count: int, steps: int) -> Callable[[], None]:
    """Steps of several 64-32-10 networks, each with its own batch.

    Args:
        name: one of `CHILDREN`; `loop_of_models` is `train_on_batch` of one model after another.
        count: number of children.
        steps: steps of a repetition.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from tfzoo.ala import Children, ClassWeightLoss
    from tfzoo.recipes import networks

    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(count, BATCH, 8, 8, 1)), tf.float32)
    y = tf.constant(rng.integers(0, 10, (count, BATCH)))
    make = lambda: networks.mlp((8, 8, 1), 10, (32,), 0.0, 1.0)  # noqa: E731
    sgd = lambda: keras.optimizers.SGD(1e-3, momentum=0.9)  # noqa: E731
    if name == "loop_of_models":
        models = [make() for _ in range(count)]
        for model in models:
            model.compile(sgd(), ClassWeightLoss(10, True))

        def run() -> None:
            for _ in range(steps):
                for i, model in enumerate(models):
                    model.train_on_batch(x[i], y[i])

        return run
    mode = "vectorised" if name == "vectorised" else "loop"
    children = Children(make, ClassWeightLoss(10, True), sgd(), count, mode)
    phi = np.zeros((count, 10), "float32")

    def run_children() -> None:
        for _ in range(steps):
            losses = children.step(x, y, phi)
        np.asarray(losses)  # waits for the device

    return run_children


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench ala` with the arguments `argv`."""
    parser = bench.parser("ala", __doc__, 5, PARTS)
    parser.add_argument(
        "--steps", type=int, help="steps of a repetition; default: depends on the part"
    )
    words = bench.parse(parser, argv, PARTS)
    check(words.steps is None or words.steps >= 3, "--steps", words.steps, "at least 3")
    rows: list[dict[str, Any]] = []
    if "overhead" in words.parts:
        for model, steps in STEPS.items():
            settings = {"model": model, "steps": words.steps or steps}
            rows += _compare("overhead", ARMS, words.rounds, settings, model)
    if "children" in words.parts:
        settings = {"count": COUNT, "steps": words.steps or CHILD_STEPS}
        rows += _compare("children", CHILDREN, words.rounds, settings, f"{COUNT} x mlp")
    bench.report("ala", rows, targets(rows), words.output)


def _compare(
    kind: str, names: Sequence[str], rounds: int, settings: dict[str, Any], model: str
) -> list[dict[str, Any]]:
    keywords = {name: {"name": name, **settings} for name in names}
    with bench.workers(names, time_limit=300) as workers:
        target = f"tfzoo.ala.experiments.bench:build_{kind}"
        results = bench.compare(workers, target, keywords, rounds, memory=False)
    return bench.table(results, per=settings["steps"], kind=kind, model=model)


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The targets that can be computed from the rows."""
    times, reached = Times(rows, "model", "alternative"), []
    for model in STEPS:
        says = f"{model}: time of `fit` with alignment / plain, evaluations counted"
        reached += times.ratio(says, (model, "ala"), (model, "plain"), OVERHEAD, False)
    name = f"{COUNT} x mlp"
    says = f"{COUNT} children: loop of models / vectorised"
    over, under = (name, "loop_of_models"), (name, "vectorised")
    return reached + times.ratio(says, over, under, SPEEDUP, True)

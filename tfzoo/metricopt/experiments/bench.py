"""`tfzoo bench metricopt`: the cost of MetricOpt relative to plain fine-tuning of adapters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfzoo.config import check
from tfzoo.experiments import bench
from tfzoo.experiments.bench import Result, Target

ARMS = ("plain", "between", "observing", "refitting")
"""Plain SGD; MetricOpt's steps without observations; with observations; also with refits."""

SIZES = {"mlp": 1000, "resnet": 20}
"""Steps of one repetition."""

OBSERVE_EVERY, REFIT_EVERY = 5, 4
BATCH, HELD = 64, 500
OVERHEAD = 1.15


def build(arm: str, model: str, steps: int) -> Callable[[], None]:
    """One `fit` of `steps` steps of an adapted model.

    Args:
        arm: one of `ARMS`.
        model: `mlp` (64-32-10, 84 adapter parameters, 8x8 images) or `resnet` (ResNet-20, 148
            adapter parameters, 32x32 images).
        steps: steps of the fit.
    """
    import keras
    import numpy as np

    from tfzoo.metricopt import (
        MetricOpt,
        MetricOptimizer,
        Observations,
        ValueFunction,
        attach_adapters,
    )
    from tfzoo.recipes import networks

    rng, side = np.random.default_rng(0), 8 if model == "mlp" else 32
    if model == "mlp":
        base, layers = networks.mlp((8, 8, 1), 10, (32,), 8.0, 8.0), ("hidden_0", "logits")
    else:
        base = networks.resnet((32, 32, 3), 10, 20, 16, 127.0, 64.0)
        layers = ("stage_2_block_2_norm", "logits")
    channels = base.input_shape[-1]
    draw = lambda n: rng.normal(size=(n, side, side, channels)).astype("float32")  # noqa: E731
    x, y = draw(steps * BATCH if model == "mlp" else BATCH), rng.integers(0, 10, steps * BATCH)
    if model != "mlp":
        x = np.broadcast_to(x, (steps, *x.shape)).reshape(steps * BATCH, *x.shape[1:])
    adapted = attach_adapters(base, layers)
    size, inner = len(adapted.get_vector()), keras.optimizers.SGD(1e-4, momentum=0.9)
    optimizer = inner if arm == "plain" else MetricOptimizer(inner, 0.3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adapted.compile(optimizer, loss)
    optimizer.build(adapted.trainable_variables)
    callbacks = []
    if arm != "plain":
        value = ValueFunction(size)
        cloud = Observations(rng.normal(size=(200, size)), rng.normal(size=200), np.ones(200))
        value.fit_observations(cloud, 5, 0)
        optimizer.value.set_weights(value.get_weights())
        optimizer.coupling.assign(0.3)
    if arm in ("observing", "refitting"):
        held = draw(HELD), rng.integers(0, 10, HELD)
        callbacks = [
            MetricOpt(
                "misclassification_rate",
                held,
                trajectories=0,
                value_function=value,
                observe_every=OBSERVE_EVERY,
                refit_every=REFIT_EVERY,
                refit_steps=60 if arm == "refitting" else 0,
            )
        ]

    def run() -> None:
        adapted.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)

    return run


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench metricopt` with the arguments `argv`."""
    parser = bench.parser("metricopt", __doc__, 7)
    parser.add_argument("--models", default=",".join(SIZES), help="a subset of %(default)s")
    parser.add_argument(
        "--steps", type=int, help="steps of a repetition; default: depends on the model"
    )
    words = bench.parse(parser, argv)
    check(words.steps is None or words.steps >= 1, "--steps", words.steps, "at least 1")
    rows, targets = [], []
    with bench.workers(ARMS, time_limit=300) as workers:
        for model in words.models.split(","):
            check(model in SIZES, "--models", model, f"one of {', '.join(SIZES)}")
            steps = words.steps or SIZES[model]
            keywords = {arm: {"arm": arm, "model": model, "steps": steps} for arm in ARMS}
            target = "tfzoo.metricopt.experiments.bench:build"
            results = bench.compare(workers, target, keywords, words.rounds, memory=False)
            rows += _rows(model, steps, results)
            targets += _targets(model, results)
    for row in rows:
        print(" ".join(f"{k}={v}" for k, v in row.items()))
    bench.report("metricopt", rows, targets, words.output)


def _rows(model: str, steps: int, results: dict[str, Result]) -> list[dict[str, Any]]:
    rows = []
    per_step = {name: 1000 * result.median / steps for name, result in results.items()}
    for name, result in results.items():
        row: dict[str, Any] = {"model": model, "alternative": name}
        row |= {"ms_per_step": _round(per_step[name])}
        row |= {"ratio_to_plain": _round(per_step[name] / per_step["plain"])}
        extra = {"observing": "between", "refitting": "observing"}.get(name)
        # ms per observation, or per refit
        every = OBSERVE_EVERY * (REFIT_EVERY if name == "refitting" else 1)
        row["ms_per_event"] = _round((per_step[name] - per_step[extra]) * every) if extra else ""
        rows.append(row | {"repetitions": len(result.seconds), "error": result.error})
    return rows


def _targets(model: str, results: dict[str, Result]) -> list[Target]:
    ratio = results["between"].median / results["plain"].median
    says = f"{model}: time of a step between observations / plain fine-tuning's"
    return [Target(says, ratio, OVERHEAD, at_least=False)]


def _round(value: float) -> float | str:
    return "" if value != value else round(value, 4)

"""`tfzoo bench sdn`: sets per second in training, encoding, sampling; the prior against TFP's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfzoo.config import check
from tfzoo.experiments import bench
from tfzoo.experiments.bench import Target, Times
from tfzoo.typing import Tensor

PARTS = ("prior", "network")
PRIOR = ("ours", "tfp")
"""Sampling codes from one MADE: in one pass, and by TFP's `Autoregressive` with one pass per
bit."""

NETWORK = ("training", "encoding", "sampling")
DIM, CODES = 64, 256
SETS, SIZE, SIDE = 16, 8, 16
FASTER = 3


def build_prior(name: str, dim: int = DIM, codes: int = CODES) -> Callable[[], None]:
    """Draws codes from a MADE with two hidden layers of 128 units.

    Args:
        name: one of `PRIOR`; both are compiled functions without XLA.
        dim: number of bits of a code.
        codes: number of codes drawn at once.
    """
    import tensorflow as tf

    from tfzoo.sdn import MADE

    prior = MADE(dim)
    prior.build((None, dim))
    if name == "ours":
        draw = tf.function(lambda: prior.sample(tf.random.uniform([codes, dim])))
    else:
        draw = tf.function(lambda: 2.0 * prior.distribution().sample(codes) - 1.0)
    return lambda: _wait(draw())


def build_network(name: str, width: int = 256, sets: int = SETS) -> Callable[[], None]:
    """One step of `fit`, encoding a batch of sets, or sampling as many sets.

    Args:
        name: one of `NETWORK`.
        width: width of the `mlp` networks, images of 16x16.
        sets: number of sets of 8 images at once.
    """
    import numpy as np
    import tensorflow as tf

    from tfzoo.sdn import SetDistributionNetwork

    model = SetDistributionNetwork(SIDE, width=width, seed=0)
    model.compile()
    x = np.random.default_rng(0).integers(0, 256, (sets, SIZE, SIDE, SIDE, 1)).astype("float32")
    if name == "training":
        return lambda: model.train_on_batch(x) and None
    if name == "encoding":
        encode = tf.function(lambda x: model(x, training=False))
        return lambda: _wait(encode(x))

    @tf.function
    def sample() -> Tensor:
        codes = model.prior.sample(tf.random.uniform([sets, model.code_dim]))
        return model.images(codes, tf.random.normal([sets, SIZE, model.noise_dim]))

    return lambda: _wait(sample())


def _wait(x: Tensor) -> None:
    x[:1].numpy()  # waits for the device


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench sdn` with the arguments `argv`."""
    parser = bench.parser("sdn", __doc__, 5, PARTS)
    parser.add_argument("--width", type=int, default=256, help="width of the networks")
    words = bench.parse(parser, argv, PARTS)
    check(words.width >= 1, "--width", words.width, "at least 1")
    rows: list[dict[str, Any]] = []
    if "prior" in words.parts:
        keywords = {name: {"name": name} for name in PRIOR}
        rows += _compare("prior", keywords, words.rounds, CODES)
    if "network" in words.parts:
        keywords = {name: {"name": name, "width": words.width} for name in NETWORK}
        rows += _compare("network", keywords, words.rounds, SETS)
    bench.report("sdn", rows, targets(rows), words.output)


def _compare(
    kind: str, keywords: dict[str, dict[str, Any]], rounds: int, count: int
) -> list[dict[str, Any]]:
    with bench.workers(list(keywords), time_limit=300) as workers:
        target = f"tfzoo.sdn.experiments.bench:build_{kind}"
        results = bench.compare(workers, target, keywords, rounds)
    rows = bench.table(results, kind=kind, sets=count)
    for row in rows:
        seconds = row["seconds"]
        row["sets_a_second"] = round(count / seconds, 1) if seconds else ""
    return rows


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The targets that can be computed from the rows."""
    times = Times(rows, "kind", "alternative")
    says = f"MADE, d={DIM}: sampling, times faster than TFP's Autoregressive"
    return times.ratio(says, ("prior", "tfp"), ("prior", "ours"), FASTER, True)

"""`tfzoo bench bottleneck`: kernel matrices at several sizes, and steps of the simulators."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any

from tfzoo import bench
from tfzoo.bench import Result, Target
from tfzoo.config import check

INPUTS, DEPTH = 784, 3
SIZES = (1000, 2000, 4000, 8000)
TARGET_SIZE = 4000
KERNELS = ("ours", "plain", "limit")
PASSES = 5
SIMULATORS = ("hybrid", "finite")
SIMULATION = {"points": 256, "inputs": INPUTS, "width": 2048, "dim": 16, "outputs": 10, "steps": 5}
SLOWEST_ROUNDS = 3
"""Turns at the greatest sizes, where one repetition takes seconds."""


def build_kernel(name: str, points: int, inputs: int = INPUTS) -> Callable[[], None]:
    """The NTK of a ReLU net of depth 3, float32 [points, points]; or what it is measured by."""
    import numpy as np
    import tensorflow as tf

    x = np.random.default_rng(0).normal(size=(points, inputs)).astype("float32")
    if name == "ours":
        from tfzoo.bottleneck import InfiniteMLP, kernel_matrix

        return lambda: kernel_matrix(InfiniteMLP(DEPTH), x) is None
    x = tf.constant(x)
    if name == "plain":
        compute = tf.function(plain_ntk)
        return lambda: compute(x, DEPTH)[:1].numpy() is None

    def limit() -> None:
        k = tf.matmul(x, x, transpose_b=True)
        for _ in range(PASSES):  # eagerly: compiled they would be one
            k = k * 1.001
        k[:1].numpy()

    return limit


def plain_ntk(x: Any, depth: int) -> Any:
    """The textbook recursion on whole matrices."""
    import tensorflow as tf

    k = tf.matmul(x, x, transpose_b=True) / x.shape[1]
    norm = tf.sqrt(tf.linalg.diag_part(k))
    theta = k
    for _ in range(depth):
        scale = norm[:, None] * norm[None, :]
        c = tf.clip_by_value(k / scale, -1.0, 1.0)
        angle = tf.acos(c)
        k = scale * (tf.sin(angle) + (math.pi - angle) * c) / math.pi
        theta = k + theta * (math.pi - angle) / math.pi
    return theta


def build_simulator(
    name: str, points: int, inputs: int, width: int, dim: int, outputs: int, steps: int
) -> Callable[[], None]:
    """`steps` steps of gradient descent: S2, or S1 of the same width by autodiff; float32."""
    import numpy as np
    import tensorflow as tf

    from tfzoo.bottleneck import InfiniteMLP, dynamics

    rng = np.random.default_rng(0)
    x = rng.normal(size=(points, inputs)).astype("float32")
    y = rng.normal(size=(points, outputs)).astype("float32")
    g, f = InfiniteMLP(2), InfiniteMLP(1)
    if name == "hybrid":
        nngp, theta = g.covariances(x)
        z = tf.cast(dynamics.draw_points(nngp, dim, seed=0, jitter=1e-6), "float32")
        head = dynamics.Head.draw(f, dim, width, outputs, seed=1)
        problem: Any = dynamics.Hybrid(theta, z, head, y)
    else:
        layers = (
            dynamics.draw_layers(g, inputs, width, dim, seed=0, dtype="float32"),
            dynamics.draw_layers(f, dim, width, outputs, seed=1, dtype="float32"),
        )
        problem = dynamics.FiniteNetwork(g, f, layers, x, y)
    rate = tf.constant(1e-3)

    @tf.function
    def run(state: Any) -> Any:
        for _ in range(steps):
            state, _outputs = problem.step(state, rate)
        return state

    state = problem.start()
    return lambda: tf.nest.flatten(run(state))[0][:1].numpy() is None


def main(argv: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tfzoo bench bottleneck", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each alternative")
    parser.add_argument("--parts", default="kernel,simulator", help="some of %(default)s")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="N of the kernels")
    parser.add_argument("--output", default="benches/bottleneck")
    words = parser.parse_args(argv)
    check(words.rounds >= 1, "--rounds", words.rounds, "at least 1")
    makers = {"kernel": kernel_rows, "simulator": simulator_rows}
    parts = words.parts.split(",")
    for part in parts:
        check(part in makers, "--parts", part, f"some of {', '.join(makers)}")
    for word in words.sizes.split(","):
        good = word.isdecimal() and int(word) >= 1
        check(good, "--sizes", word, "whole numbers from 1 up, with commas between")
    sizes = sorted({int(word) for word in words.sizes.split(",")})
    rows = []
    for part in parts:
        rows += makers[part](words.rounds, sizes)
    found = targets(rows)
    bench.report("bottleneck", rows, found, words.output)
    for target in found:
        print(target)
    print(f"written to {words.output}")


def kernel_rows(rounds: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Our kernel matrix, the plain one, and the limit, at each size."""
    rows = []
    with bench.workers(KERNELS, time_limit=300) as made:
        for n in sizes:
            keywords = {name: {"name": name, "points": n} for name in KERNELS}
            turns = rounds if n <= TARGET_SIZE else min(rounds, SLOWEST_ROUNDS)
            target = "tfzoo.bottleneck.bench:build_kernel"
            rows += _rows("kernel", n, 1, bench.compare(made, target, keywords, turns))
    return rows


def simulator_rows(rounds: int, sizes: Sequence[int] = ()) -> list[dict[str, Any]]:
    """The hybrid simulator and the finite net."""
    keywords = {name: {"name": name, **SIMULATION} for name in SIMULATORS}
    with bench.workers(SIMULATORS, time_limit=300) as made:
        target = "tfzoo.bottleneck.bench:build_simulator"
        found = bench.compare(made, target, keywords, rounds)
        return _rows("simulator", SIMULATION["width"], SIMULATION["steps"], found)


def _rows(kind: str, size: int, steps: int, results: dict[str, Result]) -> list[dict[str, Any]]:
    rows = []
    for result in results.values():
        peak = result.peak_bytes
        seconds = result.median / steps
        rows.append(
            {
                "kind": kind,
                "size": size,
                "alternative": result.name,
                "seconds": round(seconds, 6) if result.seconds else "",
                "per_second": round(1.0 / seconds, 2) if result.seconds else "",
                "repetitions": len(result.seconds),
                "peak_mib": round(peak / 2**20, 1) if peak is not None else "",
                "error": result.error,
            }
        )
        said = result.error or f"{seconds * 1e3:10.2f} ms {rows[-1]['peak_mib']:>9} MiB"
        print(f"{kind:10} {size:5} {result.name:7} {said}", flush=True)
    return rows


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The figures that are meant to be reached, as far as the rows tell."""
    time = {(r["kind"], r["size"], r["alternative"]): r["seconds"] for r in rows if r["seconds"]}
    sizes = sorted({size for kind, size, _ in time if kind == "kernel"})
    found = []

    def ratio(says: str, over: tuple, under: tuple, bound: float, at_least: bool) -> None:
        if over in time and under in time:
            found.append(Target(says, time[over] / time[under], bound, at_least))

    for n in sizes:
        ours, plain, limit = (("kernel", n, name) for name in KERNELS)
        if n == TARGET_SIZE:
            says = f"N={n}: time / that of one product and {PASSES} passes"
            ratio(says, ours, limit, 3, False)
        ratio(f"N={n}: times faster than plain TensorFlow", plain, ours, 1, True)
    ours = [n for n in sizes if ("kernel", n, "ours") in time]
    if len(ours) > 1:
        growth = bench.slope(ours, [time["kernel", n, "ours"] for n in ours])
        found.append(Target("growth of the kernel's time: exponent of N", growth, 2.2, False))
    for row in rows:
        if row["kind"] == "kernel" and row["alternative"] == "ours" and row["peak_mib"] != "":
            beyond = row["peak_mib"] - 4 * row["size"] ** 2 / 2**20
            says = f"N={row['size']}: MiB beyond the result"
            found.append(Target(says, beyond, 1024, False))
    width = SIMULATION["width"]
    hybrid, finite = (("simulator", width, name) for name in SIMULATORS)
    says = f"steps per second: hybrid / finite net of width {width}"
    ratio(says, finite, hybrid, 1, True)
    return found

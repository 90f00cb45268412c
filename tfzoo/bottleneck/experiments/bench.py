"""`tfzoo bench bottleneck`: kernel matrices at several sizes, and steps of the simulators.

The part `peers` compares the kernel matrix with that of neural-tangents, if that is installed. The
extra `peers` leaves it out: its release 0.6.5 does not import with today's JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tfzoo.config import check
from tfzoo.experiments import bench, peers
from tfzoo.experiments.bench import Target, Times
from tfzoo.typing import Tensor

INPUTS, DEPTH = 784, 3
SIZES = (1000, 2000, 4000, 8000)
TARGET_SIZE = 4000
KERNELS = ("ours", "plain", "limit")
PASSES = 5
SIMULATORS = ("hybrid", "finite")
SIMULATION = {"points": 256, "inputs": INPUTS, "width": 2048, "dim": 16, "outputs": 10, "steps": 5}
SLOWEST_ROUNDS = 3
"""Turns at the largest sizes, where one repetition takes seconds."""


def build_kernel(name: str, points: int, inputs: int = INPUTS) -> Callable[[], None]:
    """The NTK of a depth-3 ReLU network, float32 [points, points], or an alternative to it."""
    import numpy as np
    import tensorflow as tf

    x = np.random.default_rng(0).normal(size=(points, inputs)).astype("float32")
    if name == "ours":
        from tfzoo.bottleneck import InfiniteMLP, kernel_matrix

        def ours() -> None:
            kernel_matrix(InfiniteMLP(DEPTH), x)

        return ours
    if name == "neural_tangents":
        return _neural_tangents(x)
    x = tf.constant(x)
    if name == "plain":
        compute = tf.function(plain_ntk)

        def plain() -> None:
            compute(x, DEPTH)[:1].numpy()

        return plain

    def limit() -> None:
        k = tf.matmul(x, x, transpose_b=True)
        for _ in range(PASSES):  # eagerly: compilation would merge them
            k = k * 1.001
        k[:1].numpy()

    return limit


def _neural_tangents(x: Any) -> Callable[[], None]:
    import jax
    from neural_tangents import stax

    hidden = [layer for _ in range(DEPTH) for layer in (stax.Dense(1, 2**0.5), stax.Relu())]
    kernel = jax.jit(stax.serial(*hidden, stax.Dense(1))[2], static_argnames="get")
    x = jax.numpy.asarray(x)
    return lambda: kernel(x, None, get="ntk").block_until_ready() and None


def plain_ntk(x: Tensor, depth: int) -> Tensor:
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
    """`steps` steps of gradient descent: S2, or S1 of equal width by autodiff; float32."""
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

    def repetition() -> None:
        tf.nest.flatten(run(state))[0][:1].numpy()

    return repetition


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench bottleneck` with the arguments `argv`."""
    makers = {"kernel": kernel_rows, "simulator": simulator_rows, peers.PART: peer_rows}
    parser = bench.parser("bottleneck", __doc__, 9, tuple(makers))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="sizes N of the kernels")
    words = bench.parse(parser, argv, tuple(makers))
    for word in words.sizes.split(","):
        good = word.isdecimal() and int(word) >= 1
        check(good, "--sizes", word, "comma-separated whole numbers of at least 1")
    sizes = sorted({int(word) for word in words.sizes.split(",")})
    rows = []
    for part in words.parts:
        rows += makers[part](words.rounds, sizes)
    bench.report("bottleneck", rows, targets(rows), words.output)


def kernel_rows(rounds: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Our kernel matrix, the plain one, and the lower bound, at each size."""
    rows = []
    with bench.workers(KERNELS, time_limit=300) as workers:
        for n in sizes:
            keywords = {name: {"name": name, "points": n} for name in KERNELS}
            turns = rounds if n <= TARGET_SIZE else min(rounds, SLOWEST_ROUNDS)
            target = "tfzoo.bottleneck.experiments.bench:build_kernel"
            results = bench.compare(workers, target, keywords, turns)
            rows += bench.table(results, kind="kernel", size=n)
    return rows


def simulator_rows(rounds: int, sizes: Sequence[int] = ()) -> list[dict[str, Any]]:
    """The hybrid simulator and the finite network."""
    keywords = {name: {"name": name, **SIMULATION} for name in SIMULATORS}
    with bench.workers(SIMULATORS, time_limit=300) as workers:
        target = "tfzoo.bottleneck.experiments.bench:build_simulator"
        results = bench.compare(workers, target, keywords, rounds)
    steps = SIMULATION["steps"]
    return bench.table(results, steps, kind="simulator", size=SIMULATION["width"])


def peer_rows(rounds: int, sizes: Sequence[int] = ()) -> list[dict[str, Any]]:
    """The kernel matrix beside that of neural-tangents, if that is installed."""
    if peers.missing("neural_tangents"):
        return []
    points = min(TARGET_SIZE, *sizes)
    target = "tfzoo.bottleneck.experiments.bench:build_kernel"
    given: dict[str, list] = {name: [{}] for name in ("ours", "neural_tangents")}
    return peers.compare(target, given, {"points": points}, rounds, kind=peers.PART, size=points)


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The targets that can be computed from the rows."""
    times, reached = Times(rows, "kind", "size", "alternative"), []
    sizes = sorted({size for kind, size, _ in times.seconds if kind == "kernel"})
    for n in sizes:
        ours, plain, limit = (("kernel", n, name) for name in KERNELS)
        if n == TARGET_SIZE:
            says = f"N={n}: time / that of one product and {PASSES} passes"
            reached += times.ratio(says, ours, limit, 3, False)
        reached += times.ratio(f"N={n}: times faster than plain TensorFlow", plain, ours, 1, True)
    mine = {n: times.seconds[key] for n in sizes if (key := ("kernel", n, "ours")) in times.seconds}
    if len(mine) > 1:
        growth = bench.slope(list(mine), list(mine.values()))
        reached.append(Target("growth of the kernel's time: exponent of N", growth, 2.2, False))
    for row in rows:
        if row["kind"] == "kernel" and row["alternative"] == "ours" and row["peak_mib"] != "":
            beyond = row["peak_mib"] - 4 * row["size"] ** 2 / 2**20
            says = f"N={row['size']}: MiB beyond the result"
            reached.append(Target(says, beyond, 1024, False))
    ours, other = ((peers.PART, TARGET_SIZE, n) for n in ("ours", "neural_tangents"))
    says = f"N={TARGET_SIZE}: times faster than neural-tangents"
    reached += times.ratio(says, other, ours, 1, True)
    width = SIMULATION["width"]
    hybrid, finite = (("simulator", width, name) for name in SIMULATORS)
    says = f"steps per second: hybrid / finite net of width {width}"
    return reached + times.ratio(says, finite, hybrid, 1, True)

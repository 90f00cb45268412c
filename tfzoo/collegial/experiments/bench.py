"""`tfzoo bench collegial`: grouped convolution, batched dense layers, a ResNeXt's training step.

The part `peers` compares the grouped convolution with PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfzoo.config import check
from tfzoo.experiments import bench, peers
from tfzoo.experiments.bench import Target, Times
from tfzoo.typing import Tensor

BATCH, SIDE = 32, 16
GROUPS = {4: 256, 32: 256, 37: 370}
"""Groups -> channels of the 3x3 convolution."""
CONVOLUTIONS = ("ours", "keras", "loop", "dense")
DENSE = {"members": 32, "inputs": 64, "units": 64, "batch": 128}
NETWORKS = {"wide": (1, 128), "searched": (37, 10)}
PEERS = {"groups": 32, "channels": GROUPS[32]}
"""The convolution that is compared with PyTorch's."""
PEER_SETTINGS = {
    "ours": [{"precision": "float32", "layout": "channels_last"}],
    "torch": [
        {"precision": "float32", "layout": kind} for kind in ("channels_first", "channels_last")
    ],
}
SLOW_ROUNDS = 2
"""Repetitions of Keras's grouped convolution, which takes seconds."""


def build_convolution(name: str, groups: int, channels: int) -> Callable[[], None]:
    """Forward and backward of a 3x3 convolution on [32, 16, 16, channels]."""
    import keras

    from tfzoo.collegial import GroupConv2D

    settings = {"padding": "same", "use_bias": False}
    x = keras.random.normal((BATCH, SIDE, SIDE, channels), seed=0)
    if name == "loop":
        parts = [keras.layers.Conv2D(channels // groups, 3, **settings) for _ in range(groups)]
        split = _splitter(groups)

        def call(x: Tensor) -> Tensor:
            pairs = zip(parts, split(x), strict=True)
            return keras.ops.concatenate([part(piece) for part, piece in pairs], -1)

        return _pass(call, lambda: [w for part in parts for w in part.weights], x)
    layers = {
        "ours": lambda: GroupConv2D(channels, 3, groups, **settings),
        "keras": lambda: keras.layers.Conv2D(channels, 3, groups=groups, **settings),
        "dense": lambda: keras.layers.Conv2D(channels, 3, **settings),
    }
    layer = layers[name]()
    return _pass(layer, lambda: layer.weights, x)


def build_dense(name: str, members: int, inputs: int, units: int, batch: int) -> Callable:
    """Forward and backward of m dense layers on [batch, m, inputs]."""
    import keras

    from tfzoo.collegial import CollegialDense

    x = keras.random.normal((batch, members, inputs), seed=0)
    if name == "ours":
        layer = CollegialDense(members, units, "relu")
        return _pass(layer, lambda: layer.weights, x)
    parts = [keras.layers.Dense(units, "relu") for _ in range(members)]

    def call(x: Tensor) -> Tensor:
        slices = keras.ops.unstack(x, axis=1) if name == "unstacked" else _slices(x, members)
        return keras.ops.stack([part(piece) for part, piece in zip(parts, slices, strict=True)], 1)

    return _pass(call, lambda: [w for part in parts for w in part.weights], x)


def build_network(name: str) -> Callable[[], None]:
    """A training step of ResNeXt-29 on a batch of 32 images of 32x32."""
    import keras
    import numpy as np

    from tfzoo.collegial import CollegialResNeXt
    from tfzoo.optim import MomentumSGD

    keras.utils.set_random_seed(0)
    model = CollegialResNeXt(10, *NETWORKS[name])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(MomentumSGD(0.1, 0.9, 5e-4), loss)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (BATCH, 32, 32, 3)), rng.integers(0, 10, BATCH)
    x = x.astype("float32")
    return lambda: model.train_on_batch(x, y) and None


def build_peer(name: str, precision: str, layout: str, groups: int, channels: int) -> Callable:
    """As `build_convolution`, ours in channels-last or PyTorch's in either layout; float32."""
    if name == "ours":
        return build_convolution(name, groups, channels)
    torch = peers.import_torch()
    last = layout == "channels_last"
    form = torch.channels_last if last else torch.contiguous_format
    module = torch.nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
    x = torch.randn(BATCH, channels, SIDE, SIDE).to(memory_format=form)
    dy = torch.randn(BATCH, channels, SIDE, SIDE).to(memory_format=form)
    return peers.torch_pass(module.to(memory_format=form), x, precision, dy)


def _slices(x: Tensor, members: int) -> list[Tensor]:
    """A plain loop over the members; its gradient sums m arrays of the size of `x`."""
    return [x[:, j] for j in range(members)]


def _splitter(groups: int) -> Callable[[Tensor], list[Tensor]]:
    import keras

    return lambda x: keras.ops.split(x, groups, -1)


def _pass(call: Callable, weights: Callable[[], list], x: Tensor) -> Callable[[], None]:
    """One compiled forward and backward pass from a given dy, gradients of input and weights."""
    import keras
    import tensorflow as tf

    check(keras.backend.backend() == "tensorflow", "backend", keras.backend.backend(), "tensorflow")
    dy = keras.random.normal(call(x).shape, seed=1)
    values = [w.value for w in weights()]

    @tf.function
    def both(x: tf.Tensor, dy: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = call(x)
        # y too: a linear layer's gradients do not need it, so that TensorFlow would not compute it
        return [y, *(tf.convert_to_tensor(g) for g in tape.gradient(y, [x, *values], dy))]

    def step() -> None:
        both(x, dy)[0][:1].numpy()  # waits for the device

    return step


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench collegial` with the arguments `argv`."""
    makers = {
        "convolution": convolution_rows,
        "dense": dense_rows,
        "network": network_rows,
        peers.PART: peer_rows,
    }
    parser = bench.parser("collegial", __doc__, 9, tuple(makers))
    parser.add_argument("--groups", default="4,32,37", help="a subset of %(default)s")
    words = bench.parse(parser, argv, tuple(makers))
    known = {str(g): g for g in GROUPS}
    for word in words.groups.split(","):
        check(word in known, "--groups", word, f"one of {', '.join(known)}")
    groups = [known[word] for word in words.groups.split(",")]
    rows = []
    for part in words.parts:
        rows += makers[part](words.rounds, groups)
    bench.report("collegial", rows, targets(rows), words.output)


def convolution_rows(rounds: int, groups: Sequence[int]) -> list[dict[str, Any]]:
    """The four convolutions at each number of groups; Keras's own in fewer rounds."""
    rows = []
    for g in groups:
        keywords = {
            n: {"name": n, "groups": g, "channels": GROUPS[g]} for n in CONVOLUTIONS if n != "keras"
        }
        with bench.workers(CONVOLUTIONS) as workers:
            target = "tfzoo.collegial.experiments.bench:build_convolution"
            results = bench.compare(workers, target, keywords, rounds)
            slow = {"keras": {"name": "keras", "groups": g, "channels": GROUPS[g]}}
            results |= bench.compare(workers, target, slow, min(rounds, SLOW_ROUNDS))
        rows += bench.table(results, kind="convolution", size=g)
    return rows


def dense_rows(rounds: int, groups: Sequence[int] = ()) -> list[dict[str, Any]]:
    """`CollegialDense`, a loop of `Dense` on slices, and one on unstacked rows."""
    keywords = {n: {"name": n, **DENSE} for n in ("ours", "loop", "unstacked")}
    with bench.workers(list(keywords)) as workers:
        target = "tfzoo.collegial.experiments.bench:build_dense"
        results = bench.compare(workers, target, keywords, 3 * rounds)
    return bench.table(results, kind="dense", size=DENSE["members"])


def network_rows(rounds: int, groups: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Training steps of ResNeXt-29 1x128d and 37x10d."""
    keywords = {n: {"name": n} for n in NETWORKS}
    with bench.workers(list(keywords), time_limit=300) as workers:
        target = "tfzoo.collegial.experiments.bench:build_network"
        results = bench.compare(workers, target, keywords, max(1, rounds // 2))
    return bench.table(results, kind="network", size=29)


def peer_rows(rounds: int, groups: Sequence[int] = ()) -> list[dict[str, Any]]:
    """The grouped convolution beside PyTorch's in two layouts, if that is installed."""
    if peers.missing("torch"):
        return []
    target = "tfzoo.collegial.experiments.bench:build_peer"
    return peers.compare(target, PEER_SETTINGS, PEERS, rounds, kind=peers.PART, size=32)


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The targets that can be computed from the rows."""
    keys = ("kind", "size", "alternative")
    times, reached = Times(peers.fastest(rows, *keys), *keys), []
    for g in GROUPS:
        ours, keras = ("convolution", g, "ours"), ("convolution", g, "keras")
        if g == 32:
            says = "g=32: times faster than Keras's Conv2D(groups=g)"
            reached += times.ratio(says, keras, ours, 100, True)
        says = f"g={g}: time / that of a loop of convolutions"
        reached += times.ratio(says, ours, ("convolution", g, "loop"), 1.1, False)
    ours = ("dense", DENSE["members"], "ours")
    for name, what, bound in (("loop", "of Dense", 3), ("unstacked", "on unstacked rows", 1)):
        says = f"CollegialDense, m=32: times faster than a loop {what}"
        reached += times.ratio(says, ("dense", DENSE["members"], name), ours, bound, True)
    torch, ours = ((peers.PART, PEERS["groups"], name) for name in ("torch", "ours"))
    says = "g=32, float32: times faster than PyTorch's faster layout"
    reached += times.ratio(says, torch, ours, 1.2, True)
    wide, searched = ("network", 29, "wide"), ("network", 29, "searched")
    return reached + times.ratio("ResNeXt-29 step: 37x10d / 1x128d", searched, wide, 2, False)

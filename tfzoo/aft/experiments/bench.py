"""`tfzoo bench aft`: time and memory of AFT layers and `keras.layers.MultiHeadAttention`.

The part `peers` compares the layers, the generation of text and a training step of an image
classifier with PyTorch's attention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfzoo.aft.experiments import peers as torch_peers
from tfzoo.config import check
from tfzoo.experiments import bench, peers
from tfzoo.experiments.bench import Result, Target, Times
from tfzoo.typing import Tensor

if TYPE_CHECKING:
    import keras

DIM, HEADS, BATCH, WINDOW = 256, 8, 8, 32
LAYERS = ("attention", "full", "local", "simple", "conv", "projections")
DECODING = ("simple", "local", "full")
TARGETS = {"full": 4.0, "local": 6.0, "simple": 8.0}
DECODED = 64
"""Tokens per repetition of decoding."""

BUILD = "tfzoo.aft.experiments.bench:build_layer"
ALL_UP_TO = 2048
"""Up to this length each alternative is timed with all settings; beyond, with the best."""

SETTINGS = [(policy, xla) for policy in ("float32", "mixed_bfloat16") for xla in (False, True)]

PARTS = ("layers", "decoding", peers.PART)
PEER_KINDS = ("peers, layer", "peers, generation", "peers, training step")
PEER_LENGTH = 2048
PEER_LAYERS = ("full", "local", "simple", "conv", "attention")
GENERATED = (256, 1024)
"""Tokens of a repetition; the cost of one is to be the same."""
SIDE = 224
VARIANTS = ("conv", "full")
"""Of the classifier `aft/imagenet_tiny`, whose own is `conv`."""
PEER_TARGETS = {"full": (5.0, 4.0), "local": (8.0, 7.0), "simple": (12.0, 10.0), "conv": (9.0, 0.0)}
"""By layer, times faster than Keras's attention and than PyTorch's, best setting of each."""
OTHERS = {"attention": "Keras's attention", "torch": "PyTorch's attention"}


def build_layer(
    name: str, length: int, jit: bool, causal: bool, precision: str = "float32"
) -> Callable[[], None]:
    """A forward and backward pass of a layer on [8, length, 256], with gradients of all weights.

    `projections` is the common part: four dense layers with nothing in between.
    """
    import keras

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    layer = _layer(name, length, causal)
    x = keras.random.normal((BATCH, length, DIM), seed=0)
    call = _attend(layer, causal) if name == "attention" else layer
    call(x[:, :8])
    return _pass(layer, call, x, jit)


def _layer(name: str, length: int, causal: bool) -> keras.layers.Layer:
    import keras

    from tfzoo.aft import AFTConv1D, AFTFull, AFTLocal, AFTSimple

    layers = {
        "attention": lambda: keras.layers.MultiHeadAttention(HEADS, DIM // HEADS),
        "full": lambda: AFTFull(length, causal=causal),
        "local": lambda: AFTLocal(length, WINDOW, causal=causal),
        "simple": lambda: AFTSimple(causal=causal),
        "conv": lambda: AFTConv1D(HEADS, 2 * WINDOW - 1, causal=causal),
        "projections": lambda: keras.Sequential([keras.layers.Dense(DIM) for _ in range(4)]),
    }
    return layers[name]()


def _attend(layer: keras.layers.Layer, causal: bool) -> Callable:
    return lambda x: layer(x, x, use_causal_mask=causal)


def _pass(layer: keras.layers.Layer, call: Callable, x: Tensor, jit: bool) -> Callable[[], None]:
    import keras

    if keras.backend.backend() == "jax":
        import jax

        def loss(trainable: list[Tensor], x: Tensor) -> Tensor:
            with keras.StatelessScope(zip(layer.trainable_variables, trainable, strict=True)):
                return keras.ops.sum(keras.ops.square(call(x)))

        gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
        values = [v.value for v in layer.trainable_variables]
        return lambda: jax.block_until_ready(gradient(values, x))

    import tensorflow as tf

    weights = [v.value for v in layer.trainable_variables]

    @tf.function(jit_compile=jit)
    def both(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(call(x)))
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, [x, *weights])]

    def run() -> None:
        for g in both(x):
            g.numpy()[:1]

    return run


def build_decoding(name: str, position: int, steps: int = DECODED) -> Callable[[], None]:
    """Decodes `steps` tokens from a position on, one call each, batch 8."""
    import keras
    import tensorflow as tf

    layer = _layer(name, 8192, True)
    x = keras.random.normal((BATCH, DIM), seed=0)
    layer(x[:, None])
    state = layer.initial_state(BATCH)
    step = tf.function(layer.decode_step, jit_compile=True)
    _, state = step(x, state, tf.constant(position))

    def run() -> None:
        held = state
        for t in range(steps):
            y, held = step(x, held, tf.constant(position + t))
        y.numpy()

    return run


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench aft` with the arguments `argv`."""
    parser = bench.parser("aft", __doc__, 5, PARTS)
    parser.add_argument("--lengths", default="256,512,1024,2048,4096,8192")
    parser.add_argument("--layers", default=",".join(LAYERS), help="a subset of %(default)s")
    parser.add_argument("--causal", action="store_true", help="all layers causal")
    words = bench.parse(parser, argv, PARTS)
    try:
        lengths = sorted({int(n) for n in words.lengths.split(",")})
    except ValueError:
        lengths = [0]
    check(min(lengths) >= 16, "--lengths", words.lengths, "comma-separated numbers of at least 16")

    layers = words.layers.split(",")
    for name in layers:
        check(name in LAYERS, "--layers", name, f"one of {', '.join(LAYERS)}")

    rows = []
    if "layers" in words.parts:
        rows += layer_rows(layers, lengths, words.causal, words.rounds)
        plot(rows, Path(words.output) / "scaling.png")
        show(rows)
    if "decoding" in words.parts:
        positions = [p for p in (64, 512, 4096) if p < 4 * max(lengths)]
        rows += decoding_rows([n for n in DECODING if n in layers], positions, words.rounds)
    if peers.PART in words.parts:
        rows += peer_rows(words.rounds)
    bench.report("aft", rows, targets(rows), words.output)


def layer_rows(
    layers: Sequence[str], lengths: Sequence[int], causal: bool, rounds: int
) -> list[dict[str, Any]]:
    """Time and memory of each layer at each length, with its best setting."""
    rows, best = [], dict.fromkeys(layers, SETTINGS[0])
    with bench.workers(layers) as workers:
        for length in lengths:
            given = {n: {"name": n, "length": length, "causal": causal} for n in layers}
            count = rounds if length <= 1024 else max(2, min(rounds, 3))
            runs: list[dict[str, tuple[tuple[str, bool], Result]]] = []
            for setting in SETTINGS if length <= ALL_UP_TO or length == lengths[0] else (None,):
                chosen = {n: setting or best[n] for n in layers}
                words = {n: given[n] | _words(chosen[n]) for n in layers}
                results = bench.compare(workers, BUILD, words, count, memory=False)
                runs.append({n: (chosen[n], results[n]) for n in layers})
            for name in layers:
                best[name], result = min((run[name] for run in runs), key=lambda r: _time(r[1]))
                final = given[name] | _words(best[name])
                bench.weigh(workers, BUILD, {name: final}, {name: result})
                rows += _table({name: result}, "forward+backward", length, best[name], causal)
    return rows


def _words(setting: tuple[str, bool]) -> dict[str, Any]:
    return {"precision": setting[0], "jit": setting[1]}


def _time(result: Result) -> float:
    return result.median if result.seconds else float("inf")


def _table(
    results: dict[str, Result],
    kind: str,
    size: int,
    setting: tuple[str, bool],
    causal: bool,
    per: int = 1,
) -> list[dict[str, Any]]:
    form = {"kind": kind, "size": size, "causal": causal}
    return bench.table(results, per, "layer", **form, precision=setting[0], xla=setting[1])


def decoding_rows(
    names: Sequence[str], positions: Sequence[int], rounds: int
) -> list[dict[str, Any]]:
    """Milliseconds per token at several positions; not on JAX, where the loop is the user's."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return []
    rows = []
    cases = {f"{n}@{p}": {"name": n, "position": p} for n in names for p in positions}
    with bench.workers(list(cases)) as workers:
        target = "tfzoo.aft.experiments.bench:build_decoding"
        results = bench.compare(workers, target, cases, max(rounds, 5) * 2, memory=False)
    for case, result in results.items():
        name, position = case.split("@")
        cost = Result(name, result.seconds, None, result.error)
        setting = ("float32", True)
        rows += _table({name: cost}, "decoding", int(position), setting, True, DECODED)
    return rows


def build_peer_layer(name: str, size: int, precision: str, xla: bool = False) -> Callable:
    """As `build_layer`, or PyTorch's attention for `torch`; not causal."""
    if name == "torch":
        return torch_peers.build_attention(BATCH, size, DIM, precision)
    return build_layer(name, size, xla, False, precision)


def peer_rows(rounds: int) -> list[dict[str, Any]]:
    """Layers, generation and a classifier's step beside PyTorch's, if that is installed."""
    if peers.missing("torch"):
        return []
    module = "tfzoo.aft.experiments"

    def compare(
        kind: str, target: str, settings: dict[str, list], common: dict[str, Any], per: int = 1
    ) -> list[dict[str, Any]]:
        place = f"{module}.{target}"
        return peers.compare(place, settings, common, rounds, per=per, name="layer", kind=kind)

    layer, generation, step = PEER_KINDS
    layers: dict[str, list] = {name: peers.KERAS for name in PEER_LAYERS}
    layers["torch"] = [*peers.TORCH, {"precision": "bfloat16"}]
    rows = compare(layer, "bench:build_peer_layer", layers, {"size": PEER_LENGTH})
    drawing: dict[str, list] = {"ours": [{"xla": xla} for xla in (False, True)], "torch": [{}]}
    for length in GENERATED:
        text = {"size": length, "batch": BATCH}
        drawn = compare(generation, "peers:build_generation", drawing, text, length)
        for row in drawn:
            row["precision"] = "float32"
            row["tokens_per_second"] = round(BATCH / row["seconds"]) if row["seconds"] else ""
        rows += drawn
    if not peers.missing("torchvision"):
        steps = {"ours": peers.KERAS, "torch": peers.TORCH}
        for variant in VARIANTS:
            images = {"variant": variant, "size": SIDE, "batch": BATCH}
            rows += compare(step, "peers:build_step", steps, images)
    return rows


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The layers' targets that can be computed from the rows."""
    times, reached, passes = Times(rows, "kind", "layer", "size"), [], "forward+backward"
    memory = {(r["layer"], r["size"]): r["peak_mib"] for r in rows if r["peak_mib"] != ""}
    for name, factor in TARGETS.items():
        says = f"{name} at T=2048, times faster than attention"
        over, under = (passes, "attention", 2048), (passes, name, 2048)
        reached += times.ratio(says, over, under, factor, True)
    for name in ("simple", "local"):
        seconds = {
            size: time
            for (kind, layer, size), time in times.seconds.items()
            if kind == passes and layer == name and size >= 1024
        }
        if len(seconds) > 1:
            growth = bench.slope(list(seconds), list(seconds.values()))
            says = f"{name} growth exponent of time, T={min(seconds)} to {max(seconds)}"
            reached.append(Target(says, growth, 1.2, False))
    for name in ("simple", "local"):
        says = f"{name} cost a token, position 4096 / 64"
        reached += times.ratio(says, ("decoding", name, 4096), ("decoding", name, 64), 1.2, False)
    for name in ("full", "local", "simple", "conv"):
        shares = [
            mib / memory["attention", s]
            for (n, s), mib in memory.items()
            if n == name and s >= 1024 and memory.get(("attention", s))
        ]
        if shares:
            says = f"{name} memory / attention's, worst from T=1024"
            reached.append(Target(says, max(shares), 1.0, False))
    return reached + peer_targets(rows)


def peer_targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """Those of the part `peers`, each alternative in its fastest setting."""
    keys = ("kind", "size", "variant", "layer")
    rows = [{"variant": ""} | row for row in rows if row["kind"] in PEER_KINDS]
    times, reached = Times(peers.fastest(rows, *keys), *keys), []
    layer, generation, step = PEER_KINDS
    for name, bounds in PEER_TARGETS.items():
        for other, bound in zip(("attention", "torch"), bounds, strict=True):
            says = f"{name} at T={PEER_LENGTH}, best settings: times faster than {OTHERS[other]}"
            over, under = ((layer, PEER_LENGTH, "", n) for n in (other, name))
            reached += times.ratio(says, over, under, bound, True)
    for length in GENERATED:
        says = f"generation of {length}: times as many tokens a second as PyTorch's attention"
        over, under = ((generation, length, "", n) for n in ("torch", "ours"))
        reached += times.ratio(says, over, under, 3.0, True)
    short, long = ((generation, length, "", "ours") for length in GENERATED)
    says = f"generation: cost of a token of {GENERATED[1]} / of {GENERATED[0]}"
    reached += times.ratio(says, long, short, 1.2, False)
    for variant in VARIANTS:
        says = f"AFT-{variant} tiny, a training step: times as fast as PyTorch's ViT of equal size"
        over, under = ((step, SIDE, variant, n) for n in ("torch", "ours"))
        reached += times.ratio(says, over, under, 1.0, True)
    return reached


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Prints times, ratios to attention, and memory."""
    import rich
    from rich.table import Table

    layers = [r for r in rows if r["kind"] == "forward+backward"]
    sizes = sorted({r["size"] for r in layers})
    table = Table("ms (times faster than attention) / MiB", *map(str, sizes))
    by = {(r["layer"], r["size"]): r for r in layers}
    for name in dict.fromkeys(r["layer"] for r in layers):
        cells = []
        for size in sizes:
            row, base = by[name, size], by.get(("attention", size))
            if row["seconds"] == "":
                cells.append(row["error"])
                continue
            ratio = ""
            if base is not None and base["seconds"] != "":
                ratio = f" ({base['seconds'] / row['seconds']:.1f}x)"
            cells.append(f"{row['seconds'] * 1e3:.1f}{ratio} / {row['peak_mib']}")
        table.add_row(name, *cells)
    rich.print(table)


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Time and memory over length, log-log."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from tfzoo.experiments.plots import save_figure

    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, key, label in (
        (axes[0], "seconds", "seconds, forward and backward"),
        (axes[1], "peak_mib", "peak memory of a pass, MiB"),
    ):
        for name in dict.fromkeys(r["layer"] for r in rows):
            points = [
                (r["size"], r[key])
                for r in rows
                if r["kind"] == "forward+backward" and r["layer"] == name and r[key] != ""
            ]
            axis.plot(*zip(*points, strict=True), marker="o", label=name)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("length T")
        axis.set_ylabel(label)
    axes[0].legend(fontsize=8)
    figure.suptitle(f"AFT layers and attention: d = {DIM}, batch {BATCH}, {HEADS} heads")
    save_figure(figure, path)

"""PyTorch as the alternative in a bench: the same turns, medians and number of threads.

PyTorch is optional (extra `peers`) and runs eagerly, as its users' programs do. `mixed_bfloat16`
is autocast with float32 weights there, which is Keras's policy of that name; `bfloat16` casts the
weights too.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from tfzoo.environment import versions_of
from tfzoo.experiments import bench

THREADS = 2
"""Threads of an operation, in both frameworks."""
LIMIT_SECONDS = 300.0
"""Of one request to an alternative."""
PART = "peers"
"""The name of the part of a bench that compares with PyTorch."""
KERAS: list[dict[str, Any]] = [
    {"precision": precision, "xla": xla}
    for precision in ("float32", "mixed_bfloat16")
    for xla in (False, True)
]
"""The settings that a Keras model is timed with."""
TORCH: list[dict[str, Any]] = [
    {"precision": precision} for precision in ("float32", "mixed_bfloat16")
]
"""Those of a PyTorch module; none is compiled, which would need a C++ compiler."""


def missing(*packages: str) -> bool:
    """Prints a line if one of the packages is not installed, and returns whether that is so."""
    absent = [name for name in packages if find_spec(name) is None]
    if absent:
        print(f"{PART}: skipped, without {', '.join(absent)}: pip install 'tfzoo[{PART}]'")
    return bool(absent)


def compare(
    target: str,
    settings: Mapping[str, Sequence[Mapping[str, Any]]],
    common: Mapping[str, Any],
    rounds: int,
    *,
    per: int = 1,
    name: str = "alternative",
    **columns: Any,
) -> list[dict[str, Any]]:
    """Times each alternative in each of its settings: a row for each, without memory.

    The first settings of all alternatives take turns, then their second ones, and so on, each in
    the alternative's own process with `THREADS` threads.

    Args:
        target: `"module:function"` as in `tfzoo.experiments.bench.compare`, called with
            `name=alternative`, the common keywords and those of a setting.
        settings: by alternative, the keywords of each of its settings.
        common: keywords of all.
        rounds: turns of each.
        per: units in one repetition, as in `tfzoo.experiments.bench.table`.
        name: the column with the alternative's name.
        **columns: leading columns, the same in all rows; keywords are columns too.
    """
    rows = []
    versions = versions_of("torch", "torchvision")
    with _threads(), bench.workers(list(settings), time_limit=LIMIT_SECONDS) as workers:
        for turn in range(max(map(len, settings.values()))):
            given = {n: {**common, **s[turn]} for n, s in settings.items() if turn < len(s)}
            named = {n: {"name": n, **keywords} for n, keywords in given.items()}
            results = bench.compare(workers, target, named, rounds, memory=False)
            for alternative, result in results.items():
                form = columns | given[alternative]
                rows += bench.table({alternative: result}, per, name, **form)
    return [row | {"threads": THREADS} | versions for row in rows]


@contextlib.contextmanager
def _threads() -> Iterator[None]:
    """Processes that are started in the block use `THREADS` threads for an operation."""
    before = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(THREADS)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def fastest(rows: Sequence[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """The rows of the least seconds for each combination of the columns `keys`.

    Rows without seconds are left out.
    """
    best: dict[tuple, dict[str, Any]] = {}
    for row in sorted((r for r in rows if r["seconds"]), key=lambda r: -r["seconds"]):
        best[tuple(row[k] for k in keys)] = row
    return list(best.values())


def import_torch() -> Any:
    """PyTorch without Triton, whose library crashes a process that has loaded TensorFlow.

    Both bring LLVM. Triton compiles for GPUs alone.
    """
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
    import torch

    return torch


def torch_pass(module: Any, x: Any, precision: str, dy: Any = None) -> Callable[[], None]:
    """A forward and backward pass of a PyTorch module, with gradients of x and all weights.

    Args:
        module: a `torch.nn.Module`, which becomes bfloat16 if `precision` is.
        x: its input, a `torch.Tensor`.
        precision: `float32`, `mixed_bfloat16` or `bfloat16`.
        dy: the gradient of the output; None: that of the sum of its squares.
    """
    torch = import_torch()
    if precision == "bfloat16":
        module, x = module.bfloat16(), x.bfloat16()
    x = x.detach().requires_grad_()
    inputs = [x, *module.parameters()]

    def both() -> None:
        with _autocast(precision):
            y = module(x)
        if dy is None:
            torch.autograd.grad(y.square().sum(), inputs)
        else:
            torch.autograd.grad(y, inputs, dy)

    return both


def torch_step(
    model: Any, optimizer: Any, x: Any, y: Any, precision: str = "float32"
) -> Callable[[], None]:
    """A training step of a PyTorch classifier by cross-entropy.

    Args:
        model: a `torch.nn.Module` from x to logits.
        optimizer: its optimizer.
        x: inputs.
        y: classes, int64 [B].
        precision: `float32` or `mixed_bfloat16`.
    """
    torch = import_torch()
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        with _autocast(precision):
            logits = model(x)
        loss = torch.nn.functional.cross_entropy(logits.float(), y)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def _autocast(precision: str) -> Any:
    torch = import_torch()
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16")


def keras_step(model: Any, optimizer: Any, x: Any, y: Any, xla: bool = False) -> Callable[[], None]:
    """A training step of a Keras classifier by cross-entropy: its `train_on_batch`.

    Args:
        model: a Keras model from x to logits.
        optimizer: its optimizer.
        x: inputs, a tensor.
        y: classes, an integer tensor [B].
        xla: compiles the step by XLA.
    """
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=xla)
    return lambda: model.train_on_batch(x, y) and None


def parameters(module: Any) -> int:
    """Parameters of a PyTorch module."""
    return sum(p.numel() for p in module.parameters())


def matched(make: Callable[[int], Any], target: int) -> int:
    """The width of a hidden layer with which a PyTorch module has `target` parameters, nearly.

    Args:
        make: the module with a given width; its parameters grow linearly with it.
        target: number of parameters.
    """
    one, two = (parameters(make(width)) for width in (1, 2))
    return max(1, 1 + round((target - one) / (two - one)))

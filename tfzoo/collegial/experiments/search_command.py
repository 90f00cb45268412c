"""`tfzoo search collegial`: the best number and width of members, as a table, CSV and plot."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tfzoo.collegial import search
from tfzoo.collegial.mlp import parameters
from tfzoo.collegial.resnext import count_kernels
from tfzoo.collegial.search import Shape
from tfzoo.config import check
from tfzoo.errors import InputError
from tfzoo.files import expanded, write_csv

NETWORKS = {
    "resnext29": ("1x128", {"family": "cifar", "depth": 29, "num_classes": 10}),
    "resnext50": ("1x64", {"family": "imagenet", "depth": 50, "num_classes": 1000}),
    "resnext101": ("1x64", {"family": "imagenet", "depth": 101, "num_classes": 1000}),
}
DESCRIPTION = """Finds an ensemble's shape without training (arXiv:2006.07678): the lowest variance
of the neural tangent kernel within a parameter budget, and the fewest parameters within a variance
limit. Counts convolution kernels and classifier, but not batch normalisation."""


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo search collegial` with the arguments `argv`."""
    words = _parser().parse_args(argv)
    cost, depth, baseline = _network(words)
    check(words.alpha > 0, "--alpha", words.alpha, "above 0")
    check(words.tolerance >= 0, "--tolerance", words.tolerance, "at least 0")
    check(words.max_width >= 2, "--max-width", words.max_width, "at least 2")
    law = {"alpha": words.alpha, "depth": depth, "widths": range(1, words.max_width + 1)}
    members, width = baseline
    base = _shape(members, width, cost, law)
    budget = words.budget or base.parameters
    limit = words.variance or base.variance
    try:
        curve = search.frontier(budget, cost, tolerance=words.tolerance, **law)
        best = min(curve, key=lambda s: s.variance)
        least = search.minimize_parameters(limit, cost, **law)
    except ValueError as error:
        raise InputError(f"--{error}") from None
    named = [
        ("baseline", base),
        (f"least variance, up to {budget:,} parameters", best),
        (f"fewest parameters, variance up to {limit:.4g}", least),
    ]
    _show(named, words)
    if words.output:
        folder = Path(words.output)
        _write(curve, folder / "curve.csv")
        plot(curve, best, folder / "curve.png", f"{words.network}: the most members at each width")
        print(f"written to {folder}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tfzoo search collegial", description=DESCRIPTION)
    parser.add_argument("network", choices=[*NETWORKS, "mlp"], help="mlp needs --mlp")
    parser.add_argument("--mlp", metavar="IN,LAYERS,OUT", help="inputs, hidden layers, outputs")
    parser.add_argument("--baseline", metavar="MxN", help="members x width to compare with")
    parser.add_argument("--budget", type=int, help="parameter budget; default: the baseline's")
    parser.add_argument("--variance", type=float, help="variance limit; default: the baseline's")
    parser.add_argument("--alpha", type=float, default=search.ALPHA, help="default: %(default)s")
    parser.add_argument(
        "--tolerance", type=float, default=0.0, help="fraction by which the budget may be exceeded"
    )
    parser.add_argument("--max-width", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--output", type=expanded, help="folder for the whole curve as CSV and PNG")
    return parser


def _network(words: argparse.Namespace) -> tuple[Callable, int, tuple[int, int]]:
    if words.network != "mlp":
        default, settings = NETWORKS[words.network]
        # the ensemble's unit is a block: one hidden layer of members
        return _counted(settings), 1, _pair(words.baseline or default)
    try:
        inputs, depth, outputs = (int(n) for n in (words.mlp or "").split(","))
    except ValueError:
        inputs = depth = outputs = 0
    check(min(inputs, depth, outputs) >= 1, "--mlp", words.mlp, "three numbers, e.g. 64,4,10")

    def cost(members: int, width: int) -> int:
        return parameters(inputs, outputs, members, width, depth)

    return cost, depth, _pair(words.baseline or "1x128")


def _counted(settings: dict) -> Callable[[int, int], int]:
    return lambda members, width: count_kernels(members, width, **settings)


def _pair(text: str) -> tuple[int, int]:
    try:
        members, width = (int(n) for n in text.removesuffix("d").split("x"))
    except ValueError:
        members = width = 0
    check(min(members, width) >= 1, "--baseline", text, "members x width, e.g. 1x128")
    return members, width


def _shape(members: int, width: int, cost: Callable, law: dict) -> Shape:
    spread = search.variance(members, width, law["alpha"], law["depth"])
    return Shape(members, width, cost(members, width), spread)


def _show(named: Sequence[tuple[str, Shape]], words: argparse.Namespace) -> None:
    import rich
    from rich.table import Table

    table = Table("", "members x width", "parameters", "variance", title=words.network)
    for says, shape in named:
        table.add_row(says, str(shape), f"{shape.parameters:,}", f"{shape.variance:.5f}")
    rich.print(table)
    print(f"alpha {words.alpha:g}, budget tolerance {words.tolerance:g}")


def _write(curve: Sequence[Shape], path: Path) -> None:
    names = ("members", "width", "parameters", "variance")
    write_csv(path, [{name: getattr(shape, name) for name in names} for shape in curve])


def plot(curve: Sequence[Shape], best: Shape, path: Path, title: str) -> None:
    """Variance over width at equal budget, with the optimum marked."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from tfzoo.experiments.plots import save_figure

    figure, axes = plt.subplots(figsize=(6.5, 4))
    axes.plot([s.width for s in curve], [s.variance for s in curve], marker=".")
    axes.plot([best.width], [best.variance], "o", ms=9, label=f"{best}: {best.variance:.4f}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("width n of a member")
    axes.set_ylabel("variance V(m, n) of the kernel")
    axes.set_title(title)
    axes.legend()
    save_figure(figure, path)

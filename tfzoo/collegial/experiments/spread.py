"""The variance law by Monte Carlo, over width and over members."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.collegial.alpha import AlphaFit, measure_alpha, squared_variation
from tfzoo.collegial.mlp import CollegialMLP
from tfzoo.collegial.ntk import diagonal
from tfzoo.environment import columns, environment
from tfzoo.experiments.bench import slope
from tfzoo.experiments.keeping import kept
from tfzoo.files import write_csv, write_text

DEPTHS, WIDTHS = (1, 2, 3, 4), (8, 12, 16, 24, 32, 64)
MEMBERS, MEMBER_WIDTH, MEMBER_DEPTH = (1, 2, 4, 8, 16), 16, 2


def network(members: int, depth: int) -> Callable[[int], CollegialMLP]:
    """width -> a bias-free ReLU ensemble with one output."""
    return lambda width: CollegialMLP((64,), 1, members, width, depth)


def run(samples: int, seed: int, output: Path) -> dict[int, AlphaFit]:
    """Measures alpha at several depths and V over m; writes CSV, table and plot."""
    fits = {}
    for depth in DEPTHS:
        fits[depth] = AlphaFit(
            **kept(output, f"depth {depth}", (samples, seed), _fit, depth, samples, seed)
        )
        print(f"spread: depth {depth}: {fits[depth]}", flush=True)
    spreads = kept(output, "members", (samples, seed), _spreads, samples, seed)
    exponent = slope(MEMBERS, spreads)
    machine = environment()
    write_csv(output / "results.csv", [row | columns(machine) for row in _rows(fits, spreads)])
    about = {"study": "collegial-spread", **machine}
    write_text(output / "study.json", json.dumps(about, indent=2))
    write_text(output / "table.md", table(fits, spreads, exponent, samples))
    plot(fits, spreads, output / "spread.png")
    print(table(fits, spreads, exponent, samples))
    return fits


def _fit(depth: int, samples: int, seed: int) -> dict[str, Any]:
    """`AlphaFit` of a depth, as its fields."""
    model = network(1, depth)
    return asdict(measure_alpha(model, WIDTHS, depth=depth, samples=samples, seed=seed))


def _spreads(samples: int, seed: int) -> list[float]:
    """V of each number of members."""
    x = np.random.default_rng(seed).normal(size=64).astype(np.float32)
    spreads = []
    for i, m in enumerate(MEMBERS):
        model = network(m, MEMBER_DEPTH)(MEMBER_WIDTH)
        spreads.append(squared_variation(diagonal(model, samples, x=x, seed=seed + i)))
    return spreads


def table(fits: dict[int, AlphaFit], spreads: list[float], exponent: float, samples: int) -> str:
    """Both results as Markdown."""
    lines = ["| hidden layers L | alpha | 95 % interval | R^2 of the fit |", "|---|---|---|---|"]
    for depth, f in fits.items():
        lines.append(
            f"| {depth} | {f.alpha:.2f} | {f.low:.2f} to {f.high:.2f} | {f.r_squared:.4f} |"
        )
    lines += ["", "| members m | V measured | m V |", "|---|---|---|"]
    lines += [f"| {m} | {v:.4f} | {m * v:.4f} |" for m, v in zip(MEMBERS, spreads, strict=True)]
    lines += [
        "",
        f"V falls as m^{exponent:.3f} (the law: m^-1; width {MEMBER_WIDTH}, {MEMBER_DEPTH} hidden "
        f"layers). {samples:,} initialisations each, one output, no biases.",
    ]
    return "\n".join(lines) + "\n"


def _rows(fits: dict[int, AlphaFit], spreads: list[float]) -> list[dict]:
    over_width = [
        {"depth": depth, "members": 1, "width": width, "variance": v, "alpha": fit.alpha}
        for depth, fit in fits.items()
        for width, v in zip(fit.widths, fit.variances, strict=True)
    ]
    over_members = [
        {"depth": MEMBER_DEPTH, "members": m, "width": MEMBER_WIDTH, "variance": v, "alpha": ""}
        for m, v in zip(MEMBERS, spreads, strict=True)
    ]
    return over_width + over_members


def plot(fits: dict[int, AlphaFit], spreads: list[float], path: Path) -> None:
    """log(1 + V) over L / n with the fits; V over m."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from tfzoo.experiments.plots import save_figure

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    for i, (depth, fit) in enumerate(fits.items()):
        inverse = depth / np.array(fit.widths)
        left.plot(inverse, np.log1p(fit.variances), "o", color=f"C{i}")
        left.plot(
            inverse, fit.alpha * inverse, "--", color=f"C{i}", label=f"L={depth}: {fit.alpha:.2f}"
        )
    left.set_xlabel("L / n")
    left.set_ylabel("log(1 + V)")
    left.legend(title="alpha")
    right.loglog(MEMBERS, spreads, "o", label="measured")
    right.loglog(MEMBERS, spreads[0] / np.array(MEMBERS), "--", label="1 / m")
    right.set_xlabel("members m")
    right.set_ylabel("V")
    right.legend()
    figure.tight_layout()
    save_figure(figure, path)

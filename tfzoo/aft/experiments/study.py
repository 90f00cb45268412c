"""`tfzoo study aft`: the effect of the position bias's form on a byte language model.

The claims of arXiv:2105.14103, sec. 5.2 and tables 3 and 5, at a scale for one machine: all arms
have equal numbers of parameters (by the feed-forward width), steps, data and seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo import runner
from tfzoo.aft.config import TextConfig
from tfzoo.aft.experiments.plots import METRIC, WINDOWS, plot
from tfzoo.config import check
from tfzoo.experiments import study
from tfzoo.experiments.headline import Headline, Table, Timed
from tfzoo.experiments.study import Arm
from tfzoo.files import expanded

HEADLINE = Headline(
    "aft",
    "study-enwik8",
    "bits_per_byte",
    "test bits per byte, enwik8's first 4 MB",
    "local-32",
    "attention",
)
"""The headline that the card and the guide quote."""

AGAINST = Timed(
    "aft",
    "2,048 steps",
    {"kind": "forward+backward", "size": "2048"},
    "layer",
    "local",
    "attention",
    "attention",
)
"""The comparison that README quotes."""

TABLES = {
    data: Table(
        "aft",
        f"study-{data}",
        {"bits_per_byte": "bits per byte"},
        less=["bits_per_byte"],
    )
    for data in ("pydoc", "enwik8")
}
"""The tables of the card."""

PAPER = {"attention": 1.130, "simple": 1.209, "local-32": 1.154}
"""Enwik8 test bits per character at 24 layers of width 256 (table 2), far from this scale."""

BASE = (
    "epochs=5",
    "steps_per_epoch=100",
    "batch_size=16",
    "save_every=1000",
    "deterministic=false",
    "model.max_length=128",
    "model.dim=64",
    "model.depth=2",
    "model.bias_dim=32",
    "model.dropout=0.0",
    "optimizer.learning_rate=0.003",
    "optimizer.weight_decay=0.1",
    "optimizer.warmup_steps=50",
)

VARIANTS = {
    "attention": ("model.variant=attention", "model.num_heads=4"),
    "simple": ("model.variant=simple",),
    **{f"local-{s}": ("model.variant=local", f"model.window={s}") for s in WINDOWS},
    "full": ("model.variant=full",),
    "full-naive": ("model.variant=full", "model.factorized=false"),
    "conv": ("model.variant=conv", "model.num_heads=16", "model.kernel_size=31"),
}


def main(argv: Sequence[str]) -> None:
    """The command line: the common options of studies, and `--path` of an enwik8 file."""
    parser = study.parser("aft")
    parser.add_argument("--path", type=expanded, help="enwik8 or a prefix of it, raw or compressed")
    parser.add_argument("--arms", help=f"a subset of {','.join(VARIANTS)}; default: all")
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    names = words.arms.split(",") if words.arms else list(VARIANTS)
    for name in names:
        check(name in VARIANTS, "--arms", name, f"one of {', '.join(VARIANTS)}")
    data = ["data.name=enwik8", f"data.path={words.path}"] if words.path else []
    kind = "enwik8" if words.path else "pydoc"
    output = Path(words.output or f"studies/aft-{kind}")

    arms = equal_arms(names, [*BASE, *data, *words.overrides])
    rows = study.run_grid(arms, seeds, output)
    table = study.report(
        f"aft-{kind}",
        rows,
        METRIC,
        output,
        claims=[c for c in claims(names) if c[1] in names and c[2] in names],
        notes=[
            "The paper's figures on all of enwik8 (24 layers of width 256, T = 1024, 100 epochs, "
            "8 V100): " + ", ".join(f"{k} {v}" for k, v in PAPER.items()) + " bits per character. "
            "Here: 2 layers of width 64, T = 128, 500 steps of 16 sequences, so only the order "
            "can be compared, and the paper itself finds attention ahead."
        ],
        extra={"overrides": {a.name: list(a.overrides) for a in arms}, "seeds": seeds},
    )
    print(table)
    plot(rows, output / "windows.png", kind)


def claims(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """The paper's claims, as (text, arm with the lower figure, arm with the higher one)."""
    others = [n for n in names if n != "simple"]
    pairs = [(f"AFT-simple is worse than {n}", n, "simple") for n in others]
    pairs.append(("the factorised bias is no worse than the naive one", "full", "full-naive"))
    pairs.append(("a window of 16 beats one of 64", "local-16", "local-64"))
    return pairs


def equal_arms(names: Sequence[str], base: Sequence[str]) -> list[Arm]:
    """Arms with as many parameters as attention with a feed-forward width of 4 `dim`."""
    wanted = _parameters(["model.variant=attention", *base])[0]
    arms = []
    for name in names:
        overrides = [*VARIANTS[name], *base]
        count, config = _parameters(overrides)
        per_unit = config.model.depth * (2 * config.model.dim + 1)
        hidden = 4 * config.model.dim + round((wanted - count) / per_unit)
        check(hidden >= 1, f"arm {name}", hidden, "wide enough; the base is too narrow")
        arms.append(Arm(name, "aft/pydoc", (*overrides, f"model.hidden_dim={hidden}")))
    return arms


def _parameters(overrides: Sequence[str]) -> tuple[int, TextConfig]:
    resolved = runner.resolve("aft/pydoc", overrides)
    return runner.dry_run(resolved).count_params(), resolved.config

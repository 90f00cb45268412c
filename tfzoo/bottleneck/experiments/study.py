"""`tfzoo study bottleneck`: acceleration, feature learning, linear theory, generalisation.

The claims of arXiv:2107.00364 at a scale for one machine, in function space: a small bottleneck
trains in fewer steps, the more so the larger the targets; features move and the kernel aligns;
linear halves show why. Generalisation is only reported. Two more parts need `--mnist`: `mnist`,
generalisation there, and `regression`, kernel regression on all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo.bottleneck.experiments import (
    acceleration,
    features,
    generalisation,
    linear,
    regression,
)
from tfzoo.config import check
from tfzoo.experiments import study
from tfzoo.experiments.headline import Across, Headline, Table, Timed
from tfzoo.files import expanded

HEADLINE = Headline(
    "bottleneck",
    "acceleration",
    "log2_steps",
    "log2 of the steps to 1 % of the loss, relative to no bottleneck",
    "scale 5, d=8",
    "scale 5, no bottleneck",
    digits=2,
)
"""The headline that the card and the guide quote."""

AGAINST = Timed(
    "bottleneck",
    "8,000 rows",
    {"kind": "kernel", "size": "8000"},
    "alternative",
    "ours",
    "plain",
    "TensorFlow",
)
"""The comparison that README quotes."""

_DATA = {
    "teacher": "512 points of a low-rank teacher",
    "digits": "600 digits, regression",
    "digits_ce": "600 digits, cross-entropy",
    "mnist": "first 1,000 MNIST images, regression",
}
TABLES = {
    "generalisation": Across(
        "bottleneck",
        _DATA,
        "test_error",
        {arm: arm for arm in ("no bottleneck", "d=16", "d=64")},
    ),
    "regression": Table(
        "bottleneck",
        "regression",
        {"test_error": "test error", "iterations": "iterations", "seconds": "seconds of `fit`"},
        digits={"test_error": 4, "iterations": 0, "seconds": 0},
    ),
}
"""The tables of the card."""

PARTS = ("linear", "acceleration", "features", "teacher", "digits", "digits_ce")
OF_MNIST = ("mnist", "regression")


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study bottleneck` with the arguments `argv`."""
    parser = study.parser("bottleneck", overrides=False)
    parser.add_argument(
        "--parts",
        default=",".join(PARTS),
        help=f"a subset of %(default)s,{','.join(OF_MNIST)}; default %(default)s",
    )
    parser.add_argument("--mnist", type=expanded, metavar="FILE", help="an .npz of MNIST")
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    parts = [p for p in words.parts.split(",") if p]
    for part in parts:
        check(part in PARTS + OF_MNIST, "--parts", part, f"one of {', '.join(PARTS + OF_MNIST)}")
        needs = part in OF_MNIST
        check(bool(words.mnist) or not needs, "--mnist", words.mnist, f"a file for the part {part}")
    unread = bool(words.mnist) and not set(parts) & set(OF_MNIST)
    check(not unread, "--mnist", words.mnist, f"with one of the parts {', '.join(OF_MNIST)}")
    output = Path(words.output or "studies/bottleneck")

    for part, run in (
        ("linear", linear.run),
        ("acceleration", acceleration.run),
        ("features", features.run),
    ):
        if part in parts:
            run(seeds, output / part)
    for part in ("teacher", "digits", "digits_ce"):
        if part in parts:
            generalisation.run(part, seeds, output / part)
    if "mnist" in parts:
        generalisation.run("mnist", seeds, output / "mnist", words.mnist)
    if "regression" in parts:
        regression.run(output / "regression", words.mnist)
    print(f"written to {output}")

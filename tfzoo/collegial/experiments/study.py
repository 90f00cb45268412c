"""`tfzoo study collegial`: the variance law, its predictions for training, kernel drift.

The claims of arXiv:2006.07678 at a scale for one machine: V falls with the members as 1 / m and
follows exp(alpha L / n) - 1; at equal parameters the width with the lowest variance trains best;
the kernel drifts less with more members. With `--cifar` also a report on a small ResNeXt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo.collegial import search
from tfzoo.collegial.experiments import cifar, drifting, spread, sweep
from tfzoo.config import check
from tfzoo.experiments import study
from tfzoo.experiments.headline import Headline, Rival, Table
from tfzoo.files import expanded

HEADLINE = Headline(
    "collegial",
    "sweep",
    "train_loss",
    "training loss at equal parameters, digits",
    "24x19",
    "1x128",
    digits=4,
)
"""The headline that the card and the guide quote."""

AGAINST = Rival(
    "collegial",
    "sweep",
    "train_loss",
    "loss",
    "24x19",
    "1x128",
    called="one network",
)
"""The comparison that README quotes."""

_SWEEP = {"train_loss": "training loss", "test_accuracy": "test accuracy"}
_DRIFT = {"kernel_drift": "kernel drift", "test_accuracy": "test accuracy"}
TABLES = {
    "sweep": Table("collegial", "sweep", _SWEEP, less=["train_loss"], more=["test_accuracy"]),
    "drift": Table("collegial", "drift", _DRIFT, digits={"kernel_drift": 4}),
    "cifar": Table("collegial", "cifar", {"loss": "test loss", "accuracy": "test accuracy"}),
}
"""The tables of the card."""

PARTS = ("spread", "sweep", "drift")


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study collegial` with the arguments `argv`."""
    parser = study.parser("collegial", overrides=False)
    parser.add_argument("--parts", default=",".join(PARTS), help="a subset of %(default)s")
    parser.add_argument("--samples", type=int, default=4000, help="initialisations for `spread`")
    parser.add_argument(
        "--cifar", type=expanded, metavar="FILE", help="CIFAR-10-JPEG's .npz: adds its report"
    )
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    parts = [p for p in words.parts.split(",") if p]
    for part in parts:
        check(part in PARTS, "--parts", part, f"one of {', '.join(PARTS)}")
    check(words.samples >= 10, "--samples", words.samples, "at least 10")
    output = Path(words.output or "studies/collegial")

    alpha = search.ALPHA
    if "spread" in parts:
        fits = spread.run(words.samples, seeds[0], output / "spread")
        alpha = fits[sweep.DEPTH].alpha
    if "sweep" in parts:
        sweep.run(seeds, alpha, output / "sweep")
    if "drift" in parts:
        drifting.run(seeds, output / "drift")
    if words.cifar:
        cifar.run(words.cifar, seeds, output / "cifar")
    print(f"written to {output}")

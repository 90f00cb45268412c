"""`tfzoo study metricopt`: comparison with fair competitors, value function, transfer.

At equal numbers of metric evaluations and training steps, on embedded data and on the user's files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo.config import check
from tfzoo.experiments import study
from tfzoo.experiments.headline import Across, Headline, Rival
from tfzoo.files import expanded
from tfzoo.metricopt.experiments import compare, fit_quality, meta, settings, tasks

HEADLINE = Headline(
    "metricopt",
    "digits_mcr",
    "test_error",
    "test misclassification rate, digits",
    "MetricOpt",
    "loss only",
)
"""The headline that the card and the guide quote."""

AGAINST = Rival(
    "metricopt",
    "digits_mcr",
    "test_error",
    "error",
    "MetricOpt",
    "logit adjustment",
)
"""The comparison that README quotes."""

_TASKS = {
    "digits_mcr": "digits, error rate, 5 rare classes",
    "digits_recall_at_1": "digits, recall@1 of unseen classes",
    "cancer_recall_at_precision": "breast cancer, recall at precision 0.95",
    "cancer_average_precision": "breast cancer, average precision",
    "mammography_f1": "mammography, F1",
    "mammography_average_precision": "mammography, average precision",
    "mnist_mcr": "MNIST, error rate, 5 rare classes",
    "cifar10_jpeg_mcr": "CIFAR-10-JPEG, error rate",
    "cifar10_jpeg_imbalanced_f1": "CIFAR-10-JPEG, macro F1, 5 rare classes",
}
_ARMS = (
    *("base", "loss only", "MetricOpt", "MetricOpt, paper's", "random search", "CMA-ES"),
    *("thresholds", "logit adjustment", "TunedThresholdClassifierCV", "soft F1"),
)
TABLES = {
    "errors": Across(
        "metricopt",
        _TASKS,
        "test_error",
        {arm: arm for arm in _ARMS},
        says="task",
        digits={"cancer_average_precision": 4},
    )
}
"""The tables of the card."""

PARTS = ("compare", "value", "meta")
"""Parts of a whole study; the part `settings` is run separately, with seeds of at least 100."""


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study metricopt` with the arguments `argv`."""
    parser = study.parser("metricopt", overrides=False)
    parser.set_defaults(seeds="0,1,2,3,4,5")
    parser.add_argument("--parts", default=",".join(PARTS), help="a subset of %(default)s")
    says = f"comma-separated; default: all but {tasks.AT_SIZE}"
    parser.add_argument("--tasks", default="", help=says)
    parser.add_argument(
        "--mammography", type=expanded, default="", metavar="CSV", help="adds its tasks"
    )
    parser.add_argument("--mnist", type=expanded, default="", metavar="NPZ", help="adds its task")
    parser.add_argument(
        "--cifar", type=expanded, default="", metavar="NPZ", help="CIFAR-10-JPEG: adds its tasks"
    )
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    parts = [p for p in words.parts.split(",") if p]
    for part in parts:
        every = (*PARTS, "settings")
        check(part in every, "--parts", part, f"one of {', '.join(every)}")
    chosen = tasks.embedded() | tasks.by_path(words.mammography, words.mnist, words.cifar)
    for name in filter(None, words.tasks.split(",")):
        allowed = f"one of {', '.join(chosen)}; paths of data add more (--help)"
        check(name in chosen, "--tasks", name, allowed)
    if words.tasks:
        chosen = {name: chosen[name] for name in words.tasks.split(",")}
    else:
        chosen.pop(tasks.AT_SIZE, None)
    output = Path(words.output or "studies/metricopt")
    if "settings" in parts:
        settings.run(chosen, seeds, output / "settings")
    if "compare" in parts:
        compare.run(chosen, seeds, output / "compare")
    if "value" in parts:
        light = {n: make for n, make in chosen.items() if not n.startswith(("cifar", "mnist"))}
        fit_quality.run(light, seeds, output / "value")
    if "meta" in parts:
        meta.run(seeds, output / "meta")
    print(f"written to {output}")

"""`tfzoo study ala`: adaptive losses against fixed ones, random policies, selection, transfer.

Compares at equal steps and, for the plain loss, at equal time; on digits and on the user's files.
Settings come from `tfzoo study ala --choose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo.ala.experiments import choose, compare, long_tail, tasks
from tfzoo.config import check
from tfzoo.experiments import study
from tfzoo.experiments.headline import Compared, Headline, Rival
from tfzoo.files import expanded

HEADLINE = Headline(
    "ala",
    "digits",
    "balanced_error",
    "test balanced error, digits with rare classes",
    "ALA",
    "CE, momentum",
)
"""The headline that the card and the guide quote."""

AGAINST = Rival(
    "ala",
    "digits",
    "balanced_error",
    "error",
    "ALA",
    "logit adjustment",
)
"""The comparison that README quotes."""

_OTHERS = (
    *("CE", "CE, momentum", "focal", "label smoothing", "PBT", "evolution", "persistent random"),
    *("ALA, paper's credit", "ALA, transferred", "ALA, Eq. 6", "CE, momentum, equal time"),
)
_RARE = (
    *("inverse frequency", "inverse frequency, momentum", "class-balanced", "balanced softmax"),
    "logit adjustment",
)


def _compared(
    data: str, metric: str, says: str, others: Sequence[str], more: bool = False
) -> Compared:
    groups = {"ALA": others, "one child: ALA": ["one child: CE, momentum"]}
    return Compared("ala", data, metric, says, groups, "ours less this arm", more)


TABLES = {
    "digits": _compared("digits", "balanced_error", "balanced error", (*_OTHERS, *_RARE)),
    "mnist": _compared("mnist", "balanced_error", "balanced error", (*_OTHERS, *_RARE)),
    "cifar_error": _compared("cifar10_jpeg_error", "misclassification", "error", _OTHERS),
    "cifar_aucpr": _compared("cifar10_jpeg_aucpr", "aucpr", "AUCPR", (*_OTHERS, *_RARE), True),
}
"""The tables of the card."""

CHOICE_SEEDS = {"digits": range(100, 110)}
"""Of the choice, by task; others have five."""


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study ala` with the arguments `argv`."""
    parser = study.parser("ala")
    parser.set_defaults(seeds="0,1,2,3,4,5,6,7")
    parser.add_argument("--tasks", default="", help="comma-separated; default: all but long_tail")
    parser.add_argument("--mnist", type=expanded, default="", metavar="NPZ", help="adds its task")
    parser.add_argument(
        "--cifar", type=expanded, default="", metavar="NPZ", help="CIFAR-10-JPEG: adds its tasks"
    )
    parser.add_argument(
        "--omniglot", type=expanded, default="", metavar="NPZ", help="adds its task"
    )
    parser.add_argument(
        "--choose",
        action="store_true",
        help="choose settings, on validation splits of other seeds",
    )
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    output = Path(words.output or "studies/ala")
    if words.tasks == "long_tail":  # takes hours: only if it is requested, alone
        check(bool(words.cifar), "--cifar", words.cifar, "the file of CIFAR-10-JPEG, for long_tail")
        tasks.by_path("", words.cifar, "")  # checks that it exists
        long_tail.run(words.cifar, seeds, output / "long_tail", words.overrides)
        return
    check(not words.overrides, "key=value", words.overrides, "only for the task long_tail")
    chosen = tasks.embedded() | tasks.by_path(words.mnist, words.cifar, words.omniglot)
    for name in filter(None, words.tasks.split(",")):
        allowed = f"one of {', '.join(chosen)}; paths of data add more (--help)"
        check(name in chosen, "--tasks", name, allowed)
    if words.tasks:
        chosen = {name: chosen[name] for name in words.tasks.split(",")}
    if words.choose:
        for name, make in chosen.items():
            choose.run(name, make, CHOICE_SEEDS.get(name, range(100, 105)), output)
        return
    compare.run(chosen, seeds, output)
    print(f"written to {output}")

"""`tfzoo study ala`: losses that move, against fixed ones, a random controller and transfer.

At equal steps and, for the plain loss, at equal wall time; on digits, and on the user's files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo.ala.experiments import compare, tasks
from tfzoo.config import check
from tfzoo.experiments import study
from tfzoo.experiments.headline import Headline
from tfzoo.files import expanded

HEADLINE = Headline(
    "ala",
    "digits",
    "balanced_error",
    "test balanced error, digits with rare classes",
    "ALA class weights",
    "CE",
)
"""What README and the card quote."""


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study ala` with the arguments `argv`."""
    parser = study.parser("ala", overrides=False)
    parser.set_defaults(seeds="0,1,2,3,4")
    parser.add_argument("--tasks", default="", help="some tasks only, comma-separated")
    parser.add_argument("--mnist", type=expanded, default="", metavar="NPZ", help="adds its task")
    parser.add_argument(
        "--cifar", type=expanded, default="", metavar="NPZ", help="CIFAR-10-JPEG: adds its tasks"
    )
    parser.add_argument(
        "--omniglot", type=expanded, default="", metavar="NPZ", help="adds its task"
    )
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    chosen = tasks.embedded() | tasks.by_path(words.mnist, words.cifar, words.omniglot)
    for name in filter(None, words.tasks.split(",")):
        check(name in chosen, "--tasks", name, f"some of {', '.join(chosen)}")
    if words.tasks:
        chosen = {name: chosen[name] for name in words.tasks.split(",")}
    output = Path(words.output or "studies/ala")
    compare.run(chosen, seeds, output)
    print(f"written to {output}")

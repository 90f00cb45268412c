"""`tfzoo study afv`: the value of Fisher vectors of a GAN's discriminator.

The claims of arXiv:1910.13101 at a scale for one machine: a linear classifier on them beats one on
the discriminator's activations and one on the Fisher vectors of a random network; the Fisher
distance tracks training and detects overfitting. On MNIST and CIFAR-10-JPEG if their paths are
given, otherwise on digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo.afv.experiments import comparison, overfit, tasks
from tfzoo.afv.experiments.training import Scale
from tfzoo.config import check, choices
from tfzoo.errors import InputError
from tfzoo.experiments import study
from tfzoo.experiments.headline import Headline, Table, Timed
from tfzoo.files import expanded

HEADLINE = Headline(
    "afv",
    "cifar",
    "error_5000",
    "test error with 5,000 labels, CIFAR-10-JPEG",
    "AFV",
    "D-pool",
)
"""The headline that the card and the guide quote."""

AGAINST = Timed(
    "afv",
    "64 examples",
    {"kind": "gradients"},
    "alternative",
    "ours",
    "vectorized_map",
    "`tf.vectorized_map`",
)
"""The comparison that README quotes."""

_ERRORS = {f"error_{n}": f"n={n:,}" for n in (100, 500, 1000, 5000)}
_FEATURES = {
    "AFV, random D": "AFV of a random D",
    "D-pool": "D-pool (the paper's baseline)",
    "last layer": "last layer (mean of the last map)",
    "last map": "last map, flattened",
}
TABLES = {
    data: Table("afv", data, _ERRORS, names=_FEATURES, less=list(_ERRORS))
    for data in ("mnist", "cifar")
}
"""The tables of the card: errors of a classifier on n labelled images."""

PARTS = ("features", "overfit")
DIGITS = (1000, 300, 300)


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study afv` with the arguments `argv`."""
    parser = study.parser("afv", overrides=False)
    parser.add_argument("--parts", default=",".join(PARTS), help="a subset of %(default)s")
    parser.add_argument("--mnist", type=expanded, metavar="FILE", help="an .npz of MNIST")
    parser.add_argument("--cifar", type=expanded, metavar="FILE", help="CIFAR-10-JPEG's .npz")
    parser.add_argument("--labels", default="100,500,1000,5000", help="default %(default)s")
    parser.add_argument(
        "--width", type=int, default=24, help="width of D and G; default %(default)s"
    )
    parser.add_argument(
        "--steps", type=int, default=3000, help="steps of each GAN; default %(default)s"
    )
    parser.add_argument("--overfit-steps", type=int, default=2000, help="default %(default)s")
    parser.add_argument("--overfit-seeds", default="0", help="default %(default)s")
    parser.add_argument("--objective", default="lsgan", help="lsgan or hinge")
    parser.add_argument(
        "--train", type=int, default=20000, help="number of images for GANs and labels"
    )
    parser.add_argument("--held", type=int, default=2000, help="validation images")
    parser.add_argument("--test", type=int, default=5000, help="test images")
    parser.add_argument(
        "--samples", type=int, default=1024, help="number of generated images for statistics"
    )
    parser.add_argument(
        "--iterations", type=int, default=300, help="iterations of logistic regression"
    )
    words = parser.parse_args(argv)
    seeds, few = study.parse_seeds(words.seeds), study.parse_seeds(words.overfit_seeds)
    parts = [p for p in words.parts.split(",") if p]
    for part in parts:
        check(part in PARTS, "--parts", part, f"one of {', '.join(PARTS)}")
    for name in ("width", "steps", "overfit_steps", "train", "held", "test", "iterations"):
        check(
            getattr(words, name) >= 1,
            f"--{name.replace('_', '-')}",
            getattr(words, name),
            "at least 1",
        )
    check(words.samples >= 16, "--samples", words.samples, "at least 16")
    choices("--objective", words.objective, ("lsgan", "hinge"))
    labels, output = _labels(words.labels), Path(words.output or "studies/afv")
    scale = Scale(
        words.width,
        words.steps,
        samples=words.samples,
        objective=words.objective,
        iterations=words.iterations,
    )
    short = Scale(words.width, words.overfit_steps, objective=words.objective)
    for task in _tasks(words):
        if "features" in parts:
            comparison.run(task, seeds, labels, scale, output / task.name)
        if "overfit" in parts:
            overfit.run(task, few, short, output / f"overfit-{task.name}")
    print(f"written to {output}")


def _tasks(words):
    sizes = (words.train, words.held, words.test)
    if not (words.mnist or words.cifar):
        yield tasks.digits(*(min(a, b) for a, b in zip(sizes, DIGITS, strict=True)))
    if words.mnist:
        yield tasks.mnist(words.mnist, *sizes)
    if words.cifar:
        yield tasks.cifar(words.cifar, *sizes)


def _labels(text: str) -> list[int]:
    try:
        numbers = sorted({int(word) for word in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 10:
        raise InputError(f"--labels={text!r}: must be numbers of at least 10, e.g. 100,1000")
    return numbers

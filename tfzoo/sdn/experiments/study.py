"""`tfzoo study sdn`: are unseen sets preserved, are sampled sets consistent, what matters?

On procedural furniture, evaluated by a network that predicts occupancy from views; on Omniglot,
from the user's file, on characters of unseen alphabets, evaluated by a verification network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfzoo.config import check
from tfzoo.errors import InputError
from tfzoo.experiments import statistics, study
from tfzoo.experiments.headline import Headline, Rival
from tfzoo.experiments.statistics import Row
from tfzoo.experiments.study import Arm
from tfzoo.files import expanded, read_npz, replacing
from tfzoo.sdn.experiments import plots

HEADLINE = Headline(
    "sdn",
    "shapes",
    "iou_reconstructed",
    "IoU of rebuilt unseen shapes",
    "SDN",
    "energy without code",
    more=True,
)
"""The headline that the card and the guide quote."""

AGAINST = Rival(
    "sdn",
    "shapes",
    "iou_reconstructed",
    "IoU",
    "SDN",
    "sets of 1",
    more=True,
    called="trained on single images",
)
"""The comparison that README quotes."""

PARTS = ("shapes", "omniglot")
OURS, UNTRAINED = "SDN", "untrained"
WEAK = 1 / (8 * 16 * 16)
"""The weight of -log p(z) in the likelihood itself, for 8 images of 16x16."""

JUDGE_EPOCHS = 80
"""Epochs of the verification network."""

_UNTRAINED = ("epochs=1", "steps_per_epoch=1", "optimizer.rate=1e-12", "optimizer.g_rate=1e-12")

SHAPES_CLAIMS = (
    (
        "IoU of reconstructions, more than of another shape's",
        "iou_reconstructed",
        "iou_reconstructed_shuffled",
    ),
    (
        "sampled sets: halves agree more than halves of different sets",
        "sample_consistency",
        "sample_cross",
    ),
    ("IoU from 8 views, more than from 1", "iou_from_8", "iou_from_1"),
    ("bits of marginal entropy, more than the prior's", "marginal_entropy", "code_bits"),
    ("nearest training code: samples further than test codes", "novelty", "test_novelty"),
)

CHARACTERS_CLAIMS = (
    ("bits of marginal entropy, more than the prior's", "marginal_entropy", "code_bits"),
    ("nearest training code: samples further than test codes", "novelty", "test_novelty"),
)
"""(text, greater metric, lesser metric) for claims about the trained network alone."""


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study sdn` with the arguments `argv`."""
    parser = study.parser("sdn")
    parser.add_argument("--parts", default=",".join(PARTS), help="a subset of %(default)s")
    parser.add_argument(
        "--epochs", type=int, default=12, help="epochs of shapes; default %(default)s"
    )
    parser.add_argument(
        "--omniglot", type=expanded, default="", metavar="NPZ", help="adds its part"
    )
    parser.add_argument(
        "--omniglot-epochs", type=int, default=20, help="its networks' epochs; default %(default)s"
    )
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    for name in ("epochs", "omniglot_epochs"):
        value = getattr(words, name)
        check(value >= 1, f"--{name.replace('_', '-')}", value, "at least 1")
    parts = [part for part in words.parts.split(",") if part]
    for part in parts:
        check(part in PARTS, "--parts", part, f"one of {', '.join(PARTS)}")
    if words.omniglot and not Path(words.omniglot).is_file():
        raise InputError(f"--omniglot={words.omniglot!r}: no such file")
    output = Path(words.output or "studies/sdn")
    if "shapes" in parts:
        shapes(seeds, output / "shapes", words.epochs, words.overrides)
    if "omniglot" in parts and words.omniglot:
        path = omniglot_arrays(words.omniglot, output / "omniglot.npz")
        omniglot(seeds, output / "omniglot", path, words.omniglot_epochs, words.overrides)
    print(f"written to {output}")


def arms(epochs: int, overrides: Sequence[str] = ()) -> list[Arm]:
    """The network, its ablations, and an untrained one, on `sdn/shapes`."""
    settings = {
        OURS: (),
        "sets of 1": ("set_size=1", "test_size=8"),
        "sets of 4": ("set_size=4", "test_size=8"),
        "energy without code": ("model.use_code=false",),
        "prior to encoder, 5e-4": (f"model.prior_to_encoder={WEAK}",),
        "prior to encoder, 0.05": ("model.prior_to_encoder=0.05",),
        UNTRAINED: _UNTRAINED,
    }
    common = [f"epochs={epochs}", "deterministic=false", f"monitor_every={epochs}", *overrides]
    return [Arm(name, "sdn/shapes", [*common, *given]) for name, given in settings.items()]


def shapes(seeds: Sequence[int], output: Path, epochs: int, overrides: Sequence[str] = ()) -> None:
    """Runs all arms; writes the table of claims and pictures of the first seed."""
    rows = with_errors(study.run_grid(arms(epochs, overrides), seeds, output), "iou_reconstructed")
    claims = [
        (f"reconstructions are nearer to the truth than those of {other}", OURS, other)
        for other in dict.fromkeys(r.arm for r in rows)
        if other != OURS
    ]
    notes = [*statistics.claims_about(OURS, rows, SHAPES_CLAIMS), "", *statistics.all_metrics(rows)]
    note = f"sdn/shapes, {epochs} epochs; error: 1 - IoU of 400 unseen shapes, 8 views"
    print(study.report("sdn shapes", rows, "error", output, claims, [*notes, "", note]))
    run = output / "runs" / f"{OURS}-seed{seeds[0]}"
    plots.of_run(run, output)
    plots.by_views(rows, OURS, output / "views.png")


def omniglot(
    seeds: Sequence[int], output: Path, path: Path, epochs: int, overrides: Sequence[str] = ()
) -> None:
    """The network and an untrained one on characters of unseen alphabets."""
    data = ["data.name=tfzoo_arrays", f"data.path={path}", "deterministic=false"]
    scale = ["pixel_mean=127.5", "pixel_std=127.5"]
    judge = Arm("verifier", "sdn/omniglot_verifier", [*data, *scale, f"epochs={JUDGE_EPOCHS}"])
    study.run_grid([judge], seeds[:1], output)
    verifier = output / "runs" / f"verifier-seed{seeds[0]}" / "model.keras"
    data += ["pixel_mean=20.0", "pixel_std=235.0"]  # as in the recipe for TFDS's Omniglot
    common = [*data, f"verifier={verifier}", f"epochs={epochs}", f"monitor_every={epochs}"]
    studied = [
        Arm(OURS, "sdn/omniglot", [*common, *overrides]),
        Arm(UNTRAINED, "sdn/omniglot", [*common, *overrides, *_UNTRAINED]),
    ]
    rows = with_errors(study.run_grid(studied, seeds, output), "verify_reconstructed")
    claims = [("reconstructions are verified better than untrained ones", OURS, UNTRAINED)]
    notes = [
        *statistics.claims_about(OURS, rows, CHARACTERS_CLAIMS),
        "",
        *statistics.all_metrics(rows),
    ]
    note = f"sdn/omniglot, {epochs} epochs; error: 1 - AUC of reconstructions against real images"
    print(study.report("sdn omniglot", rows, "error", output, claims, [*notes, "", note]))
    run = output / "runs" / f"{OURS}-seed{seeds[0]}"
    plots.of_run(run, output)
    plots.roc(run, verifier, output / "roc.png")


def with_errors(rows: Sequence[Row], metric: str) -> list[Row]:
    """Rows with `error`, 1 - metric: lower is better, as in claims."""
    kept = []
    for row in rows:
        extra = {"error": 1 - row.metrics[metric]} if metric in row.metrics else {}
        kept.append(replace(row, metrics=row.metrics | extra))
    return kept


def omniglot_arrays(source: str, target: Path) -> Path:
    """Converts both halves of the alphabets in a file `omniglot_28.npz` for `tfzoo_arrays`.

    Args:
        source: a file with `x28_background` [N, 28, 28], `y_background` [N], `x28_evaluation`,
            `y_evaluation`, in each of which characters are numbered from 0.
        target: the file to write.

    Raises:
        InputError: an array is missing.
    """
    names = ("x28_background", "y_background", "x28_evaluation", "y_evaluation")
    arrays = read_npz(source, "--omniglot", names)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"--omniglot={source!r}: has no {missing[0]}; must have {names}")
    x, y, test_x, test_y = (arrays[name] for name in names)
    test_y = test_y.astype("int64") + int(y.max()) + 1
    with replacing(target) as aside:
        np.savez_compressed(
            aside,
            x_train=x[..., None],
            y_train=y.astype("int64"),
            x_test=test_x[..., None],
            y_test=test_y,
        )
    return target

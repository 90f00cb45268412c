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
from tfzoo.data.splits import drawn
from tfzoo.errors import InputError
from tfzoo.experiments import statistics, study
from tfzoo.experiments.headline import Headline, Rival, Table
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

PARTS = ("shapes", "rebuilt", "omniglot", "terms")
OURS, REBUILT, UNTRAINED = "SDN", "rebuilding (ours)", "untrained"
_SHAPES = {
    "iou_reconstructed": "IoU of reconstructions",
    "iou_reconstructed_shuffled": "the same, against another shape",
    "sample_consistency": "IoU of the halves of a sampled set",
    "sample_cross": "IoU of halves of different sampled sets",
    "view_spread": "spread of a set's images over noise, real = 1",
    "code_retrieval": "codes of two halves nearest to each other, share",
}
_CODES = {
    "unique_codes": "unique codes of 400",
    "marginal_entropy": "entropy of the codes' bits",
    "code_bits": "-log2 p of test codes",
    "novelty": "bits from a sampled code to the nearest training code",
    "test_novelty": "bits from a test code to the nearest training code",
}
_OMNIGLOT = {
    "judge_reconstructed": "judge, AUC: reconstructions against real drawings",
    "stroke_iou": "stroke IoU with the nearest encoded drawing",
    "background": "deviation of the background",
    "kid_reconstructed": "kernel distance (KID) of reconstructions from real ones",
    "kid_sampled": "KID of free samples",
    "view_spread": "spread over noise, real = 1",
    "code_retrieval": "codes of two halves nearest to each other, share",
    "verify_reconstructed": "old verifier, reconstructions against real",
}
_REAL_SHAPES = {
    "iou_reconstructed": "iou_real",
    "iou_reconstructed_shuffled": "iou_real_shuffled",
    "sample_consistency": "real_consistency",
    "sample_cross": "real_cross",
}
_CONTROLS = {
    "other real drawings": {
        "judge_reconstructed": "judge_real",
        "stroke_iou": "stroke_iou_real",
        "background": "background_real",
        "kid_reconstructed": "kid_floor",
        "verify_reconstructed": "verify_real",
    },
    "a set's mean image": {
        "judge_reconstructed": "judge_mean",
        "stroke_iou": "stroke_iou_mean",
        "background": "background_mean",
    },
}
_NAMES = {
    "energy without code": "energy without the code",
    "prior to encoder, 5e-4": "-log p into the encoder, 5e-4",
    "prior to encoder, 0.05": "the same, 0.05",
}
_BEST = ("iou_reconstructed", "judge_reconstructed")
_BITS = dict.fromkeys(_CODES, 1) | {"unique_codes": 0}
TABLES = {
    "shapes": Table(
        "sdn",
        "shapes",
        _SHAPES | _CODES,
        ["SDN", *_NAMES, "untrained"],
        names=_NAMES,
        more=_BEST,
        digits=_BITS,
        plain={"real views": _REAL_SHAPES},
        turned=True,
    ),
    "rebuilt": Table(
        "sdn", "rebuilt", _SHAPES, more=_BEST, plain={"real views": _REAL_SHAPES}, turned=True
    ),
    "omniglot": Table("sdn", "omniglot", _OMNIGLOT, more=_BEST, plain=_CONTROLS, turned=True),
    "terms": Table("sdn", "terms", dict(list(_OMNIGLOT.items())[:6]), turned=True),
}
"""The tables of the card."""

WEAK = 1 / (8 * 16 * 16)
"""The weight of -log p(z) in the likelihood itself, for 8 images of 16x16."""

JUDGE_EPOCHS = 80
"""Epochs of the verification network that knows only real images."""

HONEST = ("corrupted=0.33", "batch_size=96", "epochs=160")
"""Settings of the one that also knows corrupted ones."""

GENERATOR_EPOCHS = 20
"""Epochs of the network whose reconstructions are among the corrupted images."""

GENERATOR_SEED = 100
"""Its seed, which is none of the reported ones."""

SCALE = ("pixel_mean=20.0", "pixel_std=235.0")
"""Of `sdn/omniglot`, for TFDS's Omniglot."""

BLACK = ("pixel_mean=127.5", "pixel_std=127.5")
BALANCED = ("model.balanced=true", "model.margin=0.1")
FAST = ("optimizer.rate=0.001", "optimizer.g_rate=0.001", "optimizer.beta_1=0.9")

TERMS: dict[str, tuple[str, Sequence[str]]] = {
    OURS: ("sdn/omniglot", SCALE),
    "balanced codes, black ground": ("sdn/omniglot", (*BLACK, *BALANCED)),
    "both rates x 5, beta_1 0.9": ("sdn/omniglot", (*SCALE, *FAST)),
    "margin x 3": ("sdn/omniglot", (*SCALE, "model.margin=0.18")),
    "average over 1,000 steps": ("sdn/omniglot", (*SCALE, "model.ema=0.999")),
    REBUILT: ("sdn/omniglot_rebuilt", BLACK),
    "ours, with the adversarial step": (
        "sdn/omniglot_rebuilt",
        (*BLACK, "model.adversarial=1.0", "model.margin=0.1"),
    ),
    "ours, codes not balanced": ("sdn/omniglot_rebuilt", (*BLACK, "model.balanced=false")),
    "ours, not turned": ("sdn/omniglot_rebuilt", (*BLACK, "model.turned=false")),
}
"""The arms of the part `terms`: a recipe, and what is changed."""

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

DRAWINGS_CLAIMS = (
    ("judge: reconstructions above the mean image", "judge_reconstructed", "judge_mean"),
    ("judge: reconstructions above smeared drawings", "judge_reconstructed", "judge_smeared"),
    ("stroke IoU: above half of real drawings'", "stroke_iou_twice", "stroke_iou_real"),
    ("background: within twice the real one's", "background_real_twice", "background"),
)
"""The same, of the form that rebuilds."""


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study sdn` with the arguments `argv`."""
    parser = study.parser("sdn")
    parser.add_argument(
        "--parts",
        default=",".join(PARTS[:-1]),
        help="some of them, and `terms`, which should have seeds of its own; default %(default)s",
    )
    parser.add_argument(
        "--epochs", type=int, default=12, help="epochs of shapes; default %(default)s"
    )
    parser.add_argument(
        "--omniglot", type=expanded, default="", metavar="NPZ", help="adds its part"
    )
    parser.add_argument(
        "--omniglot-epochs", type=int, default=20, help="its networks' epochs; default %(default)s"
    )
    parser.add_argument(
        "--arms", default="", help="of terms, separated by semicolons; default: all"
    )
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    for name in ("epochs", "omniglot_epochs"):
        value = getattr(words, name)
        check(value >= 1, f"--{name.replace('_', '-')}", value, "at least 1")
    parts = [part for part in words.parts.split(",") if part]
    for part in parts:
        check(part in PARTS, "--parts", part, f"one of {', '.join(PARTS)}")
    chosen = [name.strip() for name in words.arms.split(";") if name.strip()]
    for name in chosen:
        check(name in TERMS, "--arms", name, f"one of {'; '.join(TERMS)}")
    if "terms" in parts and not words.omniglot:
        raise InputError("--omniglot: must be given for the part `terms`")
    if words.omniglot and not Path(words.omniglot).is_file():
        raise InputError(f"--omniglot={words.omniglot!r}: no such file")
    output = Path(words.output or "studies/sdn")
    if "shapes" in parts:
        shapes(seeds, output / "shapes", words.epochs, words.overrides)
    if "rebuilt" in parts:
        rebuilt(seeds, output / "rebuilt", words.epochs, words.overrides)
    epochs = words.omniglot_epochs
    if "omniglot" in parts and words.omniglot:
        path = omniglot_arrays(words.omniglot, output / "omniglot.npz")
        omniglot(seeds, output / "omniglot", path, epochs, words.overrides)
    if "terms" in parts and words.omniglot:
        path = omniglot_arrays(words.omniglot, output / "terms.npz", tuning=True)
        terms(seeds, output / "terms", path, epochs, words.overrides, chosen)
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
    common = ["deterministic=false", *_length(epochs), *overrides]
    return [Arm(name, "sdn/shapes", [*common, *given]) for name, given in settings.items()]


def shapes(seeds: Sequence[int], output: Path, epochs: int, overrides: Sequence[str] = ()) -> None:
    """Runs all arms; writes the table of claims and pictures of the first seed."""
    rows = with_errors(study.run_grid(arms(epochs, overrides), seeds, output), "iou_reconstructed")
    others = [arm for arm in dict.fromkeys(r.arm for r in rows) if arm != OURS]
    claims = _better(OURS, others, "reconstructions are nearer to the truth than those of")
    notes = [*statistics.claims_about(OURS, rows, SHAPES_CLAIMS), "", *statistics.all_metrics(rows)]
    note = f"sdn/shapes, {epochs} epochs; error: 1 - IoU of 400 unseen shapes, 8 views"
    print(study.report("sdn shapes", rows, "error", output, claims, [*notes, "", note]))
    run = output / "runs" / f"{OURS}-seed{seeds[0]}"
    plots.of_run(run, output)
    plots.by_views(rows, OURS, output / "views.png")


def rebuilt(seeds: Sequence[int], output: Path, epochs: int, overrides: Sequence[str] = ()) -> None:
    """Both forms and an untrained network on the shapes."""
    common = ["deterministic=false", *_length(epochs), *overrides]
    studied = [
        Arm(REBUILT, "sdn/shapes_rebuilt", common),
        Arm(OURS, "sdn/shapes", common),
        Arm(UNTRAINED, "sdn/shapes", [*common, *_UNTRAINED]),
    ]
    rows = with_errors(study.run_grid(studied, seeds, output), "iou_reconstructed")
    says = f"{REBUILT}: reconstructions are nearer to the truth than those of"
    claims = _better(REBUILT, (OURS, UNTRAINED), says)
    lines = [*statistics.claims_about(REBUILT, rows, SHAPES_CLAIMS)]
    note = f"shapes, {epochs} epochs; error: 1 - IoU of 400 unseen shapes, 8 views"
    lines += ["", *statistics.all_metrics(rows), "", note]
    print(study.report("sdn rebuilt", rows, "error", output, claims, lines))
    plots.of_run(output / "runs" / f"{REBUILT}-seed{seeds[0]}", output)


def omniglot(
    seeds: Sequence[int], output: Path, path: Path, epochs: int, overrides: Sequence[str] = ()
) -> None:
    """Both forms and an untrained network on characters of unseen alphabets."""
    data = _data(path)
    judges = _judges(seeds[0], output, data)
    common = [*data, *judges, *_length(epochs), *overrides]
    paper = [*common, *SCALE]
    studied = [
        Arm(OURS, "sdn/omniglot", paper),
        Arm(REBUILT, "sdn/omniglot_rebuilt", [*common, *BLACK]),
        Arm(UNTRAINED, "sdn/omniglot", [*paper, *_UNTRAINED]),
    ]
    rows = with_errors(study.run_grid(studied, seeds, output), "judge_reconstructed")
    says = f"reconstructions of {REBUILT} are recognised better than those of"
    claims = _better(REBUILT, (OURS, UNTRAINED), says)
    notes = [
        *statistics.claims_about(REBUILT, rows, DRAWINGS_CLAIMS),
        "",
        *statistics.claims_about(OURS, rows, CHARACTERS_CLAIMS),
        "",
        *statistics.all_metrics(rows),
    ]
    note = (
        f"{epochs} epochs; error: 1 - AUC of reconstructions against real images (`judge_`), by a "
        "network that was also trained on noise, blur and images that a network generated. "
        "`verify_`, by one that had seen only real images, is kept for the last time: it rates "
        "blots of noise almost like characters."
    )
    print(study.report("sdn omniglot", rows, "error", output, claims, [*notes, "", note]))
    verifier = output / "runs" / f"honest verifier-seed{seeds[0]}" / "model.keras"
    runs = {arm.name: output / "runs" / f"{arm.name}-seed{seeds[0]}" for arm in studied}
    plots.of_run(runs[REBUILT], output)
    plots.compared(runs, output / "arms.png")
    plots.roc(runs[REBUILT], verifier, output / "roc.png")


def terms(
    seeds: Sequence[int],
    output: Path,
    path: Path,
    epochs: int,
    overrides: Sequence[str] = (),
    names: Sequence[str] = (),
) -> None:
    """What makes characters legible: changes of the objective, on validation characters.

    Args:
        seeds: none of the reported ones.
        output: the folder to write.
        path: a file of training characters alone, a part of which are the test sets here.
        epochs: epochs of each network.
        overrides: `key=value` words for every arm.
        names: the arms; empty: all of `TERMS`.
    """
    data = _data(path)
    common = [*data, *_judges(seeds[0], output, data), *_length(epochs), *overrides]
    studied = [Arm(name, recipe, [*common, *given]) for name, (recipe, given) in TERMS.items()]
    studied = [arm for arm in studied if not names or arm.name in names]
    rows = with_errors(study.run_grid(studied, seeds, output), "judge_reconstructed")
    note = f"{epochs} epochs; error: 1 - AUC of reconstructions of validation characters"
    lines = [*statistics.all_metrics(rows), "", note]
    print(study.report("sdn terms", rows, "error", output, (), lines))
    runs = {arm.name: output / "runs" / f"{arm.name}-seed{seeds[0]}" for arm in studied}
    plots.compared(runs, output / "terms.png")


def _better(arm: str, others: Sequence[str], says: str) -> list[tuple[str, str, str]]:
    """Claims for `study.report` that the error of an arm is below that of each other."""
    return [(f"{says} {other}", arm, other) for other in others]


def _data(path: Path) -> list[str]:
    return ["data.name=tfzoo_arrays", f"data.path={path}", "deterministic=false"]


def _length(epochs: int) -> list[str]:
    return [f"epochs={epochs}", f"monitor_every={epochs}"]


def _judges(seed: int, output: Path, data: Sequence[str]) -> list[str]:
    """Trains both verification networks, and gives the keys of a config that name them."""
    generator = Arm("for the verifier", "sdn/omniglot", [*data, *SCALE, *_length(GENERATOR_EPOCHS)])
    study.run_grid([generator], [GENERATOR_SEED], output)
    generator_path = output / "runs" / f"{generator.name}-seed{GENERATOR_SEED}" / "model.keras"
    honest = [*HONEST, f"generated_by={generator_path}"]
    keys = {
        "verifier": Arm(
            "verifier", "sdn/omniglot_verifier", [*data, *BLACK, f"epochs={JUDGE_EPOCHS}"]
        ),
        "drawings_judge": Arm("honest verifier", "sdn/omniglot_verifier", [*data, *BLACK, *honest]),
    }
    study.run_grid(list(keys.values()), [seed], output)
    runs = {key: output / "runs" / f"{arm.name}-seed{seed}" for key, arm in keys.items()}
    return [f"{key}={run / 'model.keras'}" for key, run in runs.items()]


def with_errors(rows: Sequence[Row], metric: str) -> list[Row]:
    """Rows with `error`, 1 - metric: lower is better, as in claims."""
    kept = []
    for row in rows:
        extra = {"error": 1 - row.metrics[metric]} if metric in row.metrics else {}
        kept.append(replace(row, metrics=row.metrics | extra))
    return kept


def omniglot_arrays(source: str, target: Path, tuning: bool = False) -> Path:
    """Converts both halves of the alphabets in a file `omniglot_28.npz` for `tfzoo_arrays`.

    Args:
        source: a file with `x28_background` [N, 28, 28], `y_background` [N], `x28_evaluation`,
            `y_evaluation`, in each of which characters are numbered from 0.
        target: the file to write.
        tuning: leaves out the second half: the test sets are then a tenth of the first one, the
            characters that are validation sets otherwise.

    Raises:
        InputError: an array is missing.
    """
    names = ("x28_background", "y_background", "x28_evaluation", "y_evaluation")
    arrays = read_npz(source, "--omniglot", names)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"--omniglot={source!r}: has no {missing[0]}; must have {names}")
    x, y, test_x, test_y = (arrays[name] for name in names)
    y, test_y = y.astype("int64"), test_y.astype("int64") + int(y.max()) + 1
    if tuning:
        rows = drawn(len(np.unique(y)), ["validation"])
        assert rows is not None
        held = np.isin(y, np.unique(y)[rows["validation"]])
        x, y, test_x, test_y = x[~held], y[~held], x[held], y[held]
    with replacing(target) as aside:
        np.savez_compressed(
            aside, x_train=x[..., None], y_train=y, x_test=test_x[..., None], y_test=test_y
        )
    return target

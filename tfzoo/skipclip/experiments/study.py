"""`tfzoo study skipclip`: the benefit of pre-training by ranking future clips with few labels.

Compares pretext tasks with random initialisation and a baseline without a network, by retrieval and
a linear probe on frozen features and by fine-tuning all layers; and the ranking's settings, by
retrieval. On `tfzoo_motions` version 1 or 2, or on UT-Interaction's .npz given its path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfzoo import runner
from tfzoo.config import check
from tfzoo.errors import InputError
from tfzoo.experiments import statistics, study
from tfzoo.experiments.headline import Headline, Rival, Table
from tfzoo.experiments.statistics import Row
from tfzoo.experiments.study import Arm
from tfzoo.files import expanded
from tfzoo.skipclip.experiments import baseline, plots

HEADLINE = Headline(
    "skipclip",
    "motions-pretexts",
    "error_5",
    "test error after fine-tuning on 5 labels of each of 12 motions",
    "Skip-Clip",
    "random initialisation",
)
"""The headline that the card and the guide quote."""

AGAINST = Rival(
    "skipclip",
    "motions-pretexts",
    "error_5",
    "error",
    "Skip-Clip",
    "random initialisation",
    called="from scratch",
)
"""The comparison that README quotes."""

_ERRORS = {"probe_error": "linear probe, all labels", "retrieval_error": "nearest neighbour"}
_FEW = {"error_5": "fine-tuned, 5 labels a class"}
_ORDER = {"pair_accuracy": "neighbouring futures in order"}
_COLUMNS = {"pretexts": _ERRORS | _FEW | _ORDER, "settings": _ERRORS | _ORDER}
TABLES = {
    f"{data} {part}": Table(
        "skipclip", f"{data}-{part}", columns, less=[*_ERRORS, *_FEW], more=list(_ORDER)
    )
    for data in ("motions", "ut")
    for part, columns in _COLUMNS.items()
}
"""The tables of the card."""

PARTS = ("pretexts", "settings")
PRETEXTS = {
    "random initialisation": ["pretext.kind=none"],
    "Skip-Clip": ["pretext.rotation_weight=0.0"],
    "Skip-Clip + rotation": ["pretext.rotation_weight=0.1"],
    "rotation alone": ["pretext.rank_weight=0.0", "pretext.rotation_weight=1.0"],
    "shuffled order": ["pretext.kind=order"],
}
SUPERVISED = "all labels, from scratch"
PLAIN = "frame differences without a network"
SETTINGS = {
    "margin 0.2": ["pretext.margin=0.2"],
    "2 futures": ["pretext.futures=2"],
    "skip 2": ["pretext.skip=2"],
}


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study skipclip` with the arguments `argv`."""
    parser = study.parser("skipclip")
    parser.add_argument("--parts", default="pretexts,settings", help="a subset of %(default)s")
    parser.add_argument(
        "--ut", type=expanded, metavar="NPZ", help="UT-Interaction's file, instead of motions"
    )
    parser.add_argument(
        "--motions", choices=("1", "2"), default="1", help="version of the motions; default 1"
    )
    parser.add_argument("--arms", help="names of pretexts; default: all")
    parser.add_argument("--held-out", default="1,4,8", help="its sequences; default %(default)s")
    parser.add_argument("--labels", default="5", help="labels per class; default %(default)s")
    words = parser.parse_args(argv)
    parts = [p for p in words.parts.split(",") if p]
    for part in parts:
        check(part in PARTS, "--parts", part, f"one of {', '.join(PARTS)}")
    seeds, labels = study.parse_seeds(words.seeds), _numbers("--labels", words.labels)
    name = "ut" if words.ut else {"1": "motions", "2": "motions2"}[words.motions]
    output = Path(words.output or f"studies/skipclip-{name}")
    recipe = "skipclip/motions" if words.motions == "1" else "skipclip/motions_v2"
    extra: list[list[str]] = [[]]
    if words.ut:
        recipe = "skipclip/ut_interaction"
        held = _numbers("--held-out", words.held_out)
        extra = [[f"data.path={words.ut}", f"data.held_out={h}"] for h in held]
    common = list(words.overrides)
    if "pretexts" in parts:
        names = [a.strip() for a in words.arms.split(",")] if words.arms else list(PRETEXTS)
        for arm in names:
            check(arm in PRETEXTS, "--arms", arm, f"one of {', '.join(PRETEXTS)}")
        arms = [Arm(n, recipe, [*PROBE, *common, *PRETEXTS[n]]) for n in names]
        if name != "motions":  # the older study did not have it
            arms.append(Arm(PLAIN, recipe, [*PROBE, *common, "pretext.kind=none", "epochs=1"]))
        whole = ["pretext.kind=none", "finetune.mode=full", *([] if words.ut else FEW_EPOCHS)]
        arms.append(Arm(SUPERVISED, recipe, [*common, *whole]))
        compare(arms, seeds, labels, extra, output / "pretexts", name)
    if "settings" in parts:
        settings: dict[str, list[str]] = {base(recipe, common): [], **SETTINGS}
        arms = [Arm(n, recipe, [*PROBE, *common, *more]) for n, more in settings.items()]
        compare(arms, seeds, [], extra, output / "settings", name)
    print(f"written to {output}")


def base(recipe: str, overrides: Sequence[str]) -> str:
    """The recipe's setting, with which the others are compared."""
    settings = runner.resolve(recipe, overrides).config.pretext
    return f"margin {settings.margin}, {settings.futures} futures, skip {settings.skip}"


PROBE = ["finetune.mode=probe"]
FEW_EPOCHS = ["finetune.epochs=9"]
"""Epochs with all labels of motions; UT-Interaction has few, for which the recipe's epochs are
meant."""


def compare(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    labels: Sequence[int],
    folds: Sequence[list[str]],
    output: Path,
    name: str,
) -> list[Row]:
    """Runs every arm with every seed, averaged over `folds` (overrides); writes table and plots.

    A seed determines initialisation, order of data, and which videos are labelled. An arm in mode
    `probe` is then fine-tuned on few labels from its encoder.
    """

    def run(resolved: runner.Resolved, folder: Path, export: bool) -> dict[str, float]:
        one = _plain if Path(folder).name.startswith(PLAIN) else _one
        trained = [
            one(_with(resolved, more), folder / f"fold{i}" if more else folder, labels)
            for i, more in enumerate(folds)
        ]
        return {key: float(np.mean([f[key] for f in trained])) for key in trained[0]}

    checked = [Arm(a.name, a.recipe, [*a.overrides, *folds[0]]) for a in arms]
    rows = study.run_grid(checked, seeds, output, run)
    wanted = [f"error_{n}" for n in labels if all(f"error_{n}" in r.metrics for r in rows[:1])]
    metric = wanted[0] if wanted else "retrieval_error"
    best, names = "Skip-Clip", {a.name for a in arms}
    says = [
        ("Skip-Clip below random initialisation", best, "random initialisation"),
        ("Skip-Clip below shuffled order", best, "shuffled order"),
        ("rotation lowers the error", "Skip-Clip + rotation", best),
        ("both below shuffled order", "Skip-Clip + rotation", "shuffled order"),
        ("both below frame differences", "Skip-Clip + rotation", PLAIN),
        ("both below random initialisation", "Skip-Clip + rotation", "random initialisation"),
        ("both below rotation alone", "Skip-Clip + rotation", "rotation alone"),
        ("rotation alone below random initialisation", "rotation alone", "random initialisation"),
    ]
    claims = [claim for claim in says if set(claim[1:]) <= names]
    frozen = [m for m in ("probe_error", "retrieval_error") if m != metric]
    notes = [
        *statistics.all_metrics(rows),
        "",
        *(more_claims(rows, claims, frozen) if claims else []),
        "Errors on test videos. `error_n`: all layers fine-tuned on n labelled videos of a class "
        "(for the supervised arm, on all); `probe_error`: logistic regression on frozen features "
        "with all labels; `retrieval_error`: the nearest training video is of another class.",
        "The paper: 64.4 % accuracy on UCF101 fine-tuned, 42.4 % from random initialisation "
        "(3D ResNet-18 of 112x112 pixels): another scale altogether.",
    ]
    table = study.report(f"skipclip-{name}", rows, metric, output, claims, notes)
    print(table)
    plots.bars(rows, output / "errors.png")
    shown = output / "runs" / f"{best}-seed{seeds[0]}"
    if best in names:
        plots.of_run(shown / "fold0" if folds[0] else shown, output)
    return rows


def more_claims(
    rows: Sequence[Row], claims: Sequence[tuple[str, str, str]], metrics: Sequence[str]
) -> list[str]:
    """The same claims for other errors, as lines of Markdown."""
    lines = ["| claim | error | difference, paired by seed | verdict |", "|---|---|---|---|"]
    for says, first, second in claims:
        for metric in metrics:
            difference = statistics.paired(rows, first, second, metric)
            lines.append(f"| {says} | {metric} | {difference} | {statistics.verdict(difference)} |")
    return [*lines, ""]


def _with(resolved: runner.Resolved, more: list[str]) -> runner.Resolved:
    data = resolved.config.data
    for word in more:
        key, value = word.removeprefix("data.").split("=", 1)
        data = replace(data, **{key: int(value) if key == "held_out" else value})
    return replace(resolved, config=replace(resolved.config, data=data))


def _one(resolved: runner.Resolved, folder: Path, labels: Sequence[int]) -> dict[str, float]:
    """Pre-trains and probes, then fine-tunes on few labels; or trains on all."""
    config, folder = resolved.config, Path(folder)
    first = runner.run_recipe(resolved, folder, export=False, report=lambda line: None)
    if config.finetune.mode == "full":
        return {f"error_{n}": 1 - first["accuracy"] for n in labels}
    result = {
        "probe_error": 1 - first["accuracy"],
        "retrieval_error": 1 - first["retrieval_1"],
    }
    result |= {key: first[key] for key in ("pair_accuracy", "far_accuracy") if key in first}
    kept = folder / "pretrained.keras"
    source = str(kept) if kept.is_file() else None
    pretext = replace(config.pretext, kind="none", source=source)
    for n in labels:
        tune = replace(config.finetune, mode="full", labels=n)
        second = replace(resolved, config=replace(config, pretext=pretext, finetune=tune))
        target = folder / f"labels{n}"
        metrics = runner.run_recipe(second, target, export=False, report=lambda line: None)
        result[f"error_{n}"] = 1 - metrics["accuracy"]
    return result


def _plain(resolved: runner.Resolved, folder: Path, labels: Sequence[int]) -> dict[str, float]:
    """The baseline without a network."""
    del folder
    config = resolved.config
    return baseline.errors(resolved.recipe.datasets(config), config, list(labels))


def _numbers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise InputError(f"{option}={text!r}: must be numbers of at least 1, e.g. 1,5")
    return numbers

"""`tfzoo study recon3d`: which of the three biases transfer to unseen categories?

Each is switched separately, on procedural solids and, given a path, on real meshes; for seen and
unseen categories, 1 to 5 views, and rotated worlds, with the visual hull as a baseline from
silhouettes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tfzoo import runner, zoo
from tfzoo.config import check
from tfzoo.data.shapes.catalogue import posed_shapes
from tfzoo.errors import InputError
from tfzoo.experiments import statistics, study
from tfzoo.experiments.headline import Headline, Rival, Table
from tfzoo.experiments.statistics import Row
from tfzoo.experiments.study import Arm
from tfzoo.files import expanded
from tfzoo.recon3d.config import ReconstructionConfig
from tfzoo.recon3d.experiments import lenses, plots
from tfzoo.recon3d.hull import visual_hull

HEADLINE = Headline(
    "recon3d",
    "solids",
    "unseen_3",
    "IoU on unseen categories, 3 views",
    "local encoder",
    "global, world, mean",
    more=True,
)
"""The headline that the card and the guide quote."""

AGAINST = Rival(
    "recon3d",
    "varied",
    "unseen_3",
    "IoU",
    "facing, both",
    "facing, both",
    more=True,
    called="visual hull",
    second_metric="hull_unseen_3",
)
"""The comparison that README quotes."""

PARTS = ("solids", "meshes", "varied", "lenses")
OURS, BASE = "unet, camera, mean+var", "global, world, mean"
WIDE = "mean, twice as wide"
ARMS = {
    OURS: [],
    BASE: ["model.encoder=global", "model.points=world", "model.aggregate=mean"],
    "global encoder": ["model.encoder=global"],
    "local encoder": ["model.encoder=local"],
    "world points": ["model.points=world"],
    "no points": ["model.points=none"],
    "mean": ["model.aggregate=mean"],
    WIDE: ["model.aggregate=mean"],
    "max": ["model.aggregate=max"],
}
"""One bias changed at a time, and all three off."""

EVIDENCE = {
    "facing points": ["model.points=facing"],
    "facing, silhouettes": ["model.points=facing", "model.silhouette=true"],
    "facing, hull": ["model.points=facing", "model.hull=true"],
    "facing, both": ["model.points=facing", "model.silhouette=true", "model.hull=true"],
}
"""Additions to the paper: normalised cameras, and the visual hull's features."""

_PAPERS = ["model.points=camera", "model.distance=1.75", "model.silhouette=false"]
_PAPERS += ["model.hull=false"]

CORE = (OURS, BASE, "local encoder", "world points", "mean")
UNSEEN = ("Bottle", "Guitar", "Bed", "Sword", "DeskLamp", "Monitor")
"""The held-out categories of the meshes."""

_COLUMNS = {f"unseen_{v}": f"unseen, {v} view{'s' * (v > 1)}" for v in (3, 1, 5)}
_COLUMNS |= {"seen_3": "seen, 3 views", "gauge_3": "seen, 3 views, the world turned"}
_HULL = {"visual hull": {name: f"hull_{name}" for name in _COLUMNS if name != "gauge_3"}}
_NAMES = {OURS: "U-Net, camera points, mean + variance", BASE: "global code, world points, mean"}
_NAMES |= {"global encoder": "global code"}
_NAMES |= {
    "facing, both": "facing points, silhouettes, hull",
    "facing points": "facing points alone",
}
TABLES = {
    data: Table("recon3d", data, _COLUMNS, names=_NAMES, more=list(_COLUMNS), plain=_HULL)
    for data in ("solids", "meshes", "varied")
}
"""The tables of the card."""


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study recon3d` with the arguments `argv`."""
    parser = study.parser("recon3d")
    parser.add_argument("--parts", default="solids,meshes", help=f"a subset of {','.join(PARTS)}")
    parser.add_argument(
        "--epochs", type=int, default=24, help="epochs of solids; default %(default)s"
    )
    parser.add_argument(
        "--arms", default="all", help="all, core, evidence, or names separated by semicolons"
    )
    parser.add_argument("--meshes", type=expanded, default="", metavar="PATH", help="adds its part")
    parser.add_argument("--unseen", default=",".join(UNSEEN), help="its categories held out")
    parser.add_argument("--mesh-epochs", type=int, default=60, help="default %(default)s")
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    for name in ("epochs", "mesh_epochs"):
        value = getattr(words, name)
        check(value >= 1, f"--{name.replace('_', '-')}", value, "at least 1")
    sets = {"all": list(ARMS), "core": list(CORE), "evidence": [OURS, *EVIDENCE]}
    names = sets.get(words.arms) or [arm.strip() for arm in words.arms.split(";")]
    for name in names:
        allowed = f"all, core, evidence, or one of {'; '.join(ARMS | EVIDENCE)}"
        check(name in ARMS | EVIDENCE, "--arms", name, allowed)
    parts = [part for part in words.parts.split(",") if part]
    for part in parts:
        check(part in PARTS, "--parts", part, f"one of {', '.join(PARTS)}")
    if words.meshes and not Path(words.meshes).exists():
        raise InputError(f"--meshes={words.meshes!r}: no such file or folder")
    output = Path(words.output or "studies/recon3d")
    if "solids" in parts:
        common = [f"epochs={words.epochs}", *words.overrides]
        compare("recon3d/solids", names, common, seeds, output / "solids")
    if "varied" in parts:
        common = [f"epochs={words.epochs}", *words.overrides]
        compare("recon3d/varied", names, common, seeds, output / "varied")
    if "meshes" in parts and words.meshes:
        held = [name for name in words.unseen.split(",") if name]
        common = [f"data.path={words.meshes}", f"data.unseen=[{','.join(held)}]"]
        common += [f"epochs={words.mesh_epochs}", *words.overrides]
        compare("recon3d/meshes", names, common, seeds, output / "meshes")
    if "lenses" in parts:
        lenses.run(output / "lenses")
    print(f"written to {output}")


def arms(recipe: str, names: Sequence[str], common: Sequence[str]) -> list[Arm]:
    """The arms with these names."""
    mine = ["deterministic=false", "mesh_shapes=0", *_PAPERS, *common]
    width = runner.resolve(recipe, mine).config.model.point_width
    more = {name: list((ARMS | EVIDENCE)[name]) for name in names}
    if WIDE in more:  # mean+var gives the decoder twice as many inputs as the mean
        more[WIDE].append(f"model.point_width={2 * width}")
    return [Arm(name, recipe, [*mine, *more[name]]) for name in names]


def compare(
    recipe: str, names: Sequence[str], common: Sequence[str], seeds: Sequence[int], output: Path
) -> list[Row]:
    """Runs all arms; writes tables of claims and pictures of the first seed."""
    chosen = arms(recipe, names, common)
    rows = with_errors(study.run_grid(chosen, seeds, output))
    config = runner.resolve(recipe, chosen[0].overrides).config
    first = OURS if OURS in names else names[0]
    claims = [
        (f"{first} is better on unseen categories than {name}", first, name)
        for name in names
        if name != first
    ]
    notes = [
        *statistics.all_metrics(rows),
        "",
        *more_claims(rows, config.test_views),
        "",
        f"{recipe}, {config.epochs} epochs; error: 1 - IoU on unseen categories, "
        f"{config.test_views[-1]} views, threshold chosen on validation shapes of seen ones. The "
        "paper's own tables were not seen by us.",
    ]
    print(study.report(f"recon3d {output.name}", rows, "error", output, claims, notes))
    plots.by_views(rows, config.test_views, output / "views.png")
    show(config, names, seeds[0], output)
    return rows


def show(config: ReconstructionConfig, names: Sequence[str], seed: int, output: Path) -> None:
    """`reconstructions.png` of the first seed: ours, all off, all evidence, the visual hull."""
    wanted = [name for name in (OURS, BASE, "local encoder", [*EVIDENCE][-1]) if name in names]
    methods = {}
    for name in wanted:
        folder = output / "runs" / f"{name}-seed{seed}"
        if (folder / "model.keras").is_file():
            methods[name] = plots.inside_by(zoo.load(folder))
    methods["visual hull"] = visual_hull
    shapes = posed_shapes(config.data, config.image_size)
    splits = {"seen": shapes["test"], "unseen": shapes["unseen"]}
    plots.reconstructions(methods, splits, output / "reconstructions.png", each=5)


def with_errors(rows: Sequence[Row]) -> list[Row]:
    """Rows with `error`: 1 - IoU on unseen categories at the last number of views."""
    kept = []
    for row in rows:
        extra = {}
        if "unseen_by_category" in row.metrics:
            views = [k for k in row.metrics if k.startswith("unseen_") and k[7:].isdigit()]
            value = row.metrics["unseen_3" if "unseen_3" in views else views[-1]]
            extra = {"error": 1 - value}
        kept.append(replace(row, metrics=row.metrics | extra))
    return kept


def more_claims(rows: Sequence[Row], test_views: Sequence[int]) -> list[str]:
    """Claims about one arm's own figures, paired by seed."""
    low, high, last = min(test_views), max(test_views), test_views[-1]
    hull = "the hull is worse on unseen ones"
    wanted = [
        ("more views help unseen categories", OURS, f"unseen_{low}", f"unseen_{high}"),
        ("more views help unseen categories", BASE, f"unseen_{low}", f"unseen_{high}"),
        ("unseen is worse than seen", OURS, f"unseen_{last}", f"seen_{last}"),
        ("unseen is worse than seen", BASE, f"unseen_{last}", f"seen_{last}"),
        ("turning the world costs IoU", OURS, f"gauge_{last}", f"seen_{last}"),
        ("turning the world costs IoU", BASE, f"gauge_{last}", f"seen_{last}"),
        *((hull, arm, f"hull_unseen_{last}", f"unseen_{last}") for arm in (OURS, *EVIDENCE)),
    ]
    lines = ["| claim | arm | difference | verdict |", "|---|---|---|---|"]
    for says, arm, less, more in wanted:
        a, b = statistics.values(rows, arm, less), statistics.values(rows, arm, more)
        if not a:
            continue
        difference = statistics.interval([a[seed] - b[seed] for seed in sorted(a)])
        lines.append(f"| {says} | {arm} | {difference} | {statistics.verdict(difference)} |")
    return lines

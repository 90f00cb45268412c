"""`tfzoo study uwac`: do uncertainty weights help an offline actor-critic, and why?

On the embedded tasks, or given a folder, on MuJoCo's, evaluated by returns of whole episodes. Some
data sets also have ablations of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tfzoo.config import check
from tfzoo.data.control.tasks import MIXTURES
from tfzoo.errors import InputError
from tfzoo.experiments import statistics, study
from tfzoo.experiments.headline import Across, Headline, Rival, Table
from tfzoo.experiments.statistics import Row
from tfzoo.experiments.study import Arm
from tfzoo.files import expanded
from tfzoo.uwac.experiments import plots

HEADLINE = Headline(
    "uwac",
    "pointmass-random_expert",
    "return",
    "return on mixed data of a point mass",
    "UWAC",
    "BEAR",
    more=True,
    digits=2,
)
"""The headline that the card and the guide quote."""

AGAINST = Rival(
    "uwac",
    "pointmass-random_expert",
    "return",
    "return",
    "UWAC",
    "BEAR",
    more=True,
    digits=2,
)
"""The comparison that README quotes."""

_ARMS = {
    "BC": "BC",
    "BEAR": "BEAR",
    "dropout only": "dropout only",
    "UWAC": "UWAC",
    "UWAC, official code without spectral norm": "UWAC exp",
    "UWAC, official code": "UWAC exp, SN (official code)",
    "BEAR, spectral norm": "BEAR, SN",
    "UWAC, spectral norm": "UWAC, SN",
}
_KINDS = ("random_expert", "medium_expert", "expert", "medium", "human", "random")
_EMBEDDED = {f"{t}-{kind}": f"{t}/{kind}" for t in ("pointmass", "pendulum") for kind in _KINDS}
TABLES = {
    "returns": Across("uwac", _EMBEDDED, "return", _ARMS, more=True, digits=2),
    "paired": Across(
        "uwac",
        _EMBEDDED,
        "return",
        {("UWAC", "BEAR"): "UWAC less BEAR", ("UWAC", "dropout only"): "UWAC less dropout only"},
        says="paired by seed",
        more=None,
        digits=2,
        others={
            ("BEAR", "target_max"): "greatest target: BEAR",
            ("UWAC", "target_max"): "greatest target: UWAC",
        },
    ),
    "weights": Table(
        "uwac",
        "pointmass-random_expert",
        {
            "return": "return",
            "target_max": "greatest target",
            "weight": "mean weight",
            "ood_auc": "out-of-distribution AUC",
        },
        more=["return"],
        digits=2,
    ),
}
"""The tables of the card."""

BC, BEAR, DROPOUT, UWAC, CODE = "BC", "BEAR", "dropout only", "UWAC", "UWAC, official code"
BEAR_SN, UWAC_EXP = "BEAR, spectral norm", "UWAC, official code without spectral norm"
ABLATIONS = ("UWAC, critics' weights only", "UWAC, actor's weights only")
_EXP = ("agent.weight_fn=exp", "agent.weight_power=2", "agent.weight_clip=[0.0,1.0]")
_SN = "agent.spectral_norm=true"
SETTINGS: dict[str, tuple[str, ...]] = {
    BC: ("algorithm=bc",),
    BEAR: ("algorithm=bear", "agent.dropout_rate=0.0"),
    DROPOUT: ("algorithm=bear",),
    UWAC: (),
    CODE: (*_EXP, _SN),
    BEAR_SN: ("algorithm=bear", "agent.dropout_rate=0.0", _SN),
    "UWAC, spectral norm": (_SN,),
    UWAC_EXP: _EXP,
    ABLATIONS[0]: ("agent.weight_actor=false",),
    ABLATIONS[1]: ("agent.weight_critic=false",),
}
ABLATED = ("pointmass/random_expert", "pendulum/expert")
DATA = tuple(f"{task}/{mixture}" for task in ("pointmass", "pendulum") for mixture in MIXTURES)
MUJOCO = (
    "mujoco/hopper_medium_replay",
    "mujoco/hopper_medium_expert",
    "mujoco/halfcheetah_medium_replay",
)
"""A run on these has 100,000 steps, so they have few arms; the first also has ablations."""
_FEW, _ABLATIONS = (BC, BEAR, UWAC), (DROPOUT, CODE)


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo study uwac` with the arguments `argv`."""
    parser = study.parser("uwac")
    parser.add_argument("--data", help=f"a subset of {','.join((*DATA, *MUJOCO))}")
    parser.add_argument(
        "--mujoco",
        type=expanded,
        default="",
        metavar="FOLDER",
        help="its data sets, of tools/mujoco_sets.py, instead of the embedded ones",
    )
    words = parser.parse_args(argv)
    seeds = study.parse_seeds(words.seeds)
    known = MUJOCO if words.mujoco else DATA
    chosen = list(known) if words.data is None else [n for n in words.data.split(",") if n]
    for name in chosen:
        check(name in known, "--data", name, f"one of {', '.join(known)}")
    check(bool(chosen), "--data", words.data, f"at least one of {', '.join(known)}")
    if words.mujoco and not Path(words.mujoco).is_dir():
        raise InputError(f"--mujoco={words.mujoco!r}: no such folder")
    output = Path(words.output or "studies/uwac")
    for name in chosen:
        print(name, flush=True)
        folder = output / name.replace("/", "-")
        grid = arms(name, words.overrides, words.mujoco)
        rows = with_costs(study.run_grid(grid, seeds, folder))
        report(name, rows, folder)
        plots.curves(folder / "runs", rows, folder / "curves.png")
    plots.returns(output, known, output / "returns.png")
    print(f"written to {output}")


def arms(name: str, overrides: Sequence[str] = (), mujoco: str = "") -> list[Arm]:
    """The arms of one data set, `<task>/<mixture>`; MuJoCo's are in the folder `mujoco`."""
    task, mixture = name.split("/")
    if name in MUJOCO:
        few = (*_FEW, *_ABLATIONS) if name == MUJOCO[0] else _FEW
        common = [f"data.path={mujoco}", *overrides]
        return [Arm(arm, f"uwac/mujoco_{mixture}", [*SETTINGS[arm], *common]) for arm in few]
    common = [f"data.name=tfzoo_{task}_offline/{mixture}", *overrides]
    kept = [arm for arm in SETTINGS if name in ABLATED or arm not in ABLATIONS]
    return [Arm(arm, f"uwac/{task}", [*SETTINGS[arm], *common]) for arm in kept]


def with_costs(rows: Sequence[Row]) -> list[Row]:
    """Rows with `cost`, the negative return: lower is better, as in claims."""
    costed = []
    for row in rows:
        extra = {"cost": -row.metrics["return"]} if "return" in row.metrics else {}
        costed.append(replace(row, metrics=row.metrics | extra))
    return costed


def report(name: str, rows: Sequence[Row], output: Path) -> None:
    """Writes table, CSV and JSON of one data set."""
    claims = [
        ("UWAC costs less than BEAR", UWAC, BEAR),
        ("UWAC costs less than BEAR with its dropout critics (the weights help)", UWAC, DROPOUT),
        ("UWAC costs less than behavioural cloning", UWAC, BC),
        ("the official code's weights cost less than BEAR", CODE, BEAR),
        ("BEAR costs less than with spectral norm", BEAR, BEAR_SN),
        ("UWAC costs less than with the official code's weights alone", UWAC, UWAC_EXP),
    ]
    ran = {row.arm for row in rows}
    claims = [claim for claim in claims if {*claim[1:]} <= ran]
    if name in MUJOCO:
        note = (
            f"tfzoo/{name.removeprefix('mujoco/')}-v0, made by us, not D4RL's; cost: negative mean "
            "return of 10 episodes after the last step, the same starts for all; score: 0 as "
            "uniform random actions, 100 as the soft actor-critic behind the expert data"
        )
    else:
        note = (
            f"tfzoo_{name.replace('/', '_offline/')}, 1.0.0; cost: negative mean return of 20 "
            "episodes after the last step, the same starts for all; target_max: greatest target of "
            "any step (rewards are never positive, so a positive one is impossible)"
        )
    notes = [*statistics.all_metrics(rows), "", note]
    print(study.report(f"uwac {name}", rows, "cost", output, claims, notes))

"""A killed run of each recipe ends bit-identical to an uninterrupted one, in each precision."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

import toy  # noqa: F401
from support import load_module
from tfzoo import runner
from tfzoo.data.shapes.catalogue import SPLITS
from tfzoo.data.videos import motions
from tfzoo.errors import InputError
from tfzoo.recon3d import recipe as recon3d
from tfzoo.sdn import recipe as sdn
from tfzoo.training.checkpoint import Checkpoints
from tfzoo.training.config import PRECISIONS

AFT = ["model.dim=16", "model.depth=1", "steps_per_epoch=3", "epochs=2"]
AFV = ["model.width=2", "model.latent=3", "steps_per_epoch=3", "epochs=2"]
AFV += ["readout.examples=60", "readout.samples=16", "monitor_every=9"]
ALA = ["ala.warmup_steps=2", "ala.steps_per_action=2", "ala.evaluations=1", "ala.memory=20"]
ALA += ["epochs=1", "steps_per_epoch=8"]
METRICOPT = ["finetune.trajectories=2", "finetune.trajectory_steps=4", "finetune.steps=4"]
METRICOPT += ["finetune.observe_every=2", "epochs=1", "steps_per_epoch=3"]
SDN = ["epochs=2", "batch_size=4", "set_size=2", "image_size=4"]
SDN_NETWORK = ["model.width=8", "model.code_dim=4", "model.noise_dim=2", "model.prior_hidden=[6]"]
UWAC = ["epochs=2", "steps_per_epoch=6", "batch_size=8", "agent.hidden=[4]", "agent.vae_units=4"]
UWAC += ["agent.n_target_samples=2", "agent.n_action_samples=2", "agent.n_mc_samples=2"]
UWAC += ["evaluation_episodes=2", "agent.warmup_steps=3"]
RECON3D = ["epochs=3", "batch_size=2", "points=16", "image_size=32", "model.encoder_width=4"]
RECON3D += ["model.features=4", "model.point_width=6", "model.decoder_width=8", "model.blocks=1"]
RECON3D += ["mesh_shapes=0", "max_views=2", "test_views=[1,2]"]
VIDEO = ["epochs=2", "model.width=2", "steps_per_epoch=2", "batch_size=4", "pretext.frames=2"]
VIDEO += ["pretext.futures=2", "pretext.skip=2", "finetune.clips=2", "augment.resize=28"]
VIDEO += ["augment.size=16", "finetune.epochs=2", "finetune.batch_size=6", "finetune.mode=full"]
BOTTLENECK = ["model.width=64", "model.draws=2", "batch_size=40", "steps_per_epoch=3", "epochs=2"]

RUNS = {
    "one fit": ["toy.yaml"],
    "images": ["aft/digits", *AFT],
    "pixels": ["aft/digits_pixels", *AFT, "batch_size=8"],
    "text": ["aft/pydoc", *AFT, "batch_size=4", "model.max_length=16"],
    "two players, then ridge": ["afv/digits", *AFV],
    "two players, then hinge": ["afv/digits", *AFV, "readout.method=hinge", "readout.epochs=2"],
    "one child": ["ala/digits", *ALA, "ala.children=1"],
    "children": ["ala/digits", *ALA, "ala.children=2"],
    "full batch": ["bottleneck/digits", *BOTTLENECK],
    "full batch, cross-entropy": ["bottleneck/digits_ce", *BOTTLENECK],
    "ensemble": ["collegial/digits", "model.members=2", "model.width=8", "epochs=1"],
    "metric": ["metricopt/digits_mcr", *METRICOPT],
    "metric of a table": ["metricopt/breast_cancer_recall", *METRICOPT],
    "fields": ["recon3d/solids", *RECON3D],
    "sets": ["sdn/shapes", *SDN, *SDN_NETWORK, "monitor_every=9", "voxel_net=null"],
    "judge": ["sdn/shapes_voxels", *SDN, "width=16"],
    "pretext, then all layers": ["skipclip/motions", *VIDEO],
    "agent": ["uwac/pointmass", *UWAC, "data.name=tfzoo_pointmass_offline/human"],
    "agent, by cloning": ["uwac/pendulum", *UWAC, "algorithm=bc"],
}
QUICK = {
    ("one fit", "mixed_float16"),
    ("children", "mixed_bfloat16"),
}
"""Different loops, where Keras wraps the optimizer; the rest is in the slow tier. The tests of
MetricOpt's and UWAC's recipes stop and resume theirs too."""
REFUSED = {
    ("children", "mixed_float16"),  # they would share a loss scale
    *((f"full batch{more}", p) for more in ("", ", cross-entropy") for p in PRECISIONS[1:]),
}
CASES = [
    pytest.param(name, precision, marks=[] if (name, precision) in QUICK else pytest.mark.slow)
    for name in RUNS
    for precision in PRECISIONS
]


@pytest.fixture
def few(monkeypatch, tmp_path):
    """The toy, and a few sets, shapes and videos instead of those that take long to generate."""
    (tmp_path / "toy.yaml").write_text("task: toy.regression\nepochs: 2\nbatch_size: 8\n")
    monkeypatch.setitem(RUNS, "one fit", [str(tmp_path / "toy.yaml")])
    made_sets = load_module("sdn/test_recipe.py").made_sets
    made_shapes = load_module("recon3d/test_recipe.py").made_shapes
    counts = {"train": 16, "validation": 6, "test": 6}
    monkeypatch.setattr(
        sdn,
        "image_sets",
        lambda config, size, channels: {
            name: made_sets(count, seed, size) for seed, (name, count) in enumerate(counts.items())
        },
    )

    def posed_shapes(*_):
        """The training shapes are renewed in each epoch: new ones repeat the old in turn."""
        shapes = {name: made_shapes(4, 9 * i) for i, name in enumerate(SPLITS)}
        old = shapes["train"]
        shapes["train"] = replace(
            old,
            renewed=2,
            views_of=lambda i, views: old.views_of(3 * i % 4, views),
            samples_of=lambda i: old.samples_of(3 * i % 4),
        )
        return shapes

    monkeypatch.setattr(recon3d, "posed_shapes", posed_shapes)
    monkeypatch.setattr(motions, "COUNTS", {"train": 24, "validation": 12, "test": 12})
    monkeypatch.setattr(motions.TfzooMotions, "VERSION", "8.8.8")


class Killed(BaseException):
    """Like a signal that cannot be caught."""


def run(words, folder):
    resolved = runner.resolve(words[0], words[1:])
    return runner.run_recipe(resolved, folder, export=False, report=lambda line: None)


def kept(folder):
    """Checkpoints, logs and results of a run, and its model's weights."""
    arrays = {}
    for path in [*folder.rglob("backup/**/*.npz"), *folder.rglob("log*.csv")]:
        if path.suffix == ".csv":
            arrays[path.name] = path.read_text()
            continue
        with np.load(path) as archive:
            arrays |= {f"{path.relative_to(folder)} {n}": archive[n] for n in archive.files}
    model = keras.models.load_model(folder / "model.keras", compile=False)
    arrays |= {f"{i} {w.name}": np.array(w) for i, w in enumerate(model.weights)}
    return arrays | {"metrics": json.loads((folder / "metrics.json").read_text())}


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_killed_run_goes_on_to_the_same_bits(name, precision, tmp_path, monkeypatch, few):
    words = [*RUNS[name], "save_every=2", f"precision={precision}"]
    if (name, precision) in REFUSED:
        with pytest.raises(InputError, match=f"precision='{precision}': must be"):
            run(words, tmp_path)
        return
    saves, save = [], Checkpoints.save

    def counted(self, step, *rest):
        saves.append(step)
        if len(saves) == last:
            raise Killed
        save(self, step, *rest)

    monkeypatch.setattr(Checkpoints, "save", counted)
    last = None
    run(words, tmp_path / "whole")
    assert len(saves) >= 3, saves
    last = len(saves) // 2 + 1
    saves.clear()
    with pytest.raises(Killed):
        run(words, tmp_path / "cut")
    last = None
    run(words, tmp_path / "cut")
    whole, cut = kept(tmp_path / "whole"), kept(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    for key, value in whole.items():
        np.testing.assert_equal(cut[key], value, err_msg=key)

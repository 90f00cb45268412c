"""The study and the bench: arms, claims, a run of two tiny arms; meshes from the command line."""

import csv

import numpy as np
import pytest

from support import load_module
from tfzoo import runner
from tfzoo.data.shapes import raycast
from tfzoo.data.shapes.cameras import orbit
from tfzoo.data.shapes.solid_kinds import make_solid
from tfzoo.experiments.statistics import Row
from tfzoo.recon3d import OccupancyReconstructor, recipe, reconstruct
from tfzoo.recon3d.experiments import bench, plots
from tfzoo.recon3d.experiments import study as recon_study
from tfzoo_cli.main import main

recipes = load_module("recon3d/test_recipe.py")


def test_arms_switch_one_bias_at_a_time():
    words = ["epochs=3", "model.point_width=10"]
    arms = recon_study.arms("recon3d/solids", list(recon_study.ARMS), words)
    models = {a.name: runner.resolve(a.recipe, a.overrides).config.model for a in arms}
    three = lambda m: (m.encoder, m.points, m.aggregate)  # noqa: E731
    ours = three(models[recon_study.OURS])
    assert ours == ("unet", "camera", "mean_var")
    assert three(models[recon_study.BASE]) == ("global", "world", "mean")
    widths = {name: model.point_width for name, model in models.items()}
    assert widths.pop(recon_study.WIDE) == 20 and set(widths.values()) == {10}
    for name, model in models.items():
        if name not in (recon_study.OURS, recon_study.BASE):
            assert sum(a != b for a, b in zip(three(model), ours, strict=True)) == 1, name


def test_what_is_ours_is_added_to_the_papers_arm():
    names = [recon_study.OURS, *recon_study.EVIDENCE]
    arms = recon_study.arms("recon3d/varied", names, [])
    models = [runner.resolve(a.recipe, a.overrides).config.model for a in arms]
    assert [(m.points, m.silhouette, m.hull) for m in models] == [
        ("camera", False, False),
        ("facing", False, False),
        ("facing", True, False),
        ("facing", False, True),
        ("facing", True, True),
    ]
    assert {m.encoder for m in models} == {"unet"}


def test_claims_have_their_signs():
    more = {"unseen_1": 0.2, "unseen_3": 0.4, "seen_3": 0.6, "gauge_3": 0.6}
    more |= {"unseen_by_category": 0.4, "hull_unseen_3": 0.3}
    rows = [
        Row(recon_study.OURS, s, 1, {k: v + 0.01 * s * (k != "seen_3") for k, v in more.items()})
        for s in range(3)
    ]
    rows = recon_study.with_errors(rows)
    assert rows[0].metrics["error"] == pytest.approx(0.6)
    lines = recon_study.more_claims(rows, [1, 3])
    (worse,) = [line for line in lines if line.startswith("| unseen is worse")]
    assert "-0.1900" in worse and worse.endswith("supported |")


@pytest.mark.slow
def test_a_tiny_study_leaves_tables_and_pictures(tmp_path, monkeypatch, capsys):
    splits = {name: recipes.made_shapes(4, 10 * i) for i, name in enumerate(recipes.shapes.SPLITS)}
    for module in (recipe, recon_study):
        monkeypatch.setattr(module, "posed_shapes", lambda *a: splits)
    monkeypatch.setattr(plots, "CELLS", 8)
    small = [w for w in recipes.SMALL if not w.startswith(("deterministic", "epochs", "mesh"))]
    arms = "; ".join((recon_study.OURS, recon_study.BASE))
    words = ["--seeds", "0", "--parts", "solids", "--arms", arms, "--epochs", "1"]
    assert main(["study", "recon3d", *words, "--output", str(tmp_path), *small]) == 0
    names = {p.name for p in (tmp_path / "solids").iterdir()}
    assert {"table.md", "results.csv", "study.json", "views.png", "reconstructions.png"} <= names
    text = (tmp_path / "solids" / "table.md").read_text()
    assert "hull_unseen_2" in text and "turning the world" in text
    for wrong in (["--parts", "x"], ["--epochs", "0"], ["--arms", "few"], ["--meshes", "none"]):
        assert main(["study", "recon3d", *wrong]) == 2
        assert wrong[0] in capsys.readouterr().err


def test_a_ball_of_booleans_is_rendered_as_a_ball():
    from tfzoo.recon3d.meshes import lattice

    field = plots.grid_solid(np.linalg.norm(lattice(32), axis=-1) < 0.3)
    image, _ = raycast.render(field, orbit(20, 20, 1.7, 70, 64)[None], 64)
    area = (image[0] < 255).any(-1).sum()
    assert area == pytest.approx(np.pi * (0.3 * 70) ** 2 / (1.7**2 - 0.09), rel=0.12)


@pytest.fixture
def small_model(tmp_path, monkeypatch):
    model = OccupancyReconstructor(64, encoder_width=3, features=4, point_width=4, decoder_width=8)
    model.decoder.fc_out.bias.assign([3.0])  # everything is inside
    model.save(tmp_path / "m.keras")
    monkeypatch.setattr(bench, "_model", lambda: model)
    return str(tmp_path / "m.keras")


@pytest.mark.slow
def test_bench(local_workers, small_model, tmp_path, capsys):
    words = ["--rounds", "1", "--resolution", "16", "--output", str(tmp_path / "b")]
    assert main(["bench", "recon3d", *words]) == 0
    rows = list(csv.DictReader((tmp_path / "b" / "results.csv").open()))
    assert [r["alternative"] for r in rows] == [*bench.MESH, *bench.SPEED]
    assert rows[1]["evaluations"] == str(17**3) and float(rows[0]["apart"]) < 1e-5
    assert "times fewer evaluations" in capsys.readouterr().out
    assert main(["bench", "recon3d", "--resolution", "30"]) == 2


def test_a_mesh_from_the_command_line(small_model, tmp_path, capsys):
    import trimesh
    from PIL import Image

    cameras = np.stack([orbit(a, 20, 1.7, 140, 128) for a in (0, 120)])
    images, _ = raycast.render(make_solid("chair", np.random.RandomState(0)), cameras, 128)
    files = [str(tmp_path / f"{i}.png") for i in range(2)]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    np.savez(tmp_path / "c.npz", k=cameras[:, :, :3], r=cameras[:, :, 3:6], t=cameras[:, :, 6])
    given = ["--cameras", str(tmp_path / "c.npz"), "--resolution", "16"]
    target = str(tmp_path / "x.ply")
    assert reconstruct.main([small_model, *files, *given, "--output", target]) == 0
    assert trimesh.load(target).is_watertight and "vertices" in capsys.readouterr().out
    for words, says in (
        ([small_model, files[0], *given, "--output", target], "--cameras=2: must be 1 cameras"),
        ([small_model, *files, *given, "--output", "x.txt"], "--output='x.txt'"),
        ([small_model, "no.png", files[0], *given, "--output", target], "no.png"),
        ([small_model, *files, "--cameras", "no.npz", "--output", target], "--cameras='no.npz'"),
    ):
        assert reconstruct.main(words) == 2
        assert says in capsys.readouterr().err

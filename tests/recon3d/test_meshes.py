"""Surfaces of known fields, and metrics of shapes with known results."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from tfzoo.errors import InputError
from tfzoo.recon3d import (
    OccupancyIoU,
    extract_mesh,
    mesh_metrics,
    meshes,
    save_mesh,
    surface_metrics,
    volumetric_iou,
)


def ball(radius, centre=(0, 0, 0)):
    return lambda x: radius - np.linalg.norm(x - np.asarray(centre), axis=-1)


def test_a_ball_has_its_radius_volume_and_outward_faces():
    mesh = extract_mesh(ball(0.3), 64)
    assert mesh.is_watertight and mesh.volume > 0
    assert np.abs(np.linalg.norm(mesh.vertices, axis=-1) - 0.3).max() < 2e-4
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.027, rel=3e-3)


@pytest.mark.parametrize("resolution", [64, 80, 128])
def test_the_growing_grid_finds_the_same_surface_with_fewer_questions(resolution):
    def field(x):  # two balls and a bar between them, thinner than a coarse cell
        bar = 0.012 - np.maximum(np.hypot(x[:, 1], x[:, 2]), np.abs(x[:, 0]) - 0.2)
        return np.maximum(np.maximum(ball(0.1, (0.3, 0, 0))(x), ball(0.1, (-0.3, 0, 0))(x)), bar)

    dense, all_ = meshes.dense_grid(field, resolution)
    first = meshes.first_grid(resolution)
    sparse, some = meshes.sparse_grid(field, resolution, 0.0, first, near=0.0)
    np.testing.assert_array_equal(dense > 0, sparse > 0)
    a, b = meshes.grid_mesh(dense, 0.0), meshes.grid_mesh(sparse, 0.0)
    np.testing.assert_allclose(a.volume, b.volume, rtol=1e-4)
    assert len(a.vertices) == len(b.vertices) and some < all_ / (2 if resolution < 100 else 5)


def test_a_speck_between_the_points_of_the_first_grid_is_found():
    step = 1.1 / 32
    speck = -0.55 + step * (np.array([20, 20, 20]) + 0.5)

    def field(x):  # logits: a ball, and far from it a speck smaller than a cell
        return np.maximum(20 * ball(0.2, (-0.25, -0.25, -0.25))(x), 60 * ball(0.4 * step, speck)(x))

    dense, all_ = meshes.dense_grid(field, 64)
    assert dense[41, 41, 41] > 0
    blind, _ = meshes.sparse_grid(field, 64, 0.0, near=0.0)
    sparse, some = meshes.sparse_grid(field, 64, 0.0)
    assert blind[41, 41, 41] <= 0
    np.testing.assert_array_equal(dense > 0, sparse > 0)
    assert some < all_ / 4


def is_plain(inside):
    """No cell is ambiguous: no face has diagonal corners on the same side, and so on."""
    for axis in range(3):
        a = np.moveaxis(inside, axis, 0)
        cross = (a[:, 1:, 1:] == a[:, :-1, :-1]) & (a[:, 1:, :-1] == a[:, :-1, 1:])
        if (cross & (a[:, 1:, 1:] != a[:, 1:, :-1])).any():
            return False
    corner = lambda i, j, k: inside[i : i - 1 or None, j : j - 1 or None, k : k - 1 or None]  # noqa: E731
    cells = np.stack([corner(*at) for at in meshes._CORNERS]).astype(int)
    pairs = cells == cells[::-1]  # corner i is opposite to corner 7 - i
    alone = np.isin(cells.sum(0), (2, 6)) & pairs.all(0)
    return not alone.any()


@pytest.mark.parametrize("rough", [1.0, 1.5, 2.5])
def test_surfaces_of_random_fields_are_closed_and_have_the_right_euler_characteristic(rough):
    plain = 0
    for seed in range(170):
        noise = np.random.default_rng(seed).normal(size=(13,) * 3)
        values = ndimage.gaussian_filter(noise, rough).astype("f4")
        values /= values.std()
        if seed % 3 == 0:  # values on the level itself, and vertices on the grid's points
            values = np.round(2 * values)
        if not (values > 0).any():
            continue
        mesh = meshes.grid_mesh(values, 0.0)
        assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0, seed
        assert mesh.area_faces.min() > 0 and mesh.euler_number % 2 == 0
        inside = np.pad(values > 0, 1)
        if is_plain(inside):
            plain += 1
            assert mesh.euler_number == 2 * measure.euler_number(inside, connectivity=1), seed
    assert plain > 20 or rough < 2


def test_balls_boxes_and_rings_that_lie_on_the_grid_are_closed():
    for n in range(12):
        rng = np.random.default_rng(n)
        centre, radius = rng.uniform(-0.1, 0.1, 3), rng.uniform(0.1, 0.4)
        for field, euler in (
            (lambda x, c=centre, r=radius: 40 * ball(r, c)(x), 2),
            (lambda x, n=n: 40 * (1.1 / 40 * (4 + n) - np.abs(x).max(-1)), 2),
            (lambda x: 40 * (0.1 - np.hypot(np.hypot(x[:, 0], x[:, 1]) - 0.3, x[:, 2])), 0),
        ):
            mesh = extract_mesh(field, 40)
            assert mesh.is_watertight and mesh.euler_number == euler and mesh.volume > 0
    told = extract_mesh(lambda x: 40 * ball(0.25, (0.1, -0.05, 0.07))(x), 40)
    assert told.is_watertight and told.euler_number == 2


def test_what_reaches_the_border_is_capped():
    mesh = extract_mesh(lambda x: 0.2 - np.abs(x[:, 1]), 32)  # a slab through the whole cube
    assert mesh.is_watertight and mesh.volume == pytest.approx(0.4 * 1.1**2, rel=0.08)


def test_levels_and_refusals(tmp_path):
    assert extract_mesh(ball(0.3), 32, level=0.1).bounds[1, 0] == pytest.approx(0.2, abs=2e-3)
    with pytest.raises(InputError, match="no point of the grid is inside"):
        extract_mesh(ball(-1.0), 32)
    with pytest.raises(InputError, match="resolution=30"):
        extract_mesh(ball(0.3), 30)
    with pytest.raises(InputError, match="threshold=1.5"):
        meshes.logit(1.5)
    with pytest.raises(InputError, match="must end in one of .obj"):
        save_mesh(extract_mesh(ball(0.3), 16), tmp_path / "x.txt")


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
def test_files_come_back(suffix, tmp_path):
    import trimesh

    mesh = extract_mesh(ball(0.3), 16)
    path = save_mesh(mesh, tmp_path / f"m{suffix}")
    assert trimesh.load(path, force="mesh").volume == pytest.approx(mesh.volume, rel=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def shell(radius, count=4000, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, 3))
    n = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return radius * n, n


def test_concentric_balls():
    (a, na), (b, nb) = shell(0.3), shell(0.4, seed=1)
    metrics = surface_metrics(a, b, na, nb, tolerance=0.05)
    assert metrics["chamfer_l1"] == pytest.approx(0.1, abs=0.005)
    assert metrics["f_score"] == 0 and metrics["normal_consistency"] > 0.99
    same = surface_metrics(a, a, na, -na)
    assert same["chamfer_l1"] == 0 and same["f_score"] == 1
    assert same["normal_consistency"] == pytest.approx(1)
    half = surface_metrics(a, np.concatenate([a, a + 9]))  # all right, half missing
    assert half["f_score"] == pytest.approx(2 / 3)
    truth, normals = shell(0.3, 20000)
    whole = mesh_metrics(extract_mesh(ball(0.3), 64), truth, normals)
    assert whole["chamfer_l1"] < 0.006 and whole["f_score"] > 0.95
    assert whole["normal_consistency"] > 0.98
    with pytest.raises(InputError, match="reconstructed: has no points"):
        surface_metrics(a[:0], b)


def test_iou():
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (200_000, 3))
    r = np.linalg.norm(x, axis=-1)
    assert volumetric_iou(r < 0.3, r < 0.4) == pytest.approx((0.3 / 0.4) ** 3, abs=0.01)
    a, b = np.array([[1, 1, 0, 0], [0, 0, 0, 0]]), np.array([[1, 0, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(volumetric_iou(a, b), [1 / 3, 1])
    np.testing.assert_allclose(volumetric_iou(b, a), [1 / 3, 1])
    metric = OccupancyIoU(0.8)
    metric.update_state(a, np.where(b, 2.0, 1.0))  # logit of 0.8 is 1.39
    metric.update_state(a[:1], [[9.0, 9, -9, -9]])
    assert float(metric.result()) == pytest.approx((1 / 3 + 1 + 1) / 3)

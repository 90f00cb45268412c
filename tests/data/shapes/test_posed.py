"""Solids, meshes made solid, and ShapeNet files: interiors and cameras."""

import dataclasses
import functools
import tracemalloc

import numpy as np
import pytest
import trimesh
from scipy import spatial

from tfzoo.data import DataConfig, builder
from tfzoo.data.shapes import cameras as pinhole
from tfzoo.data.shapes import mesh_files, mesh_solids, meshes, raycast, shapenet, solids
from tfzoo.data.shapes.catalogue import posed_shapes
from tfzoo.data.shapes.mesh_solids import GridSolid, mesh_solid
from tfzoo.data.shapes.posed import ShapesConfig
from tfzoo.data.shapes.primitives import Part, Solid
from tfzoo.data.shapes.solid_kinds import KINDS, make_solid
from tfzoo.errors import InputError


@pytest.mark.parametrize(
    ("part", "volume"),
    [
        (Part("box", (0.2, 0.3, 0.1)), 8 * 0.006),
        (Part("sphere", (0.3,)), 4 / 3 * np.pi * 0.027),
        (Part("cylinder", (0.2, 0.3)), np.pi * 0.04 * 0.6),
        (Part("cone", (0.3, 0.1, 0.3)), np.pi * 0.6 / 3 * (0.09 + 0.03 + 0.01)),
        (Part("capsule", (0.1, 0.2)), np.pi * 0.01 * 0.4 + 4 / 3 * np.pi * 0.001),
        (Part("torus", (0.3, 0.1)), 2 * np.pi**2 * 0.3 * 0.01),
    ],
)
def test_bodies_have_their_volume_and_unit_gradients(part, volume):
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (200_000, 3)).astype("f4")
    assert (part.distance(x) < 0).mean() == pytest.approx(volume, rel=0.04)
    h = 1e-3
    far = x[part.distance(x) > 0.01][:2000]
    gradient = [
        (part.distance(far + e) - part.distance(far - e)) / (2 * h)
        for e in h * np.eye(3, dtype="f4")
    ]
    size = np.sqrt(np.square(gradient).sum(0))
    assert np.quantile(np.abs(size - 1), 0.98) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_solids_fit_the_unit_cube_and_repeat(kind):
    a, b = (make_solid(kind, np.random.RandomState(3)) for _ in range(2))
    x = np.random.default_rng(0).uniform(-0.7, 0.7, (20_000, 3)).astype("f4")
    inside = a(x) < 0
    np.testing.assert_array_equal(inside, b(x) < 0)
    assert inside.any() and np.abs(x[inside]).max() <= 0.5 + 1e-5
    other = make_solid(kind, np.random.RandomState(4))
    assert ((other(x) < 0) != inside).any()


def test_surface_points_are_even_over_the_area():
    ball = Solid((Part("sphere", (0.3,)),))
    points, normals = raycast.surface_points(ball, 6000, np.random.RandomState(0))
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), 0.3, atol=1e-3)
    np.testing.assert_allclose(normals, points / 0.3, atol=0.02)
    # Archimedes: each height of a sphere has the same area
    shares, _ = np.histogram(points[:, 1], 6, (-0.3, 0.3))
    assert np.abs(shares / 1000 - 1).max() < 0.15
    with pytest.raises(ValueError, match="no surface"):
        raycast.surface_points(lambda x: np.ones(len(x), "f4"), 5, np.random.RandomState(0))


def test_an_open_mesh_becomes_solid():
    box = trimesh.creation.box((1, 0.6, 0.4))
    faces = np.asarray(box.faces)
    closed = mesh_solid(np.asarray(box.vertices), faces)
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, 3)).astype("f4")
    assert (closed(x) < 0).mean() == pytest.approx(1 * 0.6 * 0.4, rel=0.12)
    opened = mesh_solid(np.asarray(box.vertices), faces[2:])  # without a side
    assert 0 < (opened(x) < 0).mean() < 0.15  # a shell
    assert closed.ratio == 1 and 0 < opened.ratio < 1  # walls, if a side is open
    assert not mesh_files.is_watertight(mesh_files.Mesh("", "", box.vertices, faces[2:]))
    assert mesh_files.is_watertight(mesh_files.Mesh("", "", box.vertices, faces))
    far = np.array([[3.0, 0, 0]], "f4")
    assert 1.5 < closed(far)[0] <= 2.5


def test_a_grid_is_interpolated_between_its_points_and_not_beyond():
    at = np.linspace(-0.5, 0.5, 5)
    x, y, z = np.meshgrid(at, at, at, indexing="ij")
    grid = GridSolid(x * y * z + x - 2 * y + 3 * z - 0.1, 0.25)  # linear along each axis
    p = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, 3)).astype("f4")
    p[:2] = [[0.5, 0.5, 0.5], [-0.5, 0.5, -0.5]]  # corners
    expected = np.prod(p, 1) + p @ np.array([1, -2, 3]) - 0.1
    values = grid(p)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, atol=1e-6)
    np.testing.assert_allclose(grid(np.array([[0.5, 0.5, 2.5]], "f4")), 2.0, atol=1e-6)


def slivers(count):
    """A cylinder of long, narrow triangles."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    ring = np.stack([0.3 * np.cos(turn), 0.3 * np.sin(turn), np.zeros(count)], -1)
    i = np.arange(count)
    j = (i + 1) % count
    faces = [np.stack([i, j, i + count], -1), np.stack([j, j + count, i + count], -1)]
    return np.concatenate([ring, ring + [0, 0, 1]]), np.concatenate(faces)


def test_slivers_are_covered_by_few_points(monkeypatch):
    vertices, faces = slivers(60)
    triangles = vertices[faces]
    points = np.concatenate(list(mesh_solids._covered(triangles, 0.02)))
    assert len(points) < 120 * 51 * 4  # a row per 0.02 of their width of 0.03
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), 2000)
    anywhere = np.einsum("pk,pkd->pd", weights, triangles[rng.integers(0, 120, 2000)])
    assert spatial.cKDTree(points).query(anywhere)[0].max() < 0.02
    monkeypatch.setattr(mesh_solids, "_MOST", 1000)
    with pytest.raises(
        InputError, match=r"120 faces are so large that they need \d+ points, .* at most 1000"
    ):
        mesh_solid(vertices, faces)


def test_memory_does_not_grow_with_slivers():
    vertices, faces = slivers(1600)
    tracemalloc.start()
    mesh_solid(vertices, faces)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


@pytest.mark.parametrize("make", ["icosphere", "box", "torus", "capsule"])
def test_a_closed_mesh_is_exactly_what_it_encloses(make):
    mesh = getattr(trimesh.creation, make)(
        **{"torus": {"major_radius": 1, "minor_radius": 0.3}}.get(make, {})
    )
    solid = mesh_solid(np.asarray(mesh.vertices), np.asarray(mesh.faces), 48)
    assert solid.ratio == 1
    mesh.apply_translation(-mesh.bounds.mean(0))
    mesh.apply_scale(1 / mesh.extents.max())
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 3)).astype("f4")
    inside = solid.inside(x)
    assert inside.mean() == pytest.approx(mesh.volume, rel=0.05)
    # the grid agrees, except near the surface
    far = np.abs(solid(x)) > 0.02
    np.testing.assert_array_equal(inside[far], solid(x)[far] < 0)
    # voxel centres lie in the box's faces, so rounding decides there: 0.0107 with some processors
    assert (inside != (solid(x) < 0)).mean() < 0.015
    points, normals = solid.surface(4000, np.random.RandomState(0))
    assert points.dtype == np.float32 and np.allclose(
        np.linalg.norm(normals, axis=-1), 1, atol=1e-5
    )
    assert (
        not solid.inside(points + 1e-3 * normals).any()
        and solid.inside(points - 1e-3 * normals).all()
    )


def test_winding_numbers_are_those_of_solid_angles():
    a, b = trimesh.creation.icosphere(2, 0.4), trimesh.creation.box((0.5, 0.5, 0.5))
    b.apply_translation((0.2, 0, 0))
    cavity = trimesh.creation.icosphere(1, 0.2)
    triangles = np.concatenate([a.triangles, b.triangles, cavity.triangles[:, ::-1]])
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (500, 3))
    r = triangles[None] - x[:, None, None]
    n = np.linalg.norm(r, axis=-1)
    below = n.prod(-1) + sum(
        (r[:, :, i] * r[:, :, j]).sum(-1) * n[:, :, k]
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    )
    angles = 2 * np.arctan2(np.linalg.det(r), below).sum(1) / (4 * np.pi)
    numbers = mesh_solids.winding_numbers(triangles, x)
    np.testing.assert_array_equal(numbers, np.rint(angles))
    assert set(numbers) == {0, 1, 2}
    # two intersecting bodies: the common part is inside once, walls in it are not surface
    both = np.concatenate([a.triangles, b.triangles]).reshape(-1, 3)
    solid = mesh_solid(both, np.arange(len(both)).reshape(-1, 3), 32)
    points, normals = solid.surface(500, np.random.RandomState(0))
    assert not solid.inside(points + 1e-3 * normals).any()


def test_a_mesh_is_closed_if_its_edges_cancel():
    box = trimesh.creation.box()
    vertices, faces = np.asarray(box.vertices), np.asarray(box.faces)
    assert mesh_solids.is_closed(vertices, faces)
    assert mesh_solids.is_closed(vertices[faces.ravel()], np.arange(36).reshape(-1, 3))  # a soup
    assert not mesh_solids.is_closed(vertices, faces[1:])
    flipped = np.concatenate([faces[:1, ::-1], faces[1:]])
    assert not mesh_solids.is_closed(vertices, flipped)
    assert type(mesh_solid(vertices, flipped, 24)) is GridSolid
    thin = trimesh.creation.box((1, 0.7, 0.004))  # thinner than a cell
    solid = mesh_solid(np.asarray(thin.vertices), np.asarray(thin.faces), 48)
    assert solid(np.zeros((1, 3), "f4"))[0] < 0  # images show it
    assert not solid.inside(np.array([[0, 0, 0.01]])).any()


@pytest.mark.parametrize(
    ("vertices", "faces", "says"),
    [
        (np.zeros((3, 3)), np.zeros((0, 3), int), "faces"),
        (np.zeros((3, 3)), np.array([[0, 1, 2]]), "all its vertices are one point"),
        (np.eye(3), np.array([[0, 1, 7]]), "vertex 7, must be below 3"),
        (np.full((3, 3), np.nan), np.array([[0, 1, 2]]), "NaN"),
    ],
)
def test_degenerate_meshes_are_refused(vertices, faces, says):
    with pytest.raises(InputError, match=says):
        mesh_solid(vertices, faces)


def test_a_folder_of_meshes_is_split_by_category(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(meshes, "mesh_solid", functools.partial(mesh_solid, cells=32))
    for kind, make in (("ball", trimesh.creation.icosphere), ("box", trimesh.creation.box)):
        (tmp_path / "m" / kind).mkdir(parents=True)
        for i in range(4):
            make().export(tmp_path / "m" / kind / f"{i}.off")
    flat = trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False)
    flat.export(tmp_path / "m" / "box" / "point.off")
    config = ShapesConfig("tfzoo_meshes", str(tmp_path / "d"), str(tmp_path / "m"), unseen=["box"])
    with pytest.raises(InputError, match=r"box/point.off': mesh: all its vertices.*on_error=skip"):
        posed_shapes(config, 64)
    config = dataclasses.replace(config, on_error="skip")
    parts = posed_shapes(config, 64)
    said = capsys.readouterr().err
    assert said.count("left out 1 (data.on_error=skip)") == said.count("box/point.off") == 1
    assert [len(parts[n]) for n in ("train", "validation", "test", "unseen")] == [2, 1, 1, 4]
    arrays = parts["unseen"].arrays(2, 100)
    expected = (np.abs(arrays["points"]) < 0.5).all(-1)  # a box of side 1
    np.testing.assert_array_equal(arrays["occupancies"] > 0.5, expected)
    points, normals = parts["unseen"].surface_of(1, 3000)
    np.testing.assert_allclose(np.abs(points).max(-1), 0.5, atol=1e-6)
    np.testing.assert_allclose((points * normals).sum(-1), 0.5, atol=1e-5)
    with pytest.raises(InputError, match="image_size=32"):
        posed_shapes(config, 32)


def test_solids_builder(tmp_path, monkeypatch):
    monkeypatch.setattr(solids, "COUNTS", {"train": 1, "validation": 1, "test": 1, "unseen": 1})
    parts = posed_shapes(ShapesConfig("tfzoo_solids", str(tmp_path)), 64)
    assert [len(s) for s in parts.values()] == [3, 3, 3, 6]
    assert not set(parts["train"].labels) & set(parts["unseen"].labels)
    arrays = parts["train"].arrays(8, 4096)
    seen = (arrays["images"][0] < 255).any(-1)
    inside = arrays["points"][0][arrays["occupancies"][0] > 0.5]
    pixels, _ = pinhole.projected(arrays["cameras"][0], inside)
    for mask, at in zip(seen, np.floor(pixels).astype(int), strict=True):
        at = at[((at >= 1) & (at < 63)).all(-1)]
        near = np.maximum.reduce(
            [mask[at[:, 1] + i, at[:, 0] + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
        )
        assert near.all()  # points inside are seen as the object, up to a pixel
    with pytest.raises(InputError, match="data.unseen"):
        posed_shapes(ShapesConfig("tfzoo_solids", str(tmp_path), unseen=["table"]), 64)
    with pytest.raises(InputError, match="data.path: must be set"):
        builder(DataConfig("tfzoo_meshes"))


def shapenet_folder(root, synset, names, layout):
    import tensorflow as tf

    (root / synset).mkdir(parents=True)
    for split, name in names.items():
        (root / synset / f"{split}.lst").write_text(name)
        folder = root / synset / name
        folder.mkdir()
        rng = np.random.default_rng(0)
        points = rng.uniform(-0.55, 0.55, (101, 3)).astype(np.float16)
        inside = np.linalg.norm(points.astype("f4"), axis=-1) < 0.3
        packed = {"points": points, "occupancies": np.packbits(inside)}
        np.savez(folder / "points.npz", **packed, loc=np.array([0.1, 0, 0]), scale=2.0)
        np.savez(folder / "pointcloud.npz", points=points, normals=points)
        image = np.zeros((137, 137, 4), np.uint8)  # transparent: white
        image[:, :60, 3] = 255  # a black half
        png = tf.io.encode_png(image).numpy()
        if layout == "r2n2":
            (folder / "rendering").mkdir()
            for i in range(2):
                (folder / "rendering" / f"{i:02d}.png").write_bytes(png)
            lines = "90 0 0 1.0 25\n0 30 0 0.8 25\n"
            (folder / "rendering" / "rendering_metadata.txt").write_text(lines)
        else:
            (folder / "img_choy2016").mkdir()
            camera, arrays = pinhole.from_r2n2(90, 0, 1.0), {}
            for i in range(2):
                (folder / "img_choy2016" / f"{i:03d}.png").write_bytes(png)
                arrays |= {f"camera_mat_{i}": camera[:, :3], f"world_mat_{i}": camera[:, 3:]}
            np.savez(folder / "img_choy2016" / "cameras.npz", **arrays)


def test_shapenets_layouts(tmp_path):
    names = {"train": "a", "val": "b", "test": "c"}
    shapenet_folder(tmp_path, "001", names, "r2n2")
    shapenet_folder(tmp_path, "002", names, "occnet")
    config = ShapesConfig("shapenet_occupancy", None, str(tmp_path), unseen=["002"])
    parts = posed_shapes(config, 64)
    assert {k: len(v) for k, v in parts.items()} == dict.fromkeys(parts, 1)
    seen, unseen = (parts[n].arrays(2) for n in ("train", "unseen"))
    np.testing.assert_allclose(seen["cameras"][0, 0], unseen["cameras"][0, 0], rtol=1e-5)
    expected = np.linalg.norm(seen["points"], axis=-1) < 0.3
    assert (seen["occupancies"] == expected).mean() > 0.97  # except for ties in 16 bits
    image = seen["images"][0, 0]
    assert image.shape == (64, 64, 3) and image[:, :25].max() < 5 and image[:, 31:].min() > 250
    # the frame's point x is the world's 2 x + (0.1, 0, 0)
    x = np.array([[0.1, 0.2, -0.1]])
    world, _ = pinhole.projected(pinhole.from_r2n2(90, 0, 1.0)[None], 2 * x + [0.1, 0, 0])
    frame, _ = pinhole.projected(seen["cameras"][0, :1].astype(float), x)
    np.testing.assert_allclose(frame, world * 64 / 137, rtol=1e-4)
    stream = parts["train"].stream((1, 2), 7, batch_size=1, seed=0)
    (batch, inside) = next(iter(stream.from_step(0)))
    assert batch["points"].shape == (1, 7, 3) and inside.shape == (1, 7)
    with pytest.raises(InputError, match="data.unseen='003'"):
        posed_shapes(ShapesConfig("shapenet_occupancy", None, str(tmp_path), unseen=["003"]), 64)
    with pytest.raises(InputError, match="must be a folder of synsets"):
        posed_shapes(ShapesConfig("shapenet_occupancy"), 64)
    with pytest.raises(InputError, match="no such file"):
        shapenet.read_points(tmp_path / "nowhere")

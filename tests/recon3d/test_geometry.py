"""Projection and sampling compared with independent references, and their invariances."""

import numpy as np
import pytest
from scipy import ndimage, spatial

from tfzoo.data.shapes import cameras as pinhole
from tfzoo.data.shapes import raycast
from tfzoo.data.shapes.primitives import Part, Solid
from tfzoo.recon3d import geometry
from tfzoo.recon3d.evaluation import random_rotation

RNG = np.random.default_rng(0)


def some_cameras(v=4, size=64):
    return np.stack(
        [pinhole.orbit(80 * i + 7, 10 * i - 15, 1.5 + 0.1 * i, 70, size) for i in range(v)]
    )


def by_hand(camera, point):
    """Rotates with scipy, translates, divides: independent of our matrices."""
    turn = spatial.transform.Rotation.from_matrix(camera[:, 3:6])
    x, y, z = turn.apply(point) + camera[:, 6]
    return camera[0, 0] * x / z + camera[0, 2], camera[1, 1] * y / z + camera[1, 2], z


def test_projection_is_the_pinholes():
    cameras, points = some_cameras(), RNG.uniform(-0.5, 0.5, (6, 3))
    seen = geometry.camera_points(cameras[None].astype("f4"), points[None].astype("f4"))
    pixels = np.array(geometry.project(cameras[None].astype("f4"), seen))[0]
    other, depth = pinhole.projected(cameras, points)
    for v in range(4):
        for n in range(6):
            x, y, z = by_hand(cameras[v], points[n])
            np.testing.assert_allclose(pixels[v, n], [x, y], rtol=1e-4)
            np.testing.assert_allclose([*other[v, n], depth[v, n]], [x, y, z], rtol=1e-9)


def test_a_camera_looks_at_its_target_upright():
    camera = pinhole.orbit(33, 20, 1.7, 70, 64)
    pixels, depth = pinhole.projected(camera[None], np.array([[0, 0, 0], [0, 0.1, 0]]))
    np.testing.assert_allclose(pixels[0, 0], [32, 32], atol=1e-9)
    assert depth[0, 0] == pytest.approx(1.7)
    assert pixels[0, 1, 0] == pytest.approx(32) and pixels[0, 1, 1] < 32  # up is up
    assert np.linalg.det(camera[:, 3:6]) == pytest.approx(1)


def test_r2n2_and_opengl_conventions():
    camera = pinhole.from_r2n2(90, 0, 1.0)
    assert camera[0, 0] == pytest.approx(149.84375) and camera[0, 2] == 68.5
    centre = -camera[:, 3:6].T @ camera[:, 6]
    np.testing.assert_allclose(centre, [0, 0, 1.75], atol=1e-12)
    pose = np.eye(4)
    pose[2, 3] = 2.0  # at z = 2, looking along -z, y up
    same = pinhole.from_opengl(pose, 70, 64)
    np.testing.assert_allclose(same, pinhole.orbit(90, 0, 2.0, 70, 64), atol=1e-12)


def test_frame_and_size_keep_what_is_seen():
    camera, points = some_cameras(1), RNG.uniform(-0.5, 0.5, (5, 3))
    loc, scale = np.array([0.1, -0.2, 0.05]), 1.3
    before, _ = pinhole.projected(camera, points * scale + loc)
    after, _ = pinhole.projected(pinhole.in_frame(camera, loc, scale), points)
    np.testing.assert_allclose(after, before)
    double, _ = pinhole.projected(pinhole.resized(camera, 2.0), points)
    single, _ = pinhole.projected(camera, points)
    np.testing.assert_allclose(double, 2 * single)


def test_turning_the_world_changes_no_view():
    cameras, points = some_cameras(), RNG.uniform(-0.5, 0.5, (5, 3))
    moved = pinhole.turned(cameras, points, random_rotation(np.random.default_rng(1)))
    for a, b in zip(pinhole.projected(cameras, points), pinhole.projected(*moved), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_rays_and_centres_lead_back_to_the_point():
    cameras = some_cameras(2)[None].astype("f4")
    points = RNG.uniform(-0.4, 0.4, (1, 5, 3)).astype("f4")
    pixels = geometry.project(cameras, geometry.camera_points(cameras, points))
    ways = np.array(geometry.ray_directions(cameras, pixels))
    from_centre = points[:, None] - np.array(geometry.camera_centres(cameras))[:, :, None]
    from_centre /= np.linalg.norm(from_centre, axis=-1, keepdims=True)
    np.testing.assert_allclose(ways, from_centre, atol=1e-5)


def test_sampling_equals_scipys():
    maps = RNG.normal(size=(2, 7, 9, 3)).astype("f4")
    pixels = RNG.uniform(-6, 42, (2, 40, 2)).astype("f4")  # also outside
    sampled = np.array(geometry.sample_features(maps, pixels, 4))
    for m in range(2):
        where = [pixels[m, :, 1] / 4 - 0.5, pixels[m, :, 0] / 4 - 0.5]
        for c in range(3):
            expected = ndimage.map_coordinates(maps[m, :, :, c], where, order=1, mode="nearest")
            np.testing.assert_allclose(sampled[m, :, c], expected, atol=1e-5)


def test_behind_the_camera_and_far_outside_is_finite():
    camera = pinhole.orbit(0, 0, 1.0, 70, 64)[None, None].astype("f4")
    points = np.array([[[3.0, 0, 0], [1.0, 0, 0], [0, 900, 0]]], "f4")  # behind, at, beside
    seen = geometry.camera_points(camera, points)
    pixels = geometry.project(camera, seen)
    maps = RNG.normal(size=(1, 8, 8, 2)).astype("f4")
    assert np.isfinite(np.array(geometry.sample_features(maps, pixels[0], 8))).all()
    inside = geometry.inside_image(pixels, seen[..., 2], 64)
    assert not np.array(inside).any()


def test_a_rendered_ball_has_its_depth_and_place():
    ball = Solid((Part("sphere", (0.3,), (0.1, 0.05, -0.1)),))
    camera = some_cameras(3)
    _, depths = raycast.render(ball, camera, 64)
    centres, ways = raycast.camera_rays(camera, 64)
    cosine = np.einsum("vni,vi->vn", ways, camera[:, 2, 3:6])
    flat = depths.reshape(3, -1)
    hit = np.isfinite(flat)
    points = centres[:, None] + ways * (np.where(hit, flat, 1) / cosine)[..., None]
    assert np.abs(ball(points[hit].astype("f4"))).max() < 2e-3
    pixels, depth = pinhole.projected(camera[:1], points[0][hit[0]])
    np.testing.assert_allclose(pixels[0] % 1, 0.5, atol=1e-6)  # pixels' centres
    np.testing.assert_allclose(depth[0], flat[0][hit[0]], rtol=1e-6)
    b = (ways[0] * (centres[0] - [0.1, 0.05, -0.1])).sum(-1)  # closed form
    c = np.square(centres[0] - [0.1, 0.05, -0.1]).sum() - 0.09
    np.testing.assert_array_equal(
        hit[0][np.abs(b * b - c) > 5e-3], (b * b > c)[np.abs(b * b - c) > 5e-3]
    )

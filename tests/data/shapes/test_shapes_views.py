"""Voxel furniture and its views."""

import numpy as np
import pytest

from tfzoo.data.shapes import voxels
from tfzoo.data.shapes.shapes_views import different_shapes

SIDE = voxels.SIDE


def solid(*slices):
    grid = np.zeros((SIDE,) * 3, bool)
    grid[slices] = True
    return grid


def test_nothing_is_seen_of_an_empty_grid():
    assert voxels.views(np.zeros((SIDE,) * 3, bool)).max() == 0


def test_a_box_seen_from_the_horizon_is_its_rectangle():
    grid = solid(slice(4, 12), slice(6, 10), slice(0, 5))
    front, side = (voxels.views(grid, 0.0)[i, :, :, 0] > 0 for i in (0, 6))  # along x, along y
    expected = np.zeros((SIDE, SIDE), bool)
    expected[SIDE - 5 :, 6:10] = True
    np.testing.assert_array_equal(front, expected)
    expected = np.zeros((SIDE, SIDE), bool)
    expected[SIDE - 5 :, 4:12] = True
    np.testing.assert_array_equal(side, expected)


def test_from_behind_at_the_horizon_is_the_mirror_image():
    _, grid = different_shapes(3, seed=5)[2]
    seen = voxels.views(grid, 0.0)[..., 0] > 0
    np.testing.assert_array_equal(seen[12], seen[0][:, ::-1])
    np.testing.assert_array_equal(seen[18], seen[6][:, ::-1])


def test_quarter_turns_of_a_symmetric_body_look_alike():
    grid = solid(slice(5, 11), slice(5, 11), slice(2, 9))
    seen = voxels.views(grid)
    np.testing.assert_array_equal(seen[0], seen[6])
    np.testing.assert_array_equal(seen[3], seen[9])


def test_near_is_brighter():
    near, far = (voxels.views(solid(x, slice(6, 10), slice(6, 10)), 0.0)[0] for x in (15, 0))
    assert near.max() > far.max() > 0


def test_seen_from_above():
    flat = voxels.views(solid(slice(4, 12), slice(4, 12), 8))[0, :, :, 0] > 0
    assert flat.sum(0).max() >= 3  # at the horizon it would be one pixel high


def test_shapes_differ_and_repeat_by_seed():
    shapes = different_shapes(60, seed=1)
    keys = {grid.tobytes() for _, grid in shapes}
    assert len(keys) == 60 and {kind for kind, _ in shapes} == set(voxels.KINDS)
    again = different_shapes(60, seed=1)
    assert all((a[1] == b[1]).all() for a, b in zip(shapes, again, strict=True))
    assert all(0.01 < grid.mean() < 0.5 for _, grid in shapes)


@pytest.mark.parametrize("kind", voxels.KINDS)
def test_every_kind_stands_on_the_floor(kind):
    rng = np.random.RandomState(0)
    assert all(voxels.furniture(kind, rng)[:, :, 0].any() for _ in range(20))

"""Cameras that do not fit are named; other programs' captures are read, meshes written."""

import json
import shutil

import numpy as np
import pytest
import trimesh
from PIL import Image

from support import TESTS
from tfzoo.data.shapes import cameras as pinhole
from tfzoo.data.shapes import captures, raycast
from tfzoo.data.shapes.primitives import Part, Solid
from tfzoo.data.shapes.solid_kinds import make_solid
from tfzoo.errors import InputError
from tfzoo.recon3d import Frame, frame_scene, geometry, scene, views

COLMAP = TESTS / "recon3d" / "colmap"
TABLE = np.array([[78.0, -37, 282], [162, -6.5, 338]])
"""Corners of the box of `colmap/make.py`'s table."""

CAMERAS = pinhole.VARIED.draw(4, 64, np.random.RandomState(3))
BODY = Solid((Part("box", (0.5, 0.2, 0.3)), Part("sphere", (0.3,), (0.2, 0.1, 0)))).normalised()
IMAGES = raycast.render(BODY, CAMERAS, 64)[0].astype("f4")


def refused(images=IMAGES, cameras=CAMERAS, camera_ranges=None):
    with pytest.raises(InputError) as caught:
        views.check_views(images, cameras, camera_ranges)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_varied_cameras_see_the_object_whole_and_pass():
    many = pinhole.VARIED.draw(40, 64, np.random.RandomState(0))
    ranges = {name: getattr(pinhole.VARIED, name) for name in views.CHECKED}
    views.check_views(IMAGES, CAMERAS, ranges)
    views.check_views(IMAGES, np.where(np.arange(4)[:, None, None] == 1, 0, CAMERAS), ranges)
    corners = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, -1).T
    pixels, depth = pinhole.projected(many, corners)
    assert depth.min() > 0.3 and pixels.min() > -20 and pixels.max() < 84
    for camera, name in ((many, "focal"), (many, "distance")):
        values = {
            "focal": camera[:, 0, 0] / 64,
            "distance": np.linalg.norm(camera[:, :, 6], axis=-1),
        }[name]
        low, high = getattr(pinhole.VARIED, name)
        assert low <= values.min() < 1.3 * low and 0.7 * high < values.max() <= high


def changed(view, **parts):
    cameras = CAMERAS.copy()
    for name, change in parts.items():
        where = {"k": np.s_[view, :, :3], "r": np.s_[view, :, 3:6], "t": np.s_[view, :, 6]}[name]
        cameras[where] = change(cameras[where])
    return cameras


def inverse(cameras):
    r = np.swapaxes(cameras[:, :, 3:6], 1, 2)
    t = -np.einsum("vij,vj->vi", r, cameras[:, :, 6])
    return pinhole.pack_cameras(cameras[:, :, :3], r, t)


@pytest.mark.parametrize(
    ("cameras", "says"),
    [
        (changed(2, r=lambda r: r * [1, 1, -1]), r"cameras[2]: R has determinant -1"),
        (changed(1, r=lambda r: 1.1 * r), "cameras[1]: R is not a rotation"),
        (changed(3, k=lambda k: k * 0), "cameras[3]: K has focal lengths 0, 0"),
        (changed(0, t=lambda t: -t), "cameras[0]: the origin, where the object should be, is beh"),
        (changed(range(4), t=lambda t: -t), "if they were with the sign of t turned"),
        (changed(range(4), t=lambda t: 100 * t), "if they were in centimetres"),
        (changed(2, k=lambda k: k + np.array([[0, 0, 200], [0, 0, 90], [0, 0, 0]])), "cameras[2]"),
        (inverse(CAMERAS), "if they were camera to world instead of world to camera"),
        (pinhole.in_frame(CAMERAS, [0.7, 0.4, 0.3], 1.0), "frame_scene(cameras, masks) puts"),
        (changed(2, t=lambda t: 0.1 * t), "cameras[2]: it stands within the unit cube"),
    ],
)
def test_a_wrong_camera_is_named_with_what_is_wrong(cameras, says):
    assert says in refused(cameras=cameras)


def test_opengls_axes_are_recognised():
    flipped = CAMERAS.copy()
    flipped[:, 1:, 3:] *= -1
    assert "in OpenGL's axes (from_opengl)" in refused(cameras=flipped)
    assert "camera to world in OpenGL's axes" in refused(cameras=inverse(flipped))


def test_a_camera_that_the_others_disagree_with_is_named():
    rod = Solid((Part("box", (0.5, 0.03, 0.03)),))
    cameras = np.stack([pinhole.orbit(50 * i, 15, 2, 70, 64) for i in range(4)])
    images = raycast.render(rod, cameras, 64)[0].astype("f4")
    views.check_views(images, cameras)
    rolled = cameras.copy()
    rolled[2] = pinhole.orbit(100, 15, 2, 70, 64, roll=90)
    images[2] = raycast.render(Solid((Part("sphere", (0.05,), (0, 0.45, 0)),)), rolled[2:3], 64)[0]
    assert "cameras[2]: no point of the unit cube" in refused(images, rolled)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (IMAGES / 255, "images: values from 0"),
        (IMAGES - 99, "must be raw pixels from 0 to 255"),
        (
            np.where(IMAGES.min(-1, keepdims=True) > 254, 0, IMAGES),
            "images[0]: its border is black",
        ),
        (np.where(np.arange(4)[:, None, None, None] == 2, 255, IMAGES), "images[2]: shows nothing"),
    ],
)
def test_a_wrong_picture_is_named(images, says):
    assert says in refused(images=images)


def test_the_range_that_a_model_was_trained_for_is_held():
    narrow = {"focal": (1.0, 1.1), "distance": (1.5, 2.0), "scale": (0.5, 0.7)}
    said = refused(camera_ranges=narrow)
    assert said.startswith("cameras[0]: has a ") and "as the model was trained for" in said
    near = pinhole.orbit(10, 10, 1.7, 64, 64)
    views.check_views(raycast.render(BODY, near[None], 64)[0], near[None], narrow)


def test_facing_points_are_the_same_for_a_longer_lens_and_a_turned_camera():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 9, 3)).astype("f4")

    def facing(camera):
        camera = camera[None, None].astype("f4")
        seen = geometry.camera_points(camera, points)
        return np.array(geometry.facing_coordinates(camera, seen))[0, 0]

    near, far = (pinhole.orbit(40, 20, d, 40 * d, 64, roll=12) for d in (1.3, 6.0))
    np.testing.assert_allclose(facing(near), facing(far), atol=1e-5)
    np.testing.assert_allclose(facing(near), points[0] @ near[:, 3:6].T, atol=1e-5)
    aside = near.copy()  # rotated in place about the image's y axis
    c, s = np.cos(0.4), np.sin(0.4)
    aside[:, 3:] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ aside[:, 3:]
    np.testing.assert_allclose(facing(aside), facing(near), atol=1e-5)
    assert np.isfinite(facing(np.zeros((3, 7)))).all()  # an absent view


def test_a_scene_is_framed_and_comes_back():
    frame = Frame(np.array([12.0, -3.0, 40.0]), 25.0)
    around = [pinhole.orbit(72 * i, 10 + 12 * i, 2.2, 150, 128) for i in range(5)]
    cameras = np.stack(around)
    masks = (raycast.render(BODY, cameras, 128)[0] < 255).any(-1)
    world = pinhole.in_frame(cameras, -frame.centre / frame.scale, 1 / frame.scale)
    framed = frame_scene(world, list(masks))
    assert np.abs(framed.centre - frame.centre).max() < 0.1 * frame.scale
    assert framed.scale == pytest.approx(frame.scale, rel=0.08)
    np.testing.assert_allclose(frame.cameras(world), cameras, atol=1e-9)
    ball = frame.mesh(trimesh.creation.icosphere(radius=0.5))
    np.testing.assert_allclose(ball.bounds.mean(0), frame.centre)
    for cameras, masks_, says in (
        (world[:1], masks[:1], "must be at least 2"),
        (world, [*masks[:-1], masks[0] & False], r"masks\[4\]"),
        (world[:4], masks, r"must be \[5, 3, 7\]"),
        (np.stack([world[0]] * 5), [masks[0]] * 5, "along one line|from several sides"),
        (inverse(world), masks, "fit if they were camera to world"),
    ):
        with pytest.raises(InputError, match=says):
            frame_scene(cameras, list(masks_))


@pytest.mark.parametrize("layout", ["transforms.json", "cameras.bin", "cameras.txt"])
def test_a_capture_of_other_programs(layout, tmp_path):
    """COLMAP's library wrote the model, trimesh rendered the views: see colmap/make.py."""
    shutil.copytree(COLMAP / "images", tmp_path / "images")
    if layout == "transforms.json":
        shutil.copy(COLMAP / layout, tmp_path)
    else:
        (tmp_path / "sparse").mkdir()
        for kind in ("cameras", "images"):
            shutil.copy(COLMAP / "sparse" / f"{kind}{layout[-4:]}", tmp_path / "sparse")
    capture = captures.read_capture(tmp_path)
    assert capture.names == tuple(f"{i}.png" for i in range(6)) and not capture.in_cube
    corners = np.array(np.meshgrid(*TABLE.T)).reshape(3, -1).T
    pixels, _ = pinhole.projected(capture.cameras, corners)
    for at, mask, image in zip(pixels, capture.masks, capture.images, strict=True):
        y, x = np.nonzero(mask)
        assert image.shape == (160, 224, 3) and (image[~mask] == 255).all()
        # the box's corners reach as far as the silhouette, the tabletop's four exactly
        assert at[:, 0].min() < x.min() + 1.5 and at[:, 0].max() > x.max() - 0.5
        top = at[corners[:, 1] > -10]
        assert abs(top[:, 1].min() - y.min()) < 1.5
    frame = frame_scene(capture.cameras, capture.masks)
    assert np.abs(frame.centre - TABLE.mean(0)).max() < 6
    assert frame.scale == pytest.approx(84, rel=0.1)


def write(folder, images, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}{suffix}")


def ring(size=(96, 72), count=4):
    """Views [V, H, W, 3] of the body, cropped so that the principal point is off-centre."""
    square = np.stack([pinhole.orbit(90 * i + 5, 25, 2.5, 170, 128) for i in range(count)])
    images, _ = raycast.render(BODY, square, 128)
    cameras = square.copy()
    left, top = 10, 30
    cameras[:, 0, 2] -= left
    cameras[:, 1, 2] -= top
    return images[:, top : top + size[1], left : left + size[0]], cameras


def test_cameras_of_opencv_masks_and_distortion(tmp_path):
    images, cameras = ring()
    masks = (images < 255).any(-1)
    cluttered = np.where(masks[..., None], images, 90).astype(np.uint8)
    write(tmp_path / "images", cluttered)
    k, r, t = cameras[:, :, :3], cameras[:, :, 3:6], cameras[:, :, 6]
    np.savez(tmp_path / "cameras.npz", k=k, r=r, t=t)
    with pytest.raises(InputError, match=r"0.png': its background is unknown; .* masks/0"):
        captures.read_capture(tmp_path)
    write(tmp_path / "masks", masks.astype(np.uint8))
    capture = captures.read_capture(tmp_path)
    np.testing.assert_allclose(capture.cameras, cameras)
    np.testing.assert_array_equal(capture.images[1], images[1])
    np.savez(tmp_path / "cameras.npz", k=k[:3], r=r[:3], t=t[:3])
    with pytest.raises(InputError, match="has 3 cameras for 4 images"):
        captures.read_capture(tmp_path)
    cv2 = pytest.importorskip("cv2")
    lens = np.array([-0.2, 0.05, 0.002, -0.001])
    np.savez(tmp_path / "cameras.npz", k=k, r=r, t=t, dist=np.stack([lens] * 4))
    bent = captures.read_capture(tmp_path)
    at = np.array([[0.1, 0.05, 0.1], [-0.2, 0.1, 0.0]])
    straight, _ = pinhole.projected(cameras[:1], at)
    kk = k[0] - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    turn = cv2.Rodrigues(r[0])[0]
    seen = cv2.projectPoints(at, turn, t[0], kk, lens)[0][:, 0] + 0.5  # as in the file
    for a, b in zip(np.floor(straight[0]).astype(int), np.floor(seen).astype(int), strict=True):
        assert np.abs(bent.images[0][a[1], a[0]].astype(int) - images[0][b[1], b[0]]).max() < 25


def test_renderings_of_r2n2_and_what_is_refused(tmp_path):
    rows = [(30, 25, 0.9), (150, 27, 0.8)]
    cameras = np.stack([pinhole.from_r2n2(*row) for row in rows])
    write(tmp_path / "rendering", raycast.render(BODY, cameras, 137)[0])
    lines = "".join(f"{a} {e} 0 {d} 25\n" for a, e, d in rows)
    (tmp_path / "rendering" / "rendering_metadata.txt").write_text(lines)
    capture = captures.read_capture(tmp_path)
    assert capture.in_cube
    np.testing.assert_allclose(capture.cameras, cameras)
    content = {"camera_angle_x": 0.9, "frames": [{"file_path": "./rendering/1"}]}
    file = tmp_path / "transforms.json"
    for text, says in (
        (json.dumps(content), "has no 'transform_matrix'"),
        (json.dumps(content | {"frames": [{"file_path": "x"}]}), "image 'x': no such file"),
        ("[]", "must be an object with a list `frames`"),
        ("{", "cannot be read"),
        (json.dumps({"frames": []}), "names no images"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=says):
            captures.read_capture(tmp_path)
    with pytest.raises(InputError, match="has none of transforms.json"):
        captures.read_capture(TESTS)


def test_what_is_cut_out_is_seen_as_before():
    images, cameras = ring()
    cut, camera = scene.cut_out(images[0], cameras[0], 64, 0.6)
    assert cut.shape == (64, 64, 3) and camera[0, 0] == pytest.approx(0.6 * 2.5 * 64)
    middle, _ = pinhole.projected(camera[None], np.zeros((1, 3)))
    np.testing.assert_allclose(middle[0, 0], [32, 32], atol=1e-9)
    there, _ = raycast.render(BODY, camera[None], 64)
    both = (cut < 200).any(-1), (there[0] < 255).any(-1)
    assert (both[0] != both[1]).mean() < 0.02
    assert np.abs(cut - there[0])[both[0] & both[1]].mean() < 6


@pytest.mark.slow
def test_a_colmap_capture_becomes_a_mesh_in_its_own_units(tmp_path, capsys):
    from tfzoo_cli.main import main

    target = tmp_path / "mesh.glb"
    assert main(["predict", "recon3d/solids", str(COLMAP), "--output", str(target)]) == 0
    mesh = trimesh.load(target, force="mesh")
    assert mesh.is_watertight
    assert np.abs(mesh.bounds - TABLE).max() < 12  # of 84
    rng = np.random.default_rng(0)
    points = rng.uniform(TABLE[0] - 5, TABLE[1] + 5, (20_000, 3))
    boxes = [((42, 2.5, 28), (0, 26, 0))]
    boxes += [((3, 13, 3), (38 * i, 11, 24 * k)) for i in (-1, 1) for k in (-1, 1)]
    middle = np.array([120.0, -35, 310])
    truth = np.any([(np.abs(points - middle - at) < half).all(-1) for half, at in boxes], 0)
    from tfzoo.data.shapes.mesh_solids import winding_numbers

    inside = winding_numbers(np.asarray(mesh.triangles), points) != 0
    assert (inside & truth).sum() / (inside | truth).sum() > 0.3


def test_solids_stay_as_they_were():
    """`CameraRanges.draw` uses random numbers as the first data sets did."""
    rng = np.random.RandomState(5)
    a, e, d = rng.uniform(0, 360), rng.uniform(5, 45), rng.uniform(1.6, 1.9)
    camera = pinhole.R2N2_LIKE.draw(1, 64, np.random.RandomState(5))[0]
    np.testing.assert_array_equal(camera, pinhole.orbit(a, e, d, 70, 64))
    assert make_solid("table", rng)(np.zeros((1, 3), "f4")).shape == (1,)

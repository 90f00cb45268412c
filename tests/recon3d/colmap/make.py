"""Generates the capture in this folder with programs other than tfzoo.

    pip install pycolmap==4.2.1 trimesh==5.2.0 pillow
    python tests/recon3d/colmap/make.py

A table of five boxes, 84 long, is placed somewhere in a world in centimetres. trimesh's scene
camera gives the viewpoints and the pixels' rays; COLMAP's own library writes the model, as text and
in binary.
"""

import json
from pathlib import Path

import numpy as np
import pycolmap
import trimesh
from PIL import Image

FOLDER = Path(__file__).parent
CENTRE = np.array([120.0, -35.0, 310.0])
BOXES = [((42, 2.5, 28), (0, 26, 0))]
BOXES += [((3, 13, 3), (38 * i, 11, 24 * k)) for i in (-1, 1) for k in (-1, 1)]
"""Half sides, and centres relative to CENTRE; y is up."""


def shade(starts, ways):
    """Colours [N, 4] of rays, from the nearest face of a box that they hit."""
    nearest, colour = np.full(len(ways), np.inf), np.zeros((len(ways), 4), np.uint8)
    light = np.array([0.4, 0.8, 0.45])
    for half, middle in BOXES:
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = [(np.multiply(s, half) + CENTRE + middle - starts) / ways for s in (-1, 1)]
        near, far = np.minimum(*ends), np.maximum(*ends)
        enter, leave = near.max(-1), far.min(-1)
        hit = (enter <= leave) & (enter > 0) & (enter < nearest)
        normal = -np.sign(ways) * (near == enter[:, None])
        bright = 0.35 + 0.65 * np.maximum(normal @ light, 0)
        nearest[hit] = enter[hit]
        colour[hit, :3] = (bright[hit, None] * [200, 150, 110]).astype(np.uint8)
        colour[hit, 3] = 255
    return colour


def main():
    boxes = [
        trimesh.creation.box(np.multiply(2, half), trimesh.transformations.translation_matrix(at))
        for half, at in BOXES
    ]
    scene = trimesh.Scene(trimesh.util.concatenate(boxes).apply_translation(CENTRE))
    model = pycolmap.Reconstruction()
    frames = []
    for i in range(6):
        width, height = 240, 180
        angles = (np.deg2rad(-15 - 8 * (i % 3)), np.deg2rad(60 * i + 10), np.deg2rad(4 * i - 9))
        scene.set_camera(angles, 210.0, CENTRE + [8, 4, -6], (width, height), (45, 34.5))
        camera, pose = scene.camera, np.array(scene.camera_transform)  # to world, OpenGL's axes
        starts, ways, pixels = scene.camera_rays()
        image = np.zeros((height, width, 4), np.uint8)
        # trimesh counts pixel rows from the bottom
        image[height - 1 - pixels[:, 1], pixels[:, 0]] = shade(starts, ways)
        k = np.array(camera.K)
        left, top, wide, high = 8 * (i % 2), 12, 224, 160  # cropped: the principal point moves
        name = f"{i}.png"
        Image.fromarray(image[top : top + high, left : left + wide]).save(FOLDER / "images" / name)
        numbers = [k[0, 0], k[1, 1], k[0, 2] - left, k[1, 2] - top]
        lens = pycolmap.Camera(
            model="PINHOLE", width=wide, height=high, params=numbers, camera_id=i + 1
        )
        model.add_camera_with_trivial_rig(lens)
        seen = np.linalg.inv(pose @ np.diag([1, -1, -1, 1]))  # from world, COLMAP's axes
        taken = pycolmap.Image(name=name, camera_id=i + 1, image_id=i + 1)
        model.add_image_with_trivial_frame(taken, pycolmap.Rigid3d(seen[:3]))
        frames.append(
            {
                "file_path": f"images/{name}",
                "transform_matrix": pose.tolist(),
                **dict(zip(("fl_x", "fl_y", "cx", "cy"), numbers, strict=True)),
            }
        )
    (FOLDER / "sparse").mkdir(exist_ok=True)
    model.write_binary(str(FOLDER / "sparse"))
    model.write_text(str(FOLDER / "sparse"))
    (FOLDER / "transforms.json").write_text(json.dumps({"frames": frames}, indent=1) + "\n")


if __name__ == "__main__":
    (FOLDER / "images").mkdir(exist_ok=True)
    main()

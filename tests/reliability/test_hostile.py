"""Files that are truncated or inconsistent: one line that names them, in Python and in the
shell."""

import io
import lzma

import h5py
import numpy as np
import pytest
from PIL import Image

from tfzoo import data
from tfzoo.data import DataConfig
from tfzoo.data.images.image_sets import image_sets
from tfzoo.data.shapes.catalogue import posed_shapes
from tfzoo.data.shapes.posed import ShapesConfig
from tfzoo.data.videos import VideoDataConfig, video_files
from tfzoo.errors import InputError
from tfzoo_cli.main import main

_FILE = io.BytesIO()
Image.fromarray(np.arange(192, dtype="uint8").reshape(8, 8, 3)).save(_FILE, "png")
PNG = _FILE.getvalue()
X, Y = np.zeros((20, 8, 8, 1), "uint8"), np.arange(20) % 2
STEPS = {
    "observations": np.zeros((64, 2)),
    "actions": np.zeros((64, 1)),
    "rewards": np.zeros(64),
    "terminals": np.arange(64) == 63,
}
TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 3 4\nf 1 4 2\nf 2 4 3\n"


def files(root, name, content, good, folders=("a", "b"), count=4):
    """A folder of good files, at least one per class, and the broken one."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for i in range(count):
            (root / folder / f"{i}{good[0]}").write_bytes(good[1])
    (root / folders[0] / name).write_bytes(content)
    return root


def images(root, name, content):
    return files(root, name, content, (".png", PNG))


def npz(root, name, **arrays):
    np.savez(root / name, **arrays)
    return root / name


def hdf5(root, name, declared):
    with h5py.File(root / name, "w") as file:
        for key, x in STEPS.items():
            shape = (declared.get(key, 64), *x.shape[1:])
            file.create_dataset(key, shape, x.dtype, **({"chunks": True} if declared else {}))
    return root / name


def text(root, name, content):
    (root / name).write_bytes(content)
    return root / name


def video(root, name, share):
    path = root / "good.avi"
    path.parent.mkdir(exist_ok=True)
    video_files.write_video(path, np.arange(60 * 32 * 32 * 3, dtype="uint8").reshape(60, 32, 32, 3))
    whole = path.read_bytes()
    path.unlink()
    return files(root / "v", name, whole[: int(share * len(whole))], (".avi", whole))


def mesh(root, name, content):
    return files(root, name, content, (".obj", TETRAHEDRON.encode()))


def truncated_npz(root, name):
    held = io.BytesIO()
    np.savez_compressed(held, x=np.random.default_rng(0).integers(0, 9, (99, 8, 8, 1)), y=Y)
    return text(root, name, held.getvalue()[: len(held.getvalue()) // 2])


FOLDER, ARRAYS = ("tfzoo_image_folder", "aft/digits"), ("tfzoo_arrays", "aft/digits")
TRANSITIONS, MESHES = ("tfzoo_transitions", "uwac/transitions"), ("tfzoo_meshes", "recon3d/meshes")
HOSTILE = {
    "cut.png": (*FOLDER, lambda root, name: images(root / "i", name, PNG[:-20])),
    "empty.jpg": (*FOLDER, lambda root, name: images(root / "i", name, b"")),
    "text.bmp": (*FOLDER, lambda root, name: images(root / "i", name, b"no image")),
    "set.png": ("sets", "sdn/faces", lambda root, name: images(root / "i", name, PNG[:-20])),
    "cut.npz": (*ARRAYS, truncated_npz),
    "pickle.npz": (*ARRAYS, lambda root, name: npz(root, name, x=X.astype(object), y=Y)),
    "nan.npz": (*ARRAYS, lambda root, name: npz(root, name, x=X * np.float32(np.nan), y=Y)),
    "long.h5": (*TRANSITIONS, lambda root, name: hdf5(root, name, {"rewards": 200_000_000})),
    "hollow.h5": (*TRANSITIONS, lambda root, name: hdf5(root, name, dict.fromkeys(STEPS, 10**9))),
    "text.h5": (*TRANSITIONS, lambda root, name: text(root, name, b"no such format")),
    "ragged.csv": (
        "tfzoo_table",
        "metricopt/breast_cancer_recall",
        lambda root, name: text(root, name, b"1,2,a\n" * 5 + b"1,a\n" + b"1,2,b\n" * 5),
    ),
    "latin.csv": (
        "tfzoo_table",
        "metricopt/breast_cancer_recall",
        lambda root, name: text(root, name, b"\xff\xfe,a\n"),
    ),
    "cut.xz": (
        "enwik8",
        "aft/enwik8",
        lambda root, name: text(
            root, name, lzma.compress(np.random.default_rng(0).bytes(9999))[:-999]
        ),
    ),
    "half.avi": (
        "tfzoo_video_folder",
        "skipclip/motions",
        lambda root, name: video(root, name, 0.5),
    ),
    "clips.npz": ("tfzoo_video_arrays", "skipclip/motions", truncated_npz),
    "steps.npz": (*TRANSITIONS, truncated_npz),
    "solids.npz": (*MESHES, truncated_npz),
    "beyond.obj": (
        *MESHES,
        lambda root, name: mesh(root / "m", name, TETRAHEDRON.encode() + b"f 1 2 9\n"),
    ),
}
"""Name of the broken file: name of the data, a recipe that reads it, and its generator."""

UNREAD = ("cut.xz", "beyond.obj")
"""Files that a dry run does not open: it needs no text, and only counts a folder's meshes."""


def read(name, path, data_dir):
    if name == "sets":
        return image_sets(DataConfig("tfzoo_image_folder", data_dir, path), 8, 1)
    if name == "tfzoo_meshes":
        return posed_shapes(ShapesConfig(name, data_dir, path, unseen=["b"]), 64)
    config = VideoDataConfig if name.startswith("tfzoo_video") else DataConfig
    return data.builder(config(name, data_dir, path))


@pytest.mark.parametrize("file", HOSTILE)
def test_a_hostile_file_is_one_line_that_names_it(file, tmp_path, capfd):
    name, recipe, make = HOSTILE[file]
    path = str(make(tmp_path, file))
    with pytest.raises(InputError) as caught:
        read(name, path, str(tmp_path / "tfds"))
    assert file in str(caught.value) and "\n" not in str(caught.value)
    capfd.readouterr()
    name = "tfzoo_image_folder" if name == "sets" else name
    words = [recipe, f"data.name={name}", f"data.path={path}", f"data.data_dir={tmp_path / 'tfds'}"]
    words += ["data.unseen=[b]", "batch_size=1"] if recipe == MESHES[1] else []
    for option in ([], ["--dry-run"]):
        status = main(["train", *words, "--run-dir", str(tmp_path / "run"), *option])
        told = capfd.readouterr().err
        if status == 0 and option and file in UNREAD:
            continue
        said = [line for line in told.splitlines() if line.startswith("tfzoo: ")]
        assert status == 2 and len(said) == 1 and file in said[0] and "Traceback" not in told

"""Recipes of tasks that no other test distributes, on one device and on two; prints differences.

Fills the given folder; the command line with several processes is tested elsewhere.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from tfzoo import runner

TWO = ["epochs=1", "steps_per_epoch=2", "batch_size=4"]
AFT = [*TWO, "model.dim=16", "model.depth=1", "model.dropout=0.0"]
RESNEXT = ["model.depth=11", "model.cardinality=2", "model.base_width=4", "model.image_size=8"]
RUNS = {
    "aft.language_model": ["aft/pydoc", *AFT, "model.max_length=16"],
    "aft.image_model": ["aft/digits_pixels", *AFT],
    "collegial.resnext": ["collegial/cifar10", "FOLDER", *TWO, *RESNEXT],
    "sdn.voxels": ["sdn/shapes_voxels", *TWO, "width=8"],
    "sdn.verifier": ["sdn/faces_verifier", "FOLDER", *TWO, "image_size=8", "channels=1", "width=4"],
}


def images(root):
    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images[:240], digits.target, strict=False)):
        path = root / str(label) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(image[..., None].astype("uint8") * 15).numpy())
    return ["data.name=tfzoo_image_folder", f"data.path={root}"]


def weights(words, folder):
    resolved = runner.resolve(words[0], words[1:])
    runner.run_recipe(resolved, folder, export=False, report=lambda line: None)
    model = keras.models.load_model(folder / "model.keras", compile=False)
    return np.concatenate([np.ravel(w) for w in model.get_weights()])


def main(root):
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    folder, gaps = images(root / "images"), {}
    for task, words in RUNS.items():
        given = [w for word in words for w in (folder if word == "FOLDER" else [word])]
        one, two = (
            weights([*given, f"distribute={how}"], root / f"{task}-{how}")
            for how in ("none", "mirrored")
        )
        gaps[task] = float(np.linalg.norm(one - two) / np.linalg.norm(one))
    print(json.dumps(gaps))


main(Path(sys.argv[1]))

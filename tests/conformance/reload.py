"""Loads every `.keras` file of a folder with nothing but `import tfzoo`, and records outputs."""

import sys
from pathlib import Path

import keras
import numpy as np

import tfzoo  # noqa: F401

for path in sorted(Path(sys.argv[1]).glob("*.keras")):
    model = keras.models.load_model(path)
    data = np.load(path.with_suffix(".npz"))
    inputs = [data[name] for name in data.files if name.startswith("in")]
    outputs = model(inputs) if data["functional"] and len(inputs) > 1 else model(*inputs)
    arrays = [keras.ops.convert_to_numpy(o) for o in keras.tree.flatten(outputs)]
    np.savez(path.with_suffix(".found.npz"), *arrays)

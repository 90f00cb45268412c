"""Loads every `.keras` file of a folder with only `import tfzoo`, and records outputs.

The backend is KERAS_BACKEND's; an error is recorded in place of outputs.
"""

import sys
from pathlib import Path

import keras
import numpy as np

import tfzoo  # noqa: F401

folder, suffix = Path(sys.argv[1]), sys.argv[2]
for path in sorted(folder.glob("*.keras")):
    data = np.load(path.with_suffix(".npz"))
    inputs = [data[name] for name in data.files if name.startswith("in")]
    try:
        model = keras.models.load_model(path)
        outputs = model(inputs) if data["functional"] and len(inputs) > 1 else model(*inputs)
        outcome = [keras.ops.convert_to_numpy(o) for o in keras.tree.flatten(outputs)]
        fresh = [w.value for w in type(model).from_config(model.get_config()).variables]
        assert len(set(map(id, fresh))) == len(fresh), "JAX's fit gives each array away, once"
    except Exception as error:
        outcome = [np.array(f"{type(error).__name__}: {error}")]
    np.savez(path.with_suffix(suffix), *outcome)

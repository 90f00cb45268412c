"""Writes golden files for registered layers and models that have none yet.

    PYTHONPATH=tests python tests/golden/make.py

Existing files are never overwritten: they represent what users have saved.
"""

from pathlib import Path

import numpy as np

from samples import LAYERS, as_model, call

FOLDER = Path(__file__).parent


def stem(name):
    return name.replace(">", ".")


if __name__ == "__main__":
    for name in LAYERS:
        path = FOLDER / f"{stem(name)}.keras"
        if not path.exists():
            model = as_model(name)
            np.savez(path.with_suffix(".npz"), *call(model, name))
            model.save(path)
            print(path.name)

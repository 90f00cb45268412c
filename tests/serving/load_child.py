"""Loads a SavedModel where neither tfzoo nor Keras is installed, and runs its signatures.

    load_child.py SAVED_MODEL INPUTS.npz OUTPUTS.npz

Arrays are named `signature/name`; signatures with inputs are run.
"""

import sys
from importlib.machinery import PathFinder

BLOCKED = {"tfzoo", "keras", "tf_keras"}


class Finder:
    """Finds installed packages except the blocked ones; an editable install's finder is dropped."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] in BLOCKED else PathFinder.find_spec(name, path, target)


sys.meta_path[:] = [
    Finder if finder is PathFinder else finder
    for finder in sys.meta_path
    if not getattr(finder, "__module__", "").startswith("__editable__")
]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

for name in BLOCKED:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} was not blocked")
loaded = tf.saved_model.load(sys.argv[1])
given = {}
for key, value in np.load(sys.argv[2]).items():
    signature, name = key.split("/")
    given.setdefault(signature, {})[name] = tf.constant(value)
np.savez(
    sys.argv[3],
    **{
        f"{signature}/{name}": value.numpy()
        for signature, inputs in given.items()
        for name, value in loaded.signatures[signature](**inputs).items()
    },
)
assert not BLOCKED & set(sys.modules)

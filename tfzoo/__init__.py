"""tfzoo: ten published methods in TensorFlow and Keras 3.

Importing it registers every public layer, model, loss and metric with Keras, so that
`keras.models.load_model` reads their files. Each package here that has a `recipe` is a method.
"""

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from tfzoo import _moved, layers, metrics, optim, registry
from tfzoo.zoo import list_models, list_recipes, load, metadata

if TYPE_CHECKING:  # for type checkers and editors; a new method needs no line here
    from tfzoo import (  # noqa: F401
        aft,
        afv,
        ala,
        bottleneck,
        collegial,
        metricopt,
        recon3d,
        sdn,
        skipclip,
        uwac,
    )

__version__ = "0.2.0.dev0"

_METHODS = [
    module.name
    for module in pkgutil.iter_modules(__path__)
    if Path(__file__).with_name(module.name).joinpath("recipe.py").is_file()
]
for _name in _METHODS:
    importlib.import_module(f"tfzoo.{_name}")

__all__ = [
    *_METHODS,
    "layers",
    "list_models",
    "list_recipes",
    "load",
    "metadata",
    "metrics",
    "optim",
]

_moved.answer_to_old_names()
registry.experiment("bench", "serving", "tfzoo.experiments.bench_serving:main")
registry.experiment("bench", "import", "tfzoo.experiments.bench_import:main")

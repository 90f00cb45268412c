"""tfzoo: ten published methods in TensorFlow and Keras 3.

Importing it registers every public layer, model, loss and metric with Keras, so that
`keras.models.load_model` reads their files.
"""

from tfzoo import (
    aft,
    afv,
    ala,
    bottleneck,
    collegial,
    layers,
    metricopt,
    metrics,
    optim,
    recon3d,
    registry,
    sdn,
    skipclip,
    uwac,
)
from tfzoo.zoo import list_models, list_recipes, load

__version__ = "0.2.0.dev0"
__all__ = [
    "aft",
    "afv",
    "ala",
    "bottleneck",
    "collegial",
    "layers",
    "metricopt",
    "metrics",
    "optim",
    "recon3d",
    "sdn",
    "skipclip",
    "uwac",
    "list_models",
    "list_recipes",
    "load",
]

registry.experiment("bench", "serving", "tfzoo.experiments.bench_serving:main")
registry.experiment("bench", "import", "tfzoo.experiments.bench_import:main")

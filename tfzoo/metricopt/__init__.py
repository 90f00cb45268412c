"""MetricOpt (arXiv:2104.10631)."""

from tfzoo import registry
from tfzoo.metricopt import recipe as _recipe  # noqa: F401  registers the tasks
from tfzoo.metricopt import recipe as _retrieval_recipe  # noqa: F401
from tfzoo.metricopt.adapters import FiLM, LowRankFiLM
from tfzoo.metricopt.callback import MetricOpt
from tfzoo.metricopt.interpolation import interpolate
from tfzoo.metricopt.meta import meta_train
from tfzoo.metricopt.model import AdaptedModel, attach_adapters
from tfzoo.metricopt.optimizer import MetricOptimizer
from tfzoo.metricopt.searching import SearchSettings
from tfzoo.metricopt.value import Observations, RankedRegression, ValueFunction

registry.experiment("study", "metricopt", "tfzoo.metricopt.experiments.study:main")
registry.experiment("bench", "metricopt", "tfzoo.metricopt.experiments.bench:main")

__all__ = [
    "AdaptedModel",
    "FiLM",
    "LowRankFiLM",
    "MetricOpt",
    "MetricOptimizer",
    "Observations",
    "RankedRegression",
    "SearchSettings",
    "ValueFunction",
    "attach_adapters",
    "interpolate",
    "meta_train",
]

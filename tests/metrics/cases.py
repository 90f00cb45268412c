"""One example of each metric."""

from tfzoo import metrics
from tfzoo.metrics import named, scorers

_FUNCTIONS = (
    named.average_precision,
    named.balanced_error,
    named.f1,
    named.jaccard,
    named.misclassification_rate,
    named.recall_at_precision,
    metrics.mean_average_precision,
    metrics.recall_at_k,
    scorers.by_function,
    scorers.by_scorer,
)

CASES = {
    "BlackBoxMetric": {"make": lambda: metrics.get("recall_at_precision", precision=0.9)},
    **{function.__name__: {"make": lambda function=function: function} for function in _FUNCTIONS},
}

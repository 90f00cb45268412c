"""Black-box metrics: any function of labels and predictions, called outside the graph."""

from tfzoo.metrics.black_box import BlackBoxMetric, MetricError
from tfzoo.metrics.named import get, names
from tfzoo.metrics.retrieval import mean_average_precision, recall_at_k

__all__ = [
    "BlackBoxMetric",
    "MetricError",
    "get",
    "mean_average_precision",
    "names",
    "recall_at_k",
]

"""Average precision of detected boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfzoo.registry import serializable


@serializable("metrics")
def detection_average_precision(y_true: Any, y_pred: Any, iou: float = 0.5) -> float:
    """Mean average precision of boxes, as PASCAL VOC defines it from 2010 on.

    Detections of a class are taken by falling score; one is right if the box of its class that it
    overlaps most has an intersection over union of at least `iou` and no earlier detection has
    taken it. Average precision is the area under precision made non-increasing in recall, and the
    result its mean over the classes that have boxes.

    Args:
        y_true: rows [N, n, 5] (class, x1, y1, x2, y2) for each image, or a list of [n_i, 5];
            a negative class is padding.
        y_pred: rows [N, m, 6] (class, score, x1, y1, x2, y2), or a list; negative class as above.
        iou: from above 0 to 1.

    Raises:
        ValueError: shapes that do not fit, `iou` out of range, or no true box at all.
    """
    if not 0 < iou <= 1:
        raise ValueError(f"iou={iou}: must be above 0 and up to 1")
    truth = [_rows(boxes, 5, "y_true") for boxes in y_true]
    said = [_rows(boxes, 6, "y_pred") for boxes in y_pred]
    if len(truth) != len(said):
        raise ValueError(f"y_pred: {len(said)} images, must be {len(truth)} as in y_true")
    classes = np.unique(np.concatenate([t[:, 0] for t in truth])) if truth else ()
    if not len(classes):
        raise ValueError("y_true: holds no boxes")
    return float(np.mean([_of_class(truth, said, c, iou) for c in classes]))


def _rows(boxes: Any, width: int, name: str) -> np.ndarray:
    boxes = np.asarray(boxes, "float64")
    if boxes.size == 0:
        return np.zeros((0, width))
    if boxes.ndim != 2 or boxes.shape[1] != width:
        raise ValueError(f"{name}: an image's boxes are {list(boxes.shape)}, must be [n, {width}]")
    return boxes[boxes[:, 0] >= 0]


def _of_class(truth: list, said: list, kind: float, iou: float) -> float:
    """Average precision of one class."""
    right, scores, total = [], [], 0
    for boxes, detections in zip(truth, said, strict=True):
        boxes = boxes[boxes[:, 0] == kind, 1:]
        detections = detections[detections[:, 0] == kind, 1:]
        order = np.argsort(-detections[:, 0], kind="stable")
        taken = np.zeros(len(boxes), bool)
        total += len(boxes)
        for score, *box in detections[order]:
            overlaps = _overlaps(np.asarray(box), boxes)
            best = int(overlaps.argmax()) if len(boxes) else -1
            hit = best >= 0 and overlaps[best] >= iou and not taken[best]
            if hit:
                taken[best] = True
            right.append(hit)
            scores.append(score)
    hits = np.asarray(right, bool)[np.argsort(-np.asarray(scores), kind="stable")]
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * hits).sum() / total)


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with each of [n, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inside = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return inside / np.maximum(area - inside, 1e-12)

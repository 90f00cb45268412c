"""Skip-Clip's mathematics: scores of future clips, the ranking loss, rotation."""

from __future__ import annotations

from keras import ops

from tfzoo.typing import Tensor

EPSILON = 1e-6
ROTATIONS = 4
REDUCTIONS = ("sum", "mean_pairs")


def similarity(h: Tensor, z: Tensor) -> Tensor:
    """Gamma(h, z): the cosine similarity of context and future, averaged over cells and times.

    Args:
        h: feature maps of contexts, [..., T, H, W, D]; times are averaged first.
        z: feature maps of future clips, broadcastable to the same shape.

    Returns:
        float32 [...], from -1 to 1, or from 0 after a ReLU. A cell where either vector is shorter
        than 1e-6 counts as 0, without a gradient.
    """
    h, z = (ops.mean(ops.cast(x, "float32"), axis=-4) for x in (h, z))

    squares = [ops.sum(x * x, -1) for x in (h, z)]
    alive = ops.logical_and(*(s > EPSILON**2 for s in squares))
    # the root's slope at 0 is infinite, so dead cells are removed before it
    product = ops.where(alive, squares[0] * squares[1], 1.0)
    cosine = ops.where(alive, ops.sum(h * z, -1) / ops.sqrt(product), 0.0)
    return ops.mean(cosine, axis=(-2, -1))


def pair_margins(scores: Tensor, margin: float) -> Tensor:
    """margin - Gamma_i + Gamma_j for i < j (i is the nearer clip): [..., m] -> [..., pairs]."""
    scores = ops.cast(scores, "float32")
    count = scores.shape[-1]
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    near, far = (ops.convert_to_tensor([p[k] for p in pairs], "int32") for k in (0, 1))
    return margin - ops.take(scores, near, -1) + ops.take(scores, far, -1)


def ranking_loss(
    scores: Tensor, margin: float = 0.1, reduction: str = "sum", negatives: Tensor | None = None
) -> Tensor:
    """sum over i < j of max(0, margin - Gamma_i + Gamma_j).

    It is 0 if and only if every score exceeds the next by the margin. For equal scores it is margin
    m (m - 1) / 2: a training that stays there has learnt nothing.

    Args:
        scores: Gamma of the m future clips, nearest first, [..., m].
        margin: margin, the same for all pairs.
        reduction: `sum` over pairs, the paper's, or `mean_pairs`.
        negatives: scores of clips of other videos, [..., K], each ranked below all futures; their
            mean counts as one additional clip (ours).

    Returns:
        float32 [...].
    """
    hinges = ops.relu(pair_margins(scores, margin))
    if negatives is not None:
        others = ops.cast(negatives, "float32")[..., None, :]
        beyond = ops.relu(margin - ops.cast(scores, "float32")[..., :, None] + others)
        hinges = ops.concatenate([hinges, ops.mean(beyond, -1)], -1)
    return ops.sum(hinges, -1) if reduction == "sum" else ops.mean(hinges, -1)


def pair_accuracy(scores: Tensor) -> Tensor:
    """Fraction of neighbouring futures in the right order, [..., m] -> [...]; ties count half."""
    difference = ops.cast(scores[..., :-1] - scores[..., 1:], "float32")
    return ops.mean(0.5 * (ops.sign(difference) + 1), -1)


def check_margin(margin: float, futures: int, signed: bool) -> None:
    """Refuses a margin that no scores can satisfy.

    Args:
        margin: margin of neighbouring clips.
        futures: number m of ranked clips.
        signed: whether scores range from -1 to 1, not only from 0.

    Raises:
        ValueError: there are fewer than two clips, or (m - 1) margin is wider than the range.
    """
    if futures < 2:
        raise ValueError(f"futures={futures}: must be at least 2, to be ranked")
    widest = (2.0 if signed else 1.0) / (futures - 1)
    if not 0 < margin <= widest + 1e-9:
        raise ValueError(
            f"margin={margin}: must be above 0 and up to {widest:.4g}, the range of scores divided "
            f"by {futures - 1} gaps"
        )

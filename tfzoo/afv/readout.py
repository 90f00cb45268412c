"""Linear read-outs f(x) = <w, V(x)> of Fisher vectors, without holding features [B, P].

Since V is linear in the gradient, f is a directional derivative: with t = w / sigma,

    <w, V(x)> = d/dh D(x; theta + h t) - <t, mu>                    the JVP (forward mode)

and a ridge fit needs only the Gram matrix of the training images (the dual).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
import tensorflow as tf

from tfzoo.afv.fisher import FisherVectorizer
from tfzoo.afv.gradients import PerExampleGradients

ROUTES = ("jvp", "layers", "features")


def by_jvp(gradients: PerExampleGradients, images: tf.Tensor, tangents: tf.Tensor) -> tf.Tensor:
    """<g(x), t_c> in forward mode, one pass per direction: [B, S, S, C], [P, k] -> [B, k].

    Memory beyond the activations does not grow with P x B; time grows with k. The passes run one
    after another, so that their activations do not accumulate.
    """
    values = [v.value for v in gradients.variables]
    blocks = tf.split(tangents, gradients.sizes)
    rows: list[tf.Tensor] = []
    for c in range(tangents.shape[1]):
        directions = [
            tf.cast(tf.reshape(block[:, c], v.shape), v.dtype)
            for block, v in zip(blocks, values, strict=True)
        ]
        with (
            tf.control_dependencies(rows[-1:]),
            tf.autodiff.ForwardAccumulator(values, directions) as forward,
        ):
            total = gradients.value(tf.identity(images))
        rows.append(forward.jvp(total, unconnected_gradients=tf.UnconnectedGradients.ZERO))
    return tf.stack(rows, 1)


def by_layers(gradients: PerExampleGradients, images: tf.Tensor, tangents: tf.Tensor) -> tf.Tensor:
    """The same in reverse mode, one layer's gradients at a time: one pass for all directions.

    It holds [B, size of a layer] instead of [B, P].
    """
    blocks = tf.split(tangents, gradients.sizes)

    def fold(i: int, rows: tf.Tensor) -> tf.Tensor:
        return tf.matmul(rows, blocks[i])

    return gradients.folded(images, tangents.shape[1], fold)


def gram(
    vectorizer: FisherVectorizer, x: np.ndarray, y: np.ndarray | None = None, memory: int = 2**31
) -> np.ndarray:
    """K = V(x) V(y)^T [N, M] of `transform`'s features, float32, without holding all of them.

    Holds as many rows of `y` as fit `memory`, and streams `x` for each such block.

    Args:
        vectorizer: with fitted statistics.
        x: images [N, S, S, C].
        y: images [M, S, S, C]; None: `x`.
        memory: bytes for the held rows.
    """
    y = x if y is None else y
    rows = max(1, memory // (4 * vectorizer.features))
    products = np.empty((len(x), len(y)), np.float32)
    for start in range(0, len(y), rows):
        held = vectorizer.transform(y[start : start + rows])
        columns, at = slice(start, start + len(held)), 0
        if x is y and len(held) == len(x):
            return held @ held.T
        for chunk in vectorizer.gradients.chunks(x):
            v = vectorizer.transform(chunk)
            products[at : at + len(v), columns] = v @ held.T
            at += len(v)
    return products


class DualRidge:
    """Ridge regression by its dual: (K_c + penalty I) alpha = T - mean T, K_c the centred kernel.

    The same function as the primal's, including an unpenalised intercept.

    Args:
        kernel: kernel K of the training rows, [N, N].
        targets: T, [N, k].
    """

    def __init__(self, kernel: np.ndarray, targets: np.ndarray):
        kernel = kernel.astype(np.float64)
        self._columns = kernel.mean(0)
        self._all = self._columns.mean()
        self._centred = kernel - self._columns[None] - self._columns[:, None] + self._all
        self.scale = float(np.trace(self._centred)) / len(kernel)
        self._shift = targets.mean(0)
        self._targets = targets - self._shift

    def solve(self, penalty: float) -> np.ndarray:
        """alpha [N, k] for a penalty in units of the kernel's mean diagonal; columns sum to 0."""
        held = self._centred.copy()
        held[np.diag_indices_from(held)] += penalty * self.scale
        factor = scipy.linalg.cho_factor(held, lower=True, overwrite_a=True, check_finite=False)
        alpha = scipy.linalg.cho_solve(factor, self._targets, check_finite=False)
        return alpha - alpha.mean(0)  # removes rounding errors

    def predict(self, alpha: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Scores [M, k] of rows, from their kernel [M, N] with the training rows."""
        return kernel.astype(np.float64) @ alpha + self.intercept(alpha)

    def intercept(self, alpha: np.ndarray) -> np.ndarray:
        """The intercepts [k], added to K alpha, whose columns sum to 0."""
        return self._shift - self._columns @ alpha


PENALTIES = tuple(10.0**e for e in (-6, -5, -4, -3, -2, -1, 0, 1))


def choose_ridge(
    kernel: np.ndarray,
    labels: np.ndarray,
    held: np.ndarray,
    held_labels: np.ndarray,
    classes: int,
    penalties: Sequence[float] = PENALTIES,
) -> tuple[DualRidge, np.ndarray, float, float]:
    """One-vs-all ridge with the penalty chosen on validation.

    Args:
        kernel: kernel of the training rows, [N, N].
        labels: [N], class indices.
        held: kernel of validation with training rows, [M, N].
        held_labels: [M].
        classes: number of classes k.
        penalties: in units of the kernel's mean diagonal.

    Returns:
        The problem, alpha [N, k], the penalty chosen, its validation accuracy.
    """
    problem = DualRidge(kernel, 2.0 * np.eye(classes)[labels] - 1)
    best: tuple[np.ndarray, float, float] | None = None
    for penalty in sorted(penalties, reverse=True):  # among equals, the most regularised
        try:
            alpha = problem.solve(penalty)
        except np.linalg.LinAlgError:  # the penalty is too small for a kernel without full rank
            continue
        accuracy = float(np.mean(problem.predict(alpha, held).argmax(1) == held_labels))
        if best is None or accuracy > best[2]:
            best = (alpha, penalty, accuracy)
    if best is None:
        raise ValueError(f"penalties {tuple(penalties)}: no system is positive definite")
    return problem, *best

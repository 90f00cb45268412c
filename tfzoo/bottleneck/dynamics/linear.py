"""The solvable case of linear f and g: two matrices, two rates, and a conserved quantity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class LinearPath:
    """Gradient descent on F = A B x / sqrt(d), [der] of the method for linear halves.

    f and g infinitely wide and linear have Theta_f = c_f z.z'/d and Theta_g = c_g x.x' (x scaled by
    1/sqrt(d_0)), c the number of weight layers of that half. So A changes at rate c_f, B at rate
    c_g, and W = A B / sqrt(d) by

        dW/dt = -[c_g (A A^T / d) grad L + c_f grad L (B^T B / d)]

    a preconditioner that grows along learnt directions. Without a bottleneck dW/dt = -(c_f + c_g)
    grad L: plain gradient descent. Gradient flow conserves A^T A / c_f - B B^T / c_g.

    Attributes:
        a: [k, d].
        b: [d, d_0].
        rates: (c_f, c_g).
        losses: before each step and after the last, of 1/(2N) sum |F - y|^2.
    """

    a: np.ndarray
    b: np.ndarray
    rates: tuple[float, float]
    losses: np.ndarray

    @property
    def conserved(self) -> np.ndarray:
        """A^T A / c_f - B B^T / c_g, [d, d]."""
        return conserved(self.a, self.b, self.rates)


def conserved(a: np.ndarray, b: np.ndarray, rates: tuple[float, float]) -> np.ndarray:
    """A^T A / c_f - B B^T / c_g, [d, d]."""
    return a.T @ a / rates[0] - b @ b.T / rates[1]


def two_rate_descent(
    a: np.ndarray,
    b: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    rates: tuple[float, float],
    learning_rate: float,
    steps: int,
    centred: bool = True,
) -> LinearPath:
    """Explicit Euler on A and B.

    Args:
        a: A_0 [k, d].
        b: B_0 [d, d_0].
        x: [N, d_0], scaled by 1/sqrt(d_0).
        y: [N, k].
        rates: (c_f, c_g), the numbers of weight layers of f and g.
        learning_rate: learning rate eta.
        steps: steps of gradient descent.
        centred: outputs are F - F_0.
    """
    root, count = np.sqrt(len(b)), len(x)
    offset = x @ b.T @ a.T / root if centred else 0.0
    losses = []
    for _ in range(steps + 1):
        z = x @ b.T
        gap = z @ a.T / root - offset - y
        losses.append(float(np.sum(gap**2)) / (2 * count))
        if len(losses) > steps:
            break
        chi = gap / count
        to_a, to_b = chi.T @ z / root, a.T @ chi.T @ x / root
        a, b = a - learning_rate * rates[0] * to_a, b - learning_rate * rates[1] * to_b
    return LinearPath(a, b, rates, np.array(losses))


def plain_descent(
    x: np.ndarray, y: np.ndarray, *, rate: float, learning_rate: float, steps: int
) -> np.ndarray:
    """Losses [steps + 1] of a linear network without bottleneck: W changes at rate c_f + c_g."""
    w, losses = np.zeros((y.shape[1], x.shape[1])), []
    for _ in range(steps + 1):
        gap = x @ w.T - y
        losses.append(float(np.sum(gap**2)) / (2 * len(x)))
        w = w - learning_rate * rate * gap.T @ x / len(x)
    return np.array(losses)

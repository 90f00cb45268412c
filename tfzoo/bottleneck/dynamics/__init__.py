"""Training in function space.

S1 `FiniteNetwork`, S2 `Hybrid` (used by the models), S3 `FunctionSpace`; without a bottleneck
`KernelDescent` and `closed_form`; for linear halves `two_rate_descent`. `descend` runs any of them.
"""

from tfzoo.bottleneck.dynamics.descent import Descent, descend
from tfzoo.bottleneck.dynamics.finite import FiniteNetwork
from tfzoo.bottleneck.dynamics.function_space import FunctionSpace
from tfzoo.bottleneck.dynamics.head import Change, Head
from tfzoo.bottleneck.dynamics.hybrid import Hybrid, State, cholesky, draw_points
from tfzoo.bottleneck.dynamics.layers import draw_layers, forward
from tfzoo.bottleneck.dynamics.linear import (
    LinearPath,
    conserved,
    plain_descent,
    two_rate_descent,
)
from tfzoo.bottleneck.dynamics.losses import CROSS_ENTROPY, SQUARED, Loss
from tfzoo.bottleneck.dynamics.regression import KernelDescent, closed_form
from tfzoo.bottleneck.dynamics.sharpness import (
    greatest_eigenvalue,
    largest,
    random_probe,
    watch,
)

__all__ = [
    "CROSS_ENTROPY",
    "SQUARED",
    "Change",
    "Descent",
    "FiniteNetwork",
    "FunctionSpace",
    "Head",
    "Hybrid",
    "KernelDescent",
    "LinearPath",
    "Loss",
    "State",
    "cholesky",
    "closed_form",
    "conserved",
    "descend",
    "draw_layers",
    "draw_points",
    "forward",
    "greatest_eigenvalue",
    "largest",
    "plain_descent",
    "random_probe",
    "two_rate_descent",
    "watch",
]

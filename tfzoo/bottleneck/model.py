"""A network with a bottleneck between two infinitely wide halves, as a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Gt, Lt
from keras import ops

from tfzoo.bottleneck.blockwise import kernel_matrix
from tfzoo.bottleneck.dynamics import (
    Change,
    Head,
    Hybrid,
    State,
    forward,
    largest,
    watch,
)
from tfzoo.bottleneck.full_batch import WholeSetModel
from tfzoo.bottleneck.kernels import InfiniteMLP
from tfzoo.bottleneck.training_set import one_hot, step_loss
from tfzoo.config import Count
from tfzoo.registry import serializable
from tfzoo.typing import Tensor

LOOK_EVERY = 2
"""Steps between checks of the sharpness."""
Stable = Annotated[float, Gt(0), Lt(2)]
"""Learning rate of gradient descent on a quadratic, in units of its inverse curvature."""


@serializable("bottleneck")
class BottleneckNetwork(WholeSetModel):
    """F = f(g(x)), with g and f infinitely wide and d units between them (arXiv:2107.00364).

    `fit` simulates gradient descent in function space (S2, see `dynamics.Hybrid`): the bottleneck's
    values z change by the NTK of g, and f is linearised in its parameters. For points outside the
    training set

        z_t(x) = g_0(x) + sum_j Theta_g(x, x_j) C_j        C: [N, d], summed up in training

    where g_0 is one function, drawn as a finite network with `width` units per layer and g's
    architecture: its covariance is K_g up to width^(-1/2) (our derivation; the dynamics are exact).

    Args:
        bottleneck_dim: number of units d in the bottleneck.
        depth: number of hidden layers of g.
        activation: activation of g: `relu`, `erf` or `linear`.
        head_activation: activation of f's hidden layer.
        draws: number of independent draws of (g_0, f_0), each trained; the output is their mean.
        width: units per layer that realise g_0 and f_0; 2,048 or more for a small error.
        weight_scale: weight scale of g's and f's hidden layers; see `InfiniteMLP`.
        bias_scale: bias scale of all layers.
        centred: the output is F - F_0, which is 0 before training; J_0 = df_0/dz is unchanged.
        freeze_features: keeps z fixed, as an ablation.
        rate: c in learning rate = c N / (curvature x lambda_max(Theta_F)), computed at the start
            unless an optimizer is compiled.
        limit: the sharpness (learning rate x curvature x lambda_max(Theta_F) / N; 2 is unstable)
            above which the learning rate is reduced, checked every other step; None: never.
        input_shape: shape of one example; None: taken from the first `fit`.
        outputs: number of outputs k; None: likewise.
        examples: number N of training examples in the model; None: likewise.
        pixel_mean: subtracted from the inputs.
        pixel_std: divisor of the result.
        unit_rows: scale the result to length sqrt(n) for n inputs.
        **keywords: `name`, ...

    Input: [B, *input_shape]. Output: [B, k], the mean over draws.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        bottleneck_dim: Count,
        depth: int = 2,
        activation: str = "relu",
        head_activation: str = "relu",
        *,
        draws: Count = 1,
        width: Count = 2048,
        weight_scale: float | None = None,
        bias_scale: float = 0.0,
        centred: bool = True,
        freeze_features: bool = False,
        rate: Stable = 0.1,
        limit: Stable | None = 1.0,
        input_shape: Sequence[int] | None = None,
        outputs: int | None = None,
        examples: int | None = None,
        pixel_mean: float = 0.0,
        pixel_std: float = 1.0,
        unit_rows: bool = False,
        **keywords: Any,
    ):
        self.g, self.f = halves(depth, activation, head_activation, weight_scale, bias_scale)
        self.dim, self.draws, self.width = bottleneck_dim, draws, width
        self._problem: Hybrid | None = None
        super().__init__(
            input_shape=input_shape,
            outputs=outputs,
            examples=examples,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            unit_rows=unit_rows,
            **keywords,
        )

    def _make(self, inputs: int, outputs: int, examples: int) -> None:
        bias, draws = 1 if self.g.bias_scale else 0, self.draws
        widths = [inputs, *[self.width] * self.g.depth, draws * self.dim]
        self.g_layers = [
            self._weight(f"g_{i}", (b, a + bias), drawn=True)
            for i, (a, b) in enumerate(zip(widths[:-1], widths[1:], strict=True))
        ]
        u, v = Head.shapes(self.f, self.dim, self.width, outputs)
        self.u = self._weight("u", (draws, *u), drawn=True)
        self.v = self._weight("v", (draws, *v), drawn=True)
        self.du = self._weight("du", (draws, *u))
        self.dv = self._weight("dv", (draws, *v))
        self.c = self._weight("c", (draws, examples, self.dim))
        self.probe = self._weight("probe", (draws, examples, outputs), drawn=True)
        self.sharpness = self._weight("sharpness", ())

    @property
    def _head(self) -> Head:
        return Head(self.f, *map(ops.copy, (self.u, self.v)))

    @property
    def _state(self) -> State:  # `convert_to_tensor` would return a variable itself
        c, du, dv = map(ops.copy, (self.c, self.du, self.dv))
        return State(c, Change(du, dv))

    def _initial(self, rows: Tensor) -> Tensor:
        """g_0: [B, n] -> [draws, B, d]."""
        outputs = forward(self.g, [ops.copy(w) for w in self.g_layers], rows)
        return ops.transpose(ops.reshape(outputs, (-1, self.draws, self.dim)), (1, 0, 2))

    def _points(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """z_0 and z_t at any points: [B, n] -> two of [draws, B, d]."""
        start = self._initial(rows)
        # in float32 the kernel of equal points is accurate only to 1e-4
        theta = self.g.ntk(*(ops.cast(points, "float64") for points in (rows, self.x)))
        return start, start + ops.matmul(ops.cast(theta, rows.dtype), self._state.c)

    def features(self, x: Tensor) -> Tensor:
        """The bottleneck's values: [B, *input_shape] -> z_t(x), [B, draws, d]."""
        self.build()
        return ops.transpose(self._points(self.rows(x))[1], (1, 0, 2))

    def members(self, x: Tensor) -> Tensor:
        """Each draw's output: [B, *input_shape] -> [B, draws, k]."""
        self.build()
        start, z = self._points(self.rows(x))
        value = self._head.at(z, self._state.change).value
        if self.arguments.centred:
            value -= self._head.at(start).value
        return ops.transpose(value, (1, 0, 2))

    def predictive(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation over the draws: [B, *input_shape] -> two of [B, k].

        The deviation (with n - 1 in the denominator) tells how much infinitely wide networks
        trained on these data differ by initialisation alone. It is not a posterior, does not
        account for noise in the targets, and is imprecise for few draws.

        Raises:
            ValueError: there is only one draw.
        """
        if self.draws < 2:
            raise ValueError(f"draws={self.draws}: must be at least 2 for a standard deviation")
        members = self.members(x)
        mean = ops.mean(members, 1)
        square = ops.sum(ops.square(members - mean[:, None]), 1)
        return mean, ops.sqrt(square / (self.draws - 1))

    def call(self, x: Tensor) -> Tensor:
        """[B, *input_shape] -> the mean over draws, [B, k]."""
        return ops.mean(self.members(x), 1)

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        loss: Callable | str = "mse",
        **keywords: Any,
    ) -> None:
        """As Keras's.

        Args:
            optimizer: None derives the learning rate from the kernel's spectrum by `rate`; a
                `keras.optimizers.SGD` without momentum sets it. The simulator reduces its variable,
                so that callbacks see and set the learning rate as usual.
            loss: `mse`, or (sparse) categorical cross-entropy from logits.
            **keywords: further arguments of Keras's: `metrics`, `jit_compile`, ...

        Raises:
            ValueError: another optimizer or loss.
        """
        self._spectral = optimizer is None
        optimizer = keras.optimizers.SGD() if self._spectral else keras.optimizers.get(optimizer)
        _check_plain(optimizer)
        step_loss(loss, 1)
        super().compile(optimizer, loss, **keywords)

    def get_compile_config(self) -> dict[str, Any]:
        """Keras's compile config; `optimizer` is None if the spectrum determines the rate."""
        config = super().get_compile_config()
        return config | {"optimizer": None} if config and self._spectral else config

    def _begin(self, y: np.ndarray) -> None:
        """Computes the training set's kernel, initial values and targets, and the rate if
        needed."""
        _, outputs, examples = self.sizes()
        loss, sparse = step_loss(self.loss, outputs)
        self._labels = ops.convert_to_tensor(y)
        targets = one_hot(y, outputs) if sparse else y.reshape(len(y), -1)
        rows = ops.copy(self.x)
        theta = np.empty((examples, examples), self.variable_dtype)
        kernel_matrix(self.g, ops.convert_to_numpy(rows), dtype="float64", out=theta)
        self._problem = Hybrid(
            ops.convert_to_tensor(theta),
            self._initial(rows),
            self._head,
            ops.convert_to_tensor(targets, self.variable_dtype),
            loss,
            centred=self.arguments.centred,
            frozen=self.arguments.freeze_features,
        )
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        if self._spectral and int(self.optimizer.iterations) == 0:
            top = loss.curvature * largest(self._problem, self._state)
            if not 0 < top < float("inf"):
                raise ValueError(
                    f"x: the kernel's largest eigenvalue is {top}; must be above 0 (are all "
                    "inputs 0?)"
                )
            self.optimizer.learning_rate = self.arguments.rate / top

    def _end(self) -> None:
        super()._end()
        self._problem = None  # N x N

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One step of gradient descent on the whole training set; `data` is ignored."""
        del data
        problem, state = self._problem, self._state
        assert problem is not None  # created by `_begin`
        rate = self._look(problem, state)
        state, outputs = problem.step(state, ops.cast(rate, self.variable_dtype))
        for weight, value in zip((self.c, self.du, self.dv), (state.c, *state.change), strict=True):
            weight.assign(value)
        self.steps.assign_add(1)
        self.optimizer.iterations.assign_add(1)
        loss = ops.mean(problem.loss.value(outputs, problem.y))
        self._loss_tracker.update_state(loss)
        metrics = self.compute_metrics(None, self._labels, ops.mean(outputs, 0))
        return metrics | {"learning_rate": rate, "sharpness": ops.copy(self.sharpness)}

    def _look(self, problem: Hybrid, state: State) -> Tensor:
        """The learning rate, reduced every `LOOK_EVERY` steps if the kernel has grown."""
        rate = ops.copy(self.optimizer.learning_rate)
        if self.arguments.limit is None:
            return rate
        probe, old = map(ops.copy, (self.probe, self.sharpness))

        def look() -> tuple[Tensor, ...]:
            now, *rest = watch(
                problem, state, probe, ops.cast(rate, probe.dtype), self.arguments.limit
            )
            return ops.cast(now, rate.dtype), *rest

        due = ops.copy(self.steps) % LOOK_EVERY == 0
        rate, probe, sharpness = ops.cond(due, look, lambda: (rate, probe, old))
        self.optimizer.learning_rate = rate
        self.probe.assign(probe)
        self.sharpness.assign(sharpness)
        return rate


def halves(
    depth: int,
    activation: str,
    head_activation: str,
    weight_scale: float | None = None,
    bias_scale: float = 0.0,
) -> tuple[InfiniteMLP, InfiniteMLP]:
    """The two networks of infinite width on either side of the bottleneck, g and f."""
    return (
        InfiniteMLP(depth, activation, weight_scale, bias_scale),
        InfiniteMLP(1, head_activation, weight_scale, bias_scale),
    )


def _check_plain(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses optimizers that the simulator does not implement.

    Raises:
        ValueError: the optimizer is not plain gradient descent.
    """
    extra = ["momentum", "nesterov", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm"]
    extra += ["use_ema", "gradient_accumulation_steps"]
    # on torch Keras creates a subclass of it
    plain = isinstance(optimizer, keras.optimizers.SGD) and type(optimizer).__name__ == "SGD"
    plain = plain and not any(getattr(optimizer, name, None) for name in extra)
    if not plain or not isinstance(optimizer._learning_rate, keras.Variable):
        raise ValueError(
            f"optimizer={type(optimizer).__name__!r}: must be None or a plain "
            "keras.optimizers.SGD(learning_rate), the simulated gradient descent"
        )

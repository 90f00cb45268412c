"""Adapters: a few task-specific parameters phi, as layers that start as the identity."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.config import Count, choices
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor

KINDS = ("film", "scale", "shift", "low_rank")


class _Channelwise(keras.layers.Layer):
    """h' = (1 + gamma) h + delta along one axis; a subclass gives `effect() -> (gamma, delta)`."""

    def __init__(self, axis: int = -1, **keywords: Any):
        super().__init__(**keywords)
        self.axis = axis

    def effect(self) -> tuple[Tensor | None, Tensor | None]:
        """gamma and delta, float32 [C] each; None if absent."""
        raise NotImplementedError

    def call(self, inputs: Tensor) -> Tensor:
        """[B, ..., C] -> the same shape and dtype."""
        shape = [1] * len(inputs.shape)
        shape[self.axis] = -1
        gamma, delta = self.effect()
        outputs = inputs
        if gamma is not None:
            outputs = outputs * ops.reshape(ops.cast(1.0 + gamma, inputs.dtype), shape)
        if delta is not None:
            outputs = outputs + ops.reshape(ops.cast(delta, inputs.dtype), shape)
        return outputs

    @override
    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


@serializable("metricopt")
class FiLM(_Channelwise):
    """Feature-wise linear modulation, h' = (1 + gamma) h + delta (arXiv:1709.07871).

    gamma and delta [C] start at 0, the identity. In arXiv:2104.10631 such conditioning is an
    example of compact adapter parameters phi.

    Args:
        scale: whether there is a gamma.
        shift: whether there is a delta.
        axis: axis of the C channels.
        **keywords: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: neither `scale` nor `shift`.
    """

    def __init__(self, scale: bool = True, shift: bool = True, axis: int = -1, **keywords: Any):
        super().__init__(axis, **keywords)
        if not (scale or shift):
            raise ValueError("scale=False, shift=False: one of them must be True")
        self.scale, self.shift = scale, shift

    def build(self, input_shape: Shape) -> None:
        """Creates gamma and delta."""
        size = (input_shape[self.axis],)
        self.gamma = self.add_weight(size, "zeros", name="gamma") if self.scale else None
        self.delta = self.add_weight(size, "zeros", name="delta") if self.shift else None

    @override
    def effect(self) -> tuple[Tensor | None, Tensor | None]:
        return self.gamma, self.delta


@serializable("metricopt")
class LowRankFiLM(_Channelwise):
    """FiLM whose (gamma, delta) = U z with a fixed U and q trained numbers z.

    U [2C, q] has orthonormal columns times sqrt(2C / q), drawn by `seed`, so that z of unit
    variance gives gamma and delta of unit variance. z starts at 0: the identity.

    Args:
        rank: number q of trained values, at most 2C.
        seed: seed of U.
        axis: axis of the C channels.
        **keywords: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: the rank is below 1, or at building above 2C.
    """

    def __init__(self, rank: Count, seed: int = 0, axis: int = -1, **keywords: Any):
        super().__init__(axis, **keywords)
        self.rank, self.seed = rank, seed

    @override
    def build(self, input_shape: Shape) -> None:
        size = 2 * input_shape[self.axis]
        if self.rank > size:
            raise ValueError(f"rank={self.rank}: must be at most {size}, twice the channels")
        columns, _ = np.linalg.qr(np.random.RandomState(self.seed).normal(size=(size, self.rank)))
        columns = keras.initializers.Constant((columns * (size / self.rank) ** 0.5).tolist())
        self.z = self.add_weight((self.rank,), "zeros", name="z")
        self.basis = self.add_weight((size, self.rank), columns, name="basis", trainable=False)

    def effect(self) -> tuple[Tensor | None, Tensor | None]:
        """gamma and delta, computed from z."""
        both = ops.matmul(ops.cast(self.basis, "float32"), ops.cast(self.z, "float32")[:, None])
        gamma, delta = ops.split(both[:, 0], 2)
        return gamma, delta


def make_adapter(
    kind: str, rank: int, seed: int, axis: int, name: str, dtype: Any = None
) -> _Channelwise:
    """An adapter of one of `KINDS`; `dtype` is its policy, None: the global one.

    Raises:
        InputError: an unknown kind.
    """
    choices("kind", kind, KINDS)
    if kind == "low_rank":
        return LowRankFiLM(rank, seed, axis=axis, name=name, dtype=dtype)
    parts = {"scale": kind != "shift", "shift": kind != "scale"}
    return FiLM(**parts, axis=axis, name=name, dtype=dtype)

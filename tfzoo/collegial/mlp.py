"""A fully connected ensemble whose members extend to the output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from keras import ops
from typing_extensions import override

from tfzoo.collegial.layers import PARAMETRIZATIONS, CollegialDense
from tfzoo.config import Count, OneOf, Parts, Spread
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor


@serializable("collegial")
class CollegialMLP(ZooModel):
    """m fully connected networks trained as one: F = m^(-1/2) sum_j F_j (arXiv:2006.07678).

    Args:
        input_shape: shape of one example, e.g. (64,) or (8, 8, 1); flattened.
        outputs: number of outputs k.
        members: number of members m.
        width: width n of each hidden layer of a member.
        depth: number of hidden layers L.
        activation: activation of the hidden layers.
        parametrization: `"ntk"` or `"standard"`, see `CollegialDense`.
        weight_scale: weight scale of the hidden layers, under `"ntk"`.
        use_bias: whether all layers have biases.
        bias_scale: bias scale of the biases, under `"ntk"`.
        pixel_mean: subtracted from the input.
        pixel_std: divisor of the result.
        **keywords: `name`, `dtype`, ...

    Input: [B, *input_shape]. Output: [B, k], the aggregate.
    """

    built: bool  # by Keras

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: Count,
        members: Count,
        width: Count,
        depth: Parts = 2,
        activation: str = "relu",
        parametrization: Annotated[str, OneOf(*PARAMETRIZATIONS)] = "ntk",
        weight_scale: float = math.sqrt(2.0),
        use_bias: bool = False,
        bias_scale: float = 0.1,
        pixel_mean: float = 0.0,
        pixel_std: Spread = 1.0,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.example_shape = tuple(int(n) for n in input_shape)
        self.members, self.num_outputs = members, outputs
        common = {
            "use_bias": use_bias,
            "parametrization": parametrization,
            "bias_scale": bias_scale,
            "dtype": self.dtype_policy,
        }
        self.hidden = [
            CollegialDense(members, width, activation, weight_scale=weight_scale, **common)
            for _ in range(depth)
        ]
        self.head = CollegialDense(members, outputs, weight_scale=1.0, name="head", **common)
        self.build((None, *self.example_shape))

    @override
    def build(self, shape: Shape) -> None:
        if self.built:
            return
        shape = (None, math.prod(self.example_shape))
        for layer in (*self.hidden, self.head):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def member_outputs(self, x: Tensor) -> Tensor:
        """F_j of every member: [B, *input_shape] -> float32 [B, m, k]."""
        if tuple(x.shape[1:]) != self.example_shape:
            raise ValueError(f"input {tuple(x.shape)}: must be [B, *{self.example_shape}]")
        given = self.arguments
        x = ops.reshape(ops.cast(x, "float32"), (-1, math.prod(self.example_shape)))
        x = ops.cast((x - given.pixel_mean) / given.pixel_std, self.compute_dtype)
        for layer in self.hidden:
            x = layer(x)
        return ops.cast(self.head(x), "float32")

    def member_logits(self, x: Tensor) -> Tensor:
        """sqrt(m) F_j, [B, m, k]: the ensemble's output if all members were equal to member j.

        Their mean over the members is the ensemble's output.
        """
        return self.member_outputs(x) * math.sqrt(self.members)

    def call(self, x: Tensor) -> Tensor:
        """[B, *input_shape] -> m^(-1/2) sum_j F_j, float32 [B, k]."""
        return ops.sum(self.member_outputs(x), 1) / math.sqrt(self.members)

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.num_outputs)

    def member(self, index: int) -> CollegialMLP:
        """One member as a separate network, with a copy of its weights.

        Raises:
            IndexError: there is no such member.
        """
        rows = self._rows(index)
        alone = CollegialMLP(**{**vars(self.arguments), "members": 1}, dtype=self.dtype_policy)
        alone.set_weights([w[rows] for w in self.get_weights()])
        return alone

    def set_member(self, index: int, network: CollegialMLP) -> None:
        """Copies the weights of a single-member network to one member.

        Raises:
            IndexError: there is no such member.
            ValueError: the weights' shapes differ.
        """
        rows = self._rows(index)
        weights = self.get_weights()
        for whole, part in zip(weights, network.get_weights(), strict=True):
            if part.shape != whole[rows].shape:
                raise ValueError(f"network: weight {part.shape}, must be {whole[rows].shape}")
            whole[rows] = part
        self.set_weights(weights)

    def _rows(self, index: int) -> slice:
        if not 0 <= index < self.members:
            raise IndexError(f"index={index}: must be from 0 to {self.members - 1}")
        return slice(index, index + 1)


def parameters(inputs: int, outputs: int, members: int, width: int, depth: int) -> int:
    """Kernels of a `CollegialMLP` without biases."""
    return members * (inputs * width + (depth - 1) * width**2 + width * outputs)

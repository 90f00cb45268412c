"""A user's block, replicated and trained as one model."""

from __future__ import annotations

import json
import math
from typing import Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.config import Parts
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor


@serializable("collegial")
class Collegial(keras.layers.Layer):
    """F(x) = m^(-1/2) sum_j F(x; theta_j): m copies of a block, each with its own weights.

    The copies are trained as one model on one loss of the aggregate (arXiv:2006.07678), not
    separately. For stacks of dense layers or grouped convolutions, `CollegialDense` and
    `GroupConv2D` compute the same in one product.

    Args:
        block: a layer or model with one input and one output; it is a template, whose own weights
            are not used.
        members: number of members m.
        **keywords: `name`, `dtype`, ...

    Input and output: those of the block.

    Raises:
        ValueError: `members` is below 1; the copies start with equal weights, because the block's
            initializers have fixed seeds, and would stay equal forever.
    """

    def __init__(self, block: keras.layers.Layer, members: Parts, **keywords: Any):
        super().__init__(**keywords)
        # a string, since Keras modifies dictionaries that it deserializes
        self._pattern = json.dumps(keras.saving.serialize_keras_object(block))
        self.arguments.block = json.loads(self._pattern)  # without its weights
        self.members = [copy_of(self._pattern, f"member{j}") for j in range(members)]

    def build(self, shape: Shape) -> None:
        """Creates the weights of all copies."""
        for member in self.members:
            if not member.built:
                member.build(shape)
        self._check_apart()

    def _check_apart(self) -> None:
        if len(self.members) == 1 or not self.members[0].trainable_weights:
            return
        first, second = ([np.asarray(v) for v in m.trainable_weights] for m in self.members[:2])
        if all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)):
            raise ValueError(
                "block: its copies start with equal weights; its initializers must not have fixed "
                "seeds (use keras.utils.set_random_seed)"
            )

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """m^(-1/2) times the sum of the members' outputs."""
        keywords = [{"training": training} if _takes_training(m) else {} for m in self.members]
        total = self.members[0](x, **keywords[0])
        for member, given in zip(self.members[1:], keywords[1:], strict=True):
            total = ops.add(total, member(x, **given))
        return total / math.sqrt(len(self.members))

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return self.members[0].compute_output_shape(shape)

    def member(self, index: int) -> keras.layers.Layer:
        """A plain copy of one member, with its own weights.

        Raises:
            IndexError: there is no such member.
        """
        member = self._at(index)
        copy = copy_of(self._pattern, None)
        if member.built:
            if not copy.built:
                copy.build(member._build_shapes_dict["input_shape"])
            copy.set_weights(member.get_weights())
        return copy

    def set_member(self, index: int, block: keras.layers.Layer) -> None:
        """Copies the weights of a plain block to one member.

        Raises:
            IndexError: there is no such member.
            ValueError: the weights' shapes differ.
        """
        self._at(index).set_weights(block.get_weights())

    def _at(self, index: int) -> keras.layers.Layer:
        if not 0 <= index < len(self.members):
            raise IndexError(f"index={index}: must be from 0 to {len(self.members) - 1}")
        return self.members[index]


def copy_of(pattern: str, name: str | None) -> keras.layers.Layer:
    """A new block from a serialized one, with newly drawn weights."""
    block = keras.saving.deserialize_keras_object(json.loads(pattern))
    if name is not None:
        block.name = name
    return block


def _takes_training(block: keras.layers.Layer) -> bool:
    return isinstance(block, keras.Model) or getattr(block, "_call_has_training_arg", False)

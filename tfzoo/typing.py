"""Type aliases for values without a common class."""

from collections.abc import Sequence
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of any Keras backend, eager or symbolic; docstrings give its shape and dtype.

To a type checker it is `Any`, because the tensors that Keras passes around have no common base
class: a `tf.Tensor`, a `jax.Array` or a `torch.Tensor`, a tracer of one of these, and a
`KerasTensor` while a functional model is built. A `keras.Variable` or a NumPy array is accepted
wherever `keras.ops` accepts it.
"""

Shape: TypeAlias = Sequence[Any]
"""A tensor's shape as Keras passes it to `build`: integers, and None for an axis of any size.

Which axes are integers is up to the layer and not checked by a type checker.
"""

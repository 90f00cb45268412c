"""Names for what the annotations of tfzoo cannot say by a class."""

from collections.abc import Sequence
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of whichever Keras backend, eager or symbolic; a docstring gives its shape and dtype.

It is `Any` to a type checker, because no class covers what Keras hands about: a `tf.Tensor`, a
`jax.Array` or a `torch.Tensor`, a tracer of one of them, and a `KerasTensor` while a functional
model is built have no base in common. A `keras.Variable` or a NumPy array serves as one wherever
`keras.ops` takes it.
"""

Shape: TypeAlias = Sequence[Any]
"""A tensor's shape as Keras hands it to `build`: whole numbers, and None for an axis of any size.

Which of its axes are numbers is for the layer to know, so that a type checker is not asked.
"""

"""Occupancy Networks' decoders (arXiv:1812.03828), with a separate condition per point."""

from __future__ import annotations

from typing import Annotated, Any

import keras
from keras import ops
from typing_extensions import override

from tfzoo.config import Count, OneOf, Parts
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor

KINDS = ("cbn", "plain")
Kind = Annotated[str, OneOf(*KINDS)]
INPUTS = ("condition", "world")


@serializable("recon3d")
class ConditionalBatchNorm(keras.layers.Layer):
    """gamma(c) BN(h) + beta(c): statistics over batch and points, scale and shift from c.

    gamma and beta are linear in c and start as 1 and 0, so that the layer starts as BN. Momentum
    and epsilon are PyTorch's (0.9 in Keras's convention, 1e-5).

    Args:
        **keywords: `name`, `dtype`, ...

    Input: h [B, N, H], c [B, N, C]. Output: [B, N, H].
    """

    def build(self, h_shape: Shape, c_shape: Shape) -> None:
        """Creates the two maps and the statistics."""
        policy = self.dtype_policy
        self.norm = keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, center=False, scale=False, name="norm", dtype=policy
        )
        dense = lambda name, start: keras.layers.Dense(  # noqa: E731
            h_shape[-1],
            kernel_initializer="zeros",
            bias_initializer=start,
            name=name,
            dtype=policy,
        )
        self.gamma, self.beta = dense("gamma", "ones"), dense("beta", "zeros")
        self.norm.build(h_shape)
        self.gamma.build(c_shape)
        self.beta.build(c_shape)

    def call(self, h: Tensor, c: Tensor, training: bool | None = None) -> Tensor:
        """Normalises, scales and shifts."""
        return self.gamma(c) * self.norm(h, training=training) + self.beta(c)

    @override
    def compute_output_shape(self, h_shape: Shape, c_shape: Shape) -> Shape:
        return tuple(h_shape)


@serializable("recon3d")
class ConditionalResidualBlock(keras.layers.Layer):
    """h + fc_1(relu(CBN_1(fc_0(relu(CBN_0(h, c))), c))); for `plain`, c is added and no norms.

    fc_1 starts at 0, so that the block starts as the identity (`plain`: as h + fc_c(c)).

    Args:
        kind: `cbn` or `plain`.
        **keywords: `name`, `dtype`, ...

    Input: h [B, N, H], c [B, N, C]. Output: [B, N, H].

    Raises:
        ValueError: an unknown kind.
    """

    def __init__(self, kind: Kind = "cbn", **keywords: Any):
        super().__init__(**keywords)
        self.kind = kind

    def build(self, h_shape: Shape, c_shape: Shape) -> None:
        """Creates two dense layers, and norms or a dense layer of c."""
        policy, width = self.dtype_policy, h_shape[-1]
        self.fc_0 = keras.layers.Dense(width, name="fc_0", dtype=policy)
        self.fc_1 = keras.layers.Dense(width, kernel_initializer="zeros", name="fc_1", dtype=policy)
        self.fc_0.build(h_shape)
        self.fc_1.build(h_shape)
        if self.kind == "plain":
            self.fc_c = keras.layers.Dense(width, name="fc_c", dtype=policy)
            self.fc_c.build(c_shape)
            return
        self.norms = [ConditionalBatchNorm(name=f"cbn_{i}", dtype=policy) for i in (0, 1)]
        for norm in self.norms:
            norm.build(h_shape, c_shape)

    def call(self, h: Tensor, c: Tensor, training: bool | None = None) -> Tensor:
        """The block's output, of the shape of h."""
        if self.kind == "plain":
            h = h + self.fc_c(c)
            return h + self.fc_1(ops.relu(self.fc_0(ops.relu(h))))
        inner = self.fc_0(ops.relu(self.norms[0](h, c, training=training)))
        return h + self.fc_1(ops.relu(self.norms[1](inner, c, training=training)))

    @override
    def compute_output_shape(self, h_shape: Shape, c_shape: Shape) -> Shape:
        return tuple(h_shape)


@serializable("recon3d")
class OccupancyDecoder(keras.layers.Layer):
    """Maps a point's condition to the logit that it is inside.

    h = fc_p(p), residual blocks, then fc_out(relu(CBN(h, c))) (`plain`: fc_out(relu(h))). p is the
    condition itself by default, or the world coordinates, which tie the field to the objects' pose
    in the world. The paper's p is unknown to us.

    Args:
        width: width H of the blocks.
        blocks: number of blocks.
        kind: `cbn` or `plain`.
        inputs: the input p: `condition` or `world`.
        **keywords: `name`, `dtype`, ...

    Input: c [B, N, C], points [B, N, 3]. Output: float32 [B, N].

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        width: Count = 64,
        blocks: Parts = 3,
        kind: Kind = "cbn",
        inputs: Annotated[str, OneOf(*INPUTS)] = "condition",
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.width, self.count, self.kind, self.inputs = width, blocks, kind, inputs

    @override
    def build(self, c_shape: Shape, points_shape: Shape) -> None:
        policy, h_shape = self.dtype_policy, (*c_shape[:-1], self.width)
        self.fc_p = keras.layers.Dense(self.width, name="fc_p", dtype=policy)
        self.fc_p.build(c_shape if self.inputs == "condition" else points_shape)
        self.blocks = [
            ConditionalResidualBlock(self.kind, name=f"block_{i}", dtype=policy)
            for i in range(self.count)
        ]
        for block in self.blocks:
            block.build(h_shape, c_shape)
        self.norm = None
        if self.kind == "cbn":
            self.norm = ConditionalBatchNorm(name="norm", dtype=policy)
            self.norm.build(h_shape, c_shape)
        self.fc_out = keras.layers.Dense(1, name="fc_out", dtype=policy)
        self.fc_out.build(h_shape)

    @override
    def call(self, c: Tensor, points: Tensor, training: bool | None = None) -> Tensor:
        h = self.fc_p(c if self.inputs == "condition" else ops.cast(points, c.dtype))
        for block in self.blocks:
            h = block(h, c, training=training)
        if self.norm is not None:
            h = self.norm(h, c, training=training)
        return ops.cast(self.fc_out(ops.relu(h))[..., 0], "float32")

    @override
    def compute_output_shape(self, c_shape: Shape, points_shape: Shape) -> Shape:
        return tuple(c_shape[:-1])

    def compute_output_spec(
        self, c: Tensor, points: Tensor, training: bool | None = None
    ) -> keras.KerasTensor:
        """Float32 under any policy."""
        return keras.KerasTensor(c.shape[:-1], "float32")

"""The parts of a Set Distribution Network: encoder, energy and generator of sets of images.

Images are [B, n, S, S, C] in [-1, 1]; a mask [B, n] says which of them are present.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops
from typing_extensions import override

from tfzoo.registry import serializable
from tfzoo.sdn.codes import straight_through
from tfzoo.sdn.networks import make_decoder, make_encoder
from tfzoo.typing import Shape, Tensor


def masked_mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean over the present entries of axis 1; 0 if there are none. Float32.

    Args:
        x: [B, n] or [B, n, k].
        mask: [B, n], or None for all.
    """
    x = ops.cast(x, "float32")
    if mask is None:
        return ops.mean(x, 1)
    weight = ops.cast(ops.reshape(mask, ops.shape(x)[:2]), "float32")
    total = ops.maximum(ops.sum(weight, 1), 1.0)
    if len(x.shape) == 3:
        weight, total = weight[..., None], total[:, None]
    return ops.sum(x * weight, 1) / total


def flat(images: Tensor) -> Tensor:
    """[B, n, ...] -> [B n, ...]."""
    return ops.reshape(images, (-1, *images.shape[2:]))


def unflat(x: Tensor, images: Tensor) -> Tensor:
    """[B n, ...] -> [B, n, ...], with the sizes of `images`."""
    count = images.shape[1] or ops.shape(images)[1]
    return ops.reshape(x, (-1, count, *x.shape[1:]))


class _Part(keras.layers.Layer):
    """Base of the parts: sizes, and the policy for the networks inside."""

    def __init__(
        self,
        image_size: int,
        channels: int = 1,
        code_dim: int = 64,
        preset: str = "mlp",
        width: int = 256,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.image_size, self.channels, self.code_dim = image_size, channels, code_dim
        self.preset, self.width = preset, width

    def under_policy(self, make: Callable[..., keras.Model], *arguments: Any) -> keras.Model:
        """make(preset, image_size, channels, width, *arguments) under this layer's policy."""
        before = keras.config.dtype_policy()
        try:
            keras.config.set_dtype_policy(self.dtype_policy)
            return make(self.preset, self.image_size, self.channels, self.width, *arguments)
        finally:
            keras.config.set_dtype_policy(before)


class _Reader(_Part):
    """A part that takes images with a mask and produces outputs without one."""

    def compute_mask(self, *inputs: Any, **keywords: Any) -> None:
        """Drops the mask of images."""


@serializable("sdn")
class SetEncoder(_Reader):
    """z = sign of the mean of a network's outputs over a set, straight-through.

    Order and number of the images do not matter, only their content: a set and its duplicate have
    the same code. The mean is taken before the sign (spec: binarise after pooling).

    Args:
        image_size: side S of the images.
        channels: number of channels C.
        code_dim: number of bits d of a code.
        preset: `mlp`, `conv` or `sagan`, see `make_encoder`.
        width: see `make_encoder`.
        stochastic: in training, z_j = +1 with probability sigmoid(2 a_j) instead of the sign.
        seed: seed of these draws.
        balanced: the means are normalised over the batch's sets, each bit by itself; after training
            by their running mean and variance.
        **keywords: `name`, `dtype`, ...

    Input: images [B, n, S, S, C] in [-1, 1]; mask [B, n] or None.
    Output: codes z of -1 and +1, and the means a; both float32 [B, d]. A row without images has the
        code 0, which is not a valid code.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        image_size: int,
        channels: int = 1,
        code_dim: int = 64,
        preset: str = "mlp",
        width: int = 256,
        stochastic: bool = False,
        seed: int | None = None,
        balanced: bool = False,
        **keywords: Any,
    ):
        super().__init__(image_size, channels, code_dim, preset, width, **keywords)
        self.stochastic, self.seed = stochastic, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.features = self.under_policy(make_encoder, code_dim, 3, "code")
        self.norm = None
        if balanced:
            plain = {"center": False, "scale": False, "dtype": "float32"}
            self.norm = keras.layers.BatchNormalization(name="balance", **plain)
            self.norm.build((None, code_dim))

    def build(self, *shapes: Shape) -> None:
        """The network is created with the layer."""

    @override
    def call(
        self, images: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        a = masked_mean(unflat(self.features(flat(images), training=training), images), mask)
        if self.norm is not None:
            a = self.norm(a, training=training)
        hard = None
        if self.stochastic and training:
            draw = keras.random.uniform(ops.shape(a), dtype="float32", seed=self.seed_generator)
            hard = ops.where(draw < ops.sigmoid(2 * a), 1.0, -1.0)
        z = straight_through(a, hard)
        if mask is not None:
            z = z * ops.cast(ops.any(ops.cast(mask, "bool"), 1), "float32")[:, None]
        return z, a

    def compute_output_spec(
        self, images: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> keras.KerasTensor:
        """Two of [B, d], float32."""
        shape = (images.shape[0], self.code_dim)
        return keras.KerasTensor(shape, "float32"), keras.KerasTensor(shape, "float32")


@serializable("sdn")
class SetDiscriminator(_Reader):
    """E(X; z) = mean over images and pixels of (x - Dec(Enc(x), z))^2: an auto-encoder's energy.

    The decoder sees the code, so that images of another set have high energy (our reconstruction of
    the paper's description).

    Args:
        image_size: side S of the images.
        channels: number of channels C.
        code_dim: number of bits d of a code.
        preset: see `SetEncoder`.
        width: see `make_encoder`.
        bottleneck: size of Enc's output.
        use_code: False hides the code from the decoder, for ablations.
        **keywords: `name`, `dtype`, ...

    Input: images [B, n, S, S, C], codes [B, d], mask [B, n] or None. Output: energy float32 [B].

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        image_size: int,
        channels: int = 1,
        code_dim: int = 64,
        preset: str = "mlp",
        width: int = 256,
        bottleneck: int = 8,
        use_code: bool = True,
        **keywords: Any,
    ):
        super().__init__(image_size, channels, code_dim, preset, width, **keywords)
        self.bottleneck, self.use_code = bottleneck, use_code
        self.encoder = self.under_policy(make_encoder, bottleneck, 2, "energy_encoder")
        size = bottleneck + code_dim
        self.decoder = self.under_policy(make_decoder, size, False, "energy_decoder")

    def build(self, *shapes: Shape) -> None:
        """The networks are created with the layer."""

    def autoencode(self, images: Tensor, codes: Tensor, training: bool | None = None) -> Tensor:
        """Dec(Enc(x), z), [B, n, S, S, C]."""
        inner = unflat(self.encoder(flat(images), training=training), images)
        codes = ops.cast(codes if self.use_code else 0 * codes, inner.dtype)
        codes = ops.broadcast_to(codes[:, None], (*ops.shape(inner)[:2], self.code_dim))
        numbers = ops.concatenate([inner, codes], -1)
        return unflat(self.decoder(flat(numbers), training=training), images)

    def call(
        self,
        images: Tensor,
        codes: Tensor,
        mask: Tensor | None = None,
        training: bool | None = None,
        images_mask: Tensor | None = None,
    ) -> Tensor:
        """The energy, float32 [B]; `images_mask` is Keras's implicit mask of `images`."""
        mask = images_mask if mask is None else mask
        rebuilt = ops.cast(self.autoencode(images, codes, training), "float32")
        errors = ops.mean(ops.square(ops.cast(images, "float32") - rebuilt), (2, 3, 4))
        return masked_mean(errors, mask)

    @override
    def compute_output_spec(
        self,
        images: Tensor,
        codes: Tensor,
        mask: Tensor | None = None,
        training: bool | None = None,
        images_mask: Tensor | None = None,
    ):
        return keras.KerasTensor((images.shape[0],), "float32")


@serializable("sdn")
class SetGenerator(_Part):
    """x_i = G(z, noise_i): images of one set, independent given its code.

    Args:
        image_size: side S of the images.
        channels: number of channels C.
        code_dim: number of bits d of a code.
        preset: see `SetEncoder`.
        width: see `make_encoder`.
        noise_dim: size k of an image's noise.
        **keywords: `name`, `dtype`, ...

    Input: codes [B, d], noise [B, n, k]. Output: images [B, n, S, S, C] in [-1, 1].

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        image_size: int,
        channels: int = 1,
        code_dim: int = 64,
        preset: str = "mlp",
        width: int = 256,
        noise_dim: int = 8,
        **keywords: Any,
    ):
        super().__init__(image_size, channels, code_dim, preset, width, **keywords)
        self.noise_dim = noise_dim
        size = code_dim + noise_dim
        self.network = self.under_policy(make_decoder, size, True, "images")

    def build(self, *shapes: Shape) -> None:
        """The network is created with the layer."""

    @override
    def call(self, codes: Tensor, noise: Tensor, training: bool | None = None) -> Tensor:
        noise = ops.cast(noise, self.compute_dtype)
        codes = ops.cast(codes, noise.dtype)[:, None]
        codes = ops.broadcast_to(codes, (*ops.shape(noise)[:2], self.code_dim))
        numbers = ops.concatenate([codes, noise], -1)
        return unflat(self.network(flat(numbers), training=training), noise)

    @override
    def compute_output_spec(
        self, codes: Tensor, noise: Tensor, training: bool | None = None
    ) -> keras.KerasTensor:
        shape = (*noise.shape[:2], self.image_size, self.image_size, self.channels)
        return keras.KerasTensor(shape, self.compute_dtype)

"""Set Distribution Networks: from sets of images to codes and back, and codes from a prior."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Ge
from keras import ops
from numpy.typing import ArrayLike
from typing_extensions import override

from tfzoo.config import Count, Fraction, NonNegative, OneOf, Positive, Spread, Widths
from tfzoo.registry import serializable
from tfzoo.sdn import inputs
from tfzoo.sdn.codes import check_codes, code_statistics
from tfzoo.sdn.layers import (
    SetDiscriminator,
    SetEncoder,
    SetGenerator,
    flat,
    masked_mean,
    unflat,
)
from tfzoo.sdn.made import MADE
from tfzoo.sdn.networks import PRESETS, make_encoder
from tfzoo.training import replicas
from tfzoo.training.two_player import TwoPlayer, follow
from tfzoo.typing import Shape, Tensor

CHUNK = 64
"""Number of sets that `encode`, `reconstruct` and `generate` process at once."""


@serializable("sdn")
class SetDistributionNetwork(TwoPlayer):
    """Encoder, energy and prior, trained against a generator (arXiv:2006.10705, reconstructed).

    A step updates encoder, energy and prior along E(X; z) + max(0, margin - E(X'; z)) - log p(z)
    with z = z(X), X' = G(z, noise), then the generator along E(G(z, noise); z) with new noise.
    `average` follows the generator's parameters as a <- ema a + (1 - ema) p and generates images
    after training.

    Settings of ours mend what the energy alone does not achieve (the card has the ablation). With
    `rebuilding`, encoder and generator also learn by |x - G(z(X), noise of x)|^2 + `noise_cost` KL:
    an image's noise is drawn from a network's Gaussian, as in a variational auto-encoder
    (arXiv:1312.6114). `adversarial=0` leaves out the generator's step along the energy.

    `fit` takes sets of raw pixels [B, n, H, W, C] of the networks' size, alone or as a dict
    `images`, `mask`. `call` returns their codes. The model defines its own losses and metrics.

    Args:
        image_size: side S of the images.
        channels: number of channels C.
        code_dim: number of bits d of a code.
        noise_dim: size of an image's noise.
        preset: `mlp` (any size), `conv` (28 to 32 pixels), `sagan` (32, 64, 128).
        width: width of the networks, see `make_encoder`.
        bottleneck: bottleneck of the energy's auto-encoder.
        prior_hidden: widths of the prior's hidden layers; see `MADE`.
        margin: margin m in the energy's units, mean squared error of images in [-1, 1].
        prior_to_encoder: weight of -log p(z) in the encoder's gradient. 0 is our choice; the
            likelihood's would be 1 / (n S S C), and large ones collapse the code.
        use_code: False hides the code from the energy, for ablations.
        stochastic: see `SetEncoder`.
        ema: decay rate of the average.
        adversarial: weight of the energy of generated sets in the generator's loss.
        rebuilding: weight of rebuilding images by the generator; 0: not at all.
        noise_cost: weight of the noise's divergence, per pixel, from the normal distribution.
        balanced: see `SetEncoder`.
        turned: in training, sets are turned and mirrored at random; for square images to which
            this gives things of the same kind, such as characters.
        pixel_mean: subtracted from raw pixels.
        pixel_std: divisor of the result, which should be in [-1, 1].
        seed: seed of noise while training.
        **keywords: `name`, `dtype`, ...

    Input: images [B, n, S, S, C], raw pixels. Output: codes float32 [B, d] of -1 and +1.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        image_size: int = 16,
        channels: int = 1,
        code_dim: Annotated[int, Ge(2)] = 64,
        noise_dim: Count = 8,
        preset: Annotated[str, OneOf(*PRESETS)] = "mlp",
        width: Count = 256,
        bottleneck: Count = 8,
        prior_hidden: Widths = (128, 128),
        margin: Positive = 0.1,
        prior_to_encoder: NonNegative = 0.0,
        use_code: bool = True,
        stochastic: bool = False,
        ema: Fraction = 0.99,
        adversarial: NonNegative = 1.0,
        rebuilding: NonNegative = 0.0,
        noise_cost: NonNegative = 0.5,
        balanced: bool = False,
        turned: bool = False,
        pixel_mean: float = 127.5,
        pixel_std: Spread = 127.5,
        seed: int | None = None,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        for name, value in vars(self.arguments).items():
            setattr(self, name, value)
        part = {"preset": preset, "width": width, "dtype": self.dtype_policy}
        size = (image_size, channels, code_dim)
        self.encoder = SetEncoder(
            *size, stochastic=stochastic, balanced=balanced, seed=seed, **part, name="encoder"
        )
        self.energy = SetDiscriminator(
            *size, bottleneck=bottleneck, use_code=use_code, **part, name="energy"
        )
        self.prior = MADE(code_dim, prior_hidden, dtype=self.dtype_policy, name="prior")
        self.prior.build((None, code_dim))
        make = lambda name: SetGenerator(*size, noise_dim=noise_dim, **part, name=name)  # noqa: E731
        self.generator, self.average = make("generator"), make("average")
        self.average.set_weights(self.generator.get_weights())
        self.average.trainable = False
        self.posterior: keras.Model | None = None
        if rebuilding:
            self.posterior = self.encoder.under_policy(make_encoder, 2 * noise_dim, 2, "posterior")
        self.seed_generator = keras.random.SeedGenerator(seed)
        names = ("loss", "d_loss", "g_loss", "e_real", "e_fake", "code_nll", "mean_a")
        self._means = {name: keras.metrics.Mean(name) for name in names}
        self.built = True

    def prepare(self, images: Tensor) -> Tensor:
        """Raw pixels to [-1, 1], float32."""
        return (ops.cast(images, "float32") - self.pixel_mean) / self.pixel_std

    def call(
        self, images: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Codes of sets of raw pixels, or of a dict `images`, `mask`: float32 [B, d]."""
        if isinstance(images, dict):
            if isinstance(mask, dict):  # implicit masks of the inputs, from Keras
                mask = mask["images"]
            images, mask = images["images"], images.get("mask", mask)
        return self.encoder(self.prepare(images), mask=mask, training=training)[0]

    def judge_variables(self) -> list[keras.Variable]:
        """The variables of encoder, energy and prior."""
        return [v for p in (self.encoder, self.energy, self.prior) for v in p.trainable_variables]

    @override
    def generator_variables(self) -> list[keras.Variable]:
        parts = (self.generator, self.posterior) if self.posterior else (self.generator,)
        return [v for part in parts for v in part.trainable_variables]

    def default_optimizers(self) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
        """Adam(2e-4, 0, 0.999) for both parts."""
        return make_adam(), make_adam()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means over an epoch: losses, energies of real and generated sets, -log p(z), mean |a|."""
        return list(self._means.values())

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Updates encoder, energy and prior, then the generator and its average."""
        real, mask = self._sets(data)
        real = self._turned(real) if self.turned else real
        with self.tape() as tape:
            z, a = self.encoder(real, mask=mask, training=True)
            fixed = ops.stop_gradient(z)
            e_real = self.energy(real, z, mask=mask, training=True)
            e_fake = ops.zeros_like(e_real)
            # the prior's own gradient is unweighted, the encoder's is weighted
            nll = -self.prior.log_prob(fixed + self.prior_to_encoder * (z - fixed))
            if self.adversarial:
                fake = ops.stop_gradient(self.generator(fixed, self._noise(real), training=True))
                e_fake = self.energy(fake, z, mask=mask, training=True)
            d_loss = self._judged(e_real, e_fake, nll)
            loss = d_loss + self._rebuilt(real, z, mask) if self.posterior else d_loss
            scaled = self.scaled(loss, self.optimizer)
        if self.posterior:
            self._move_both(tape, scaled)
        else:
            self.move(tape, scaled, self.optimizer, self.judge_variables())
        g_loss = ops.zeros(())
        if self.adversarial:
            with self.tape() as tape:
                fake = self.generator(fixed, self._noise(real), training=True)
                g_loss = ops.mean(self.energy(fake, fixed, mask=mask, training=True))
                scaled = self.scaled(self.adversarial * g_loss, self.g_optimizer)
            self.move(tape, scaled, self.g_optimizer, self.generator.trainable_variables)
        follow(self.average, self.generator, self.ema)
        return self._note(d_loss, g_loss, e_real, e_fake, nll, a)

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """The losses on held-out sets, in inference mode, with images of the average."""
        real, mask = self._sets(data)
        z, a = self.encoder(real, mask=mask, training=False)
        fake = self.average(z, self._noise(real), training=False)
        e_real = self.energy(real, z, mask=mask, training=False)
        e_fake = self.energy(fake, z, mask=mask, training=False)
        nll = -self.prior.log_prob(z)
        d_loss = self._judged(e_real, e_fake, nll)
        return self._note(d_loss, ops.mean(e_fake), e_real, e_fake, nll, a)

    def encode(
        self, sets: ArrayLike | list[np.ndarray], mask: ArrayLike | None = None
    ) -> np.ndarray:
        """Codes of sets.

        Args:
            sets: raw pixels [B, n, S, S, C], or a list of [n_i, S, S, C].
            mask: [B, n], which images are present.

        Returns:
            float32 [B, d] of -1 and +1.

        Raises:
            InputError: no sets, an empty set, another size or number of channels, or non-finite
                values.
        """
        images, mask = inputs.padded(sets, mask, self.image_size, self.channels)
        parts = [
            self(images[i : i + CHUNK], mask=mask[i : i + CHUNK], training=False)
            for i in range(0, len(images), CHUNK)
        ]
        return np.concatenate([ops.convert_to_numpy(part) for part in parts])

    def decode(self, codes: ArrayLike, n: int, seed: int = 0) -> np.ndarray:
        """n images for each code, raw pixels float32 [B, n, S, S, C].

        Raises:
            InputError: codes that are not [B, d] of -1 and +1, or `n` below 1.
        """
        codes = check_codes(codes, self.code_dim)
        inputs.check_count("n", n)
        rng, decoded = np.random.default_rng(seed), []
        for i in range(0, len(codes), CHUNK):
            part = codes[i : i + CHUNK]
            noise = rng.standard_normal((len(part), n, self.noise_dim)).astype("float32")
            decoded.append(ops.convert_to_numpy(self.images(part, noise)))
        return np.concatenate(decoded)

    def images(self, codes: Tensor, noise: Tensor) -> Tensor:
        """The average's images as raw pixels; also works in a graph."""
        decoded = ops.cast(self.average(codes, noise, training=False), "float32")
        return decoded * self.pixel_std + self.pixel_mean

    def reconstruct(
        self,
        sets: ArrayLike | list[np.ndarray],
        n: int | None = None,
        mask: ArrayLike | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """n new images of each set, from its code; default: as many as in the largest set.

        Raises:
            InputError: see `encode` and `decode`.
        """
        images, mask = inputs.padded(sets, mask, self.image_size, self.channels)
        count = images.shape[1] if n is None else n
        return self.decode(self.encode(images, mask), count, seed)

    def sample_codes(self, count: int, seed: int = 0) -> np.ndarray:
        """Codes drawn from the prior, float32 [count, d]."""
        inputs.check_count("count", count)
        draw = np.random.default_rng(seed).random((count, self.code_dim)).astype("float32")
        return ops.convert_to_numpy(self.prior.sample(draw))

    def generate(self, n_sets: int, n: int, seed: int = 0) -> np.ndarray:
        """n images of each of `n_sets` new sets, raw pixels float32 [n_sets, n, S, S, C]."""
        inputs.check_count("n_sets", n_sets)
        return self.decode(self.sample_codes(n_sets, seed), n, seed)

    def log_prob(self, codes: ArrayLike) -> np.ndarray:
        """log p(z) under the prior, in nats, float32 [B].

        Raises:
            InputError: codes that are not [B, d] of -1 and +1.
        """
        return ops.convert_to_numpy(self.prior.log_prob(check_codes(codes, self.code_dim)))

    def code_stats(
        self, sets: ArrayLike | list[np.ndarray], mask: ArrayLike | None = None, seed: int = 0
    ) -> dict[str, float]:
        """Statistics that reveal a collapse: those of `code_statistics`, and

        `code_bits`, the mean of -log2 p(z); `cycle_error`, the fraction of bits that change when
        images are generated from a set's code and encoded again; `view_spread`, the deviation of
        such images over their noise relative to that of the set's own images.
        """
        images, mask = inputs.padded(sets, mask, self.image_size, self.channels)
        codes = self.encode(images, mask)
        decoded = self.decode(codes, images.shape[1], seed)
        again = self.encode(decoded, mask)
        real = np.sqrt(_spread(images, mask))
        spread = np.sqrt(_spread(decoded, mask)) / np.maximum(real, 1e-9)
        return code_statistics(codes) | {
            "code_bits": float(-self.log_prob(codes).mean() / np.log(2)),
            "cycle_error": float(np.mean(codes != again)),
            "view_spread": float(spread),
        }

    def _sets(self, data: Any) -> tuple[Tensor, Tensor]:
        unpacked = self.unpacked(data)
        if isinstance(unpacked, dict):
            return self.prepare(unpacked["images"]), unpacked.get("mask")
        return self.prepare(unpacked), None

    def _noise(self, images: Tensor) -> Tensor:
        sets, n = ops.shape(images)[:2]

        def normal(rows: Any) -> Any:
            shape = (rows, n, self.noise_dim)
            return keras.random.normal(shape, dtype="float32", seed=self.seed_generator)

        return replicas.draw(sets, normal)

    def _turned(self, images: Tensor) -> Tensor:
        """Each set turned by a multiple of a right angle and mirrored, at random."""
        draw = lambda rows: keras.random.uniform((rows, 3, 1, 1, 1, 1), seed=self.seed_generator)  # noqa: E731
        coins = replicas.draw(ops.shape(images)[0], draw) < 0.5
        images = ops.where(coins[:, 0], ops.transpose(images, (0, 1, 3, 2, 4)), images)
        images = ops.where(coins[:, 1], ops.flip(images, 2), images)
        return ops.where(coins[:, 2], ops.flip(images, 3), images)

    def _rebuilt(self, real: Tensor, z: Tensor, mask: Tensor | None) -> Tensor:
        """The weighted loss of images rebuilt from their set's code and noise of their own."""
        assert self.posterior is not None
        numbers = unflat(self.posterior(flat(real), training=True), real)
        mean, log_std = ops.split(ops.cast(numbers, "float32"), 2, -1)
        noise = mean + ops.exp(log_std) * self._noise(real)
        again = ops.cast(self.generator(z, noise, training=True), "float32")
        error = ops.mean(ops.square(real - again), (2, 3, 4))
        # KL(N(mean, std) || N(0, 1)), nats per image
        nats = ops.sum((ops.square(mean) + ops.exp(2 * log_std) - 1) / 2 - log_std, -1)
        pixels = self.image_size**2 * self.channels
        return self.rebuilding * ops.mean(
            masked_mean(error + self.noise_cost / pixels * nats, mask)
        )

    def _move_both(self, tape: Any, loss: Tensor) -> None:
        """A step of each optimizer along one loss, which has the first one's scale."""
        one, judge, maker = ops.ones(()), self.judge_variables(), self.generator_variables()
        ratio = self.g_optimizer.scale_loss(one) / self.optimizer.scale_loss(one)
        gradients = tape.gradient(loss, [v.value for v in (*judge, *maker)])
        self.optimizer.apply(gradients[: len(judge)], judge)
        self.g_optimizer.apply([g * ratio for g in gradients[len(judge) :]], maker)

    def _judged(self, e_real: Tensor, e_fake: Tensor, nll: Tensor) -> Tensor:
        return ops.mean(e_real) + ops.mean(ops.relu(self.margin - e_fake)) + ops.mean(nll)

    def _note(
        self, d_loss: Tensor, g_loss: Tensor, e_real: Tensor, e_fake: Tensor, nll: Tensor, a: Tensor
    ) -> dict[str, Tensor]:
        means = (ops.mean(x) for x in (e_real, e_fake, nll, ops.abs(a)))
        return self.note(ops.shape(a)[0], (d_loss + g_loss, d_loss, g_loss, *means))

    def input_specs(self) -> list[keras.InputSpec]:
        """Sets of any number of images."""
        size = self.image_size
        return [keras.InputSpec("float32", (None, None, size, size, self.channels))]

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.code_dim)

    def compute_output_spec(
        self, images: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> keras.KerasTensor:
        """Float32 under any policy."""
        rows = keras.tree.flatten(images)[0].shape[0]
        return keras.KerasTensor((rows, self.code_dim), "float32")

    def compute_mask(self, *inputs: Any, **keywords: Any) -> None:
        """Drops the mask of images."""


def make_adam(
    rate: float | keras.optimizers.schedules.LearningRateSchedule = 2e-4,
    beta_1: float = 0.0,
    beta_2: float = 0.999,
) -> keras.optimizers.Adam:
    """Adam with GAN settings; `rate` may be a schedule."""
    return keras.optimizers.Adam(rate, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8)


def _spread(images: np.ndarray, mask: np.ndarray) -> float:
    """The mean variance of a pixel over a set's images."""
    pairs = zip(images, mask, strict=True)
    return float(np.mean([image[there].var(0).mean() for image, there in pairs]))

"""A GAN whose discriminator is an energy model: p(x) proportional to exp D(x)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.afv import objectives
from tfzoo.afv.networks import (
    EXPERTS,
    EXPERTS_OUTPUT,
    SIZES,
    make_discriminator,
    make_generator,
)
from tfzoo.afv.pixels import to_network, to_pixels
from tfzoo.config import Count, Fraction, NonNegative, OneOf, Spread
from tfzoo.registry import serializable
from tfzoo.training import replicas
from tfzoo.training.two_player import TwoPlayer, follow
from tfzoo.typing import Shape, Tensor


@serializable("afv")
class EnergyGAN(TwoPlayer):
    """Discriminator D, generator G and G's moving average, trained in turn (arXiv:1910.13101).

    A step draws z, updates G, then updates D on new images of the updated G, as in the paper: first
    p_G towards p_D, then D towards the data. The average follows G's parameters after each step, as
    a <- ema a + (1 - ema) p; its BatchNormalization uses G's running statistics until `calibrate`
    measures its own.

    `fit` takes images, alone or with labels that are ignored: raw pixels [B, S, S, C] of any square
    size; see `to_network`. `call` returns D. The model defines its own losses and metrics.

    Args:
        image_size: side of the networks' images: 16, 32, 64 or 128.
        channels: channels of the images.
        width: width of D's convolutions; 128 gives D 1,483,137 parameters, 256 gives 5,915,393.
        generator_width: width of G's convolutions; None: `width`.
        latent: length of z.
        objective: `lsgan` (the official code's), `hinge`, or `vgan`, with the explicit entropy of
            sigmoid experts.
        head: `sigmoid`, `logit` or `experts`; None: the objective's default.
        experts: number of experts of the head `experts`.
        mcmc_weight: gamma of the MCMC-inspired term of G's loss; 0, the official code's default,
            disables it.
        mcmc_noise: standard deviation of the term's noise; sqrt(M / gamma) for images of M numbers
            makes it an exact step of Langevin dynamics (our derivation).
        ema: decay rate of the average.
        pixel_mean: subtracted from raw pixels.
        pixel_std: divisor of the result.
        seed: seed of z and noise while training.
        **keywords: `name`, `dtype`, ...

    Input: [B, S, S, C]. Output: D, [B, 1].

    Raises:
        ValueError: an argument is out of range, or objective and head do not match.
    """

    def __init__(
        self,
        image_size: Annotated[int, OneOf(*SIZES)] = 32,
        channels: Count = 3,
        width: Count = 256,
        generator_width: Count | None = None,
        latent: Count = 256,
        objective: objectives.Objective = "lsgan",
        head: objectives.Head | None = None,
        experts: Count = EXPERTS,
        mcmc_weight: NonNegative = 0.0,
        mcmc_noise: NonNegative = 0.0,
        ema: Fraction = 0.9,
        pixel_mean: float = 0.0,
        pixel_std: Spread = 1.0,
        seed: int | None = None,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        head = head or objectives.DEFAULT_HEAD[objective]
        objectives.check_head(objective, head)
        self.arguments.head = head
        for name, value in vars(self.arguments).items():
            setattr(self, name, value)
        policy = self.dtype_policy
        self.discriminator = make_discriminator(image_size, channels, width, head, experts, policy)
        size = (image_size, channels, generator_width or width, latent, policy)
        self.generator, self.average = make_generator(*size), make_generator(*size)
        self.average.set_weights(self.generator.get_weights())
        self.average.trainable = False
        self._experts = None
        if head == "experts":
            experts_of = self.discriminator.get_layer(EXPERTS_OUTPUT).output
            self._experts = keras.Model(self.discriminator.inputs[0], experts_of)
        self.seed_generator = keras.random.SeedGenerator(seed)
        names = ("loss", "d_loss", "g_loss", "d_real", "d_fake")
        self._means = {name: keras.metrics.Mean(name) for name in names}
        self.built = True

    def prepare(self, images: Tensor) -> Tensor:
        """Raw pixels [B, S, S, C] -> [B, image_size, image_size, C] in [-1, 1]."""
        return to_network(images, self.image_size, self.pixel_mean, self.pixel_std)

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        """D of raw pixels: [B, S, S, C] -> [B, 1]."""
        return self.discriminator(self.prepare(images), training=training)

    def generate(self, z: Tensor, raw: bool = False) -> Tensor:
        """The average generator's images in inference mode.

        Args:
            z: [B, latent].
            raw: return raw pixels instead of [-1, 1].

        Returns:
            [B, image_size, image_size, C].
        """
        images = self.average(z, training=False)
        return to_pixels(images, self.pixel_mean, self.pixel_std) if raw else images

    def latents(self, count: int, seed: int) -> np.ndarray:
        """Standard normal z, [count, latent], reproducible by the seed."""
        size = (count, self.latent)
        return np.random.default_rng(seed).standard_normal(size).astype("float32")

    def calibrate(self, batches: int = 32, batch: int = 64, seed: int = 0) -> None:
        """Measures the average generator's BatchNormalization statistics over batches.

        Only its parameters are averaged; its running statistics are G's.
        """
        norms = [
            layer
            for layer in self.average.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        # a frozen BatchNormalization would stay in inference mode
        self.average.trainable = True
        before = [layer.momentum for layer in norms]
        for i, z in enumerate(np.split(self.latents(batches * batch, seed), batches)):
            for layer in norms:
                layer.momentum = i / (i + 1)  # a plain mean over the batches
            self.average(z, training=True)
        for layer, momentum in zip(norms, before, strict=True):
            layer.momentum = momentum
        self.average.trainable = False

    @override
    def judge_variables(self) -> list[keras.Variable]:
        return self.discriminator.trainable_variables

    @override
    def generator_variables(self) -> list[keras.Variable]:
        return self.generator.trainable_variables

    def default_optimizers(self) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
        """The official code's defaults: Adam(4e-4, 0, 0.999) for D, 2e-4 for G."""
        return make_adam(4e-4), make_adam(2e-4)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means over an epoch: both losses, their sum `loss`, and D on both kinds of images."""
        return list(self._means.values())

    def _judge(self, images: Tensor, training: bool) -> Tensor:
        """The objective's input: D, or the experts' probabilities."""
        return (self._experts or self.discriminator)(images, training=training)

    def _draw(self, count: int | Tensor) -> Tensor:
        return self._normal(count, (self.latent,))

    def _normal(self, count: int | Tensor, shape: Sequence[int | Tensor]) -> Tensor:
        def normal(rows: int | Tensor) -> Tensor:
            return keras.random.normal((rows, *shape), dtype="float32", seed=self.seed_generator)

        return replicas.draw(count, normal)

    def _mcmc(self, images: Tensor, z: Tensor) -> Tensor:
        noise = 0.0
        if self.mcmc_noise:
            count, *shape = ops.shape(images)
            noise = self.mcmc_noise * self._normal(count, shape)
        old = self.average(z, training=False)
        return objectives.mcmc_term(images, old, noise)

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Updates G, its average, and D once."""
        real = self.prepare(self.unpacked(data))
        count = ops.shape(real)[0]
        z = self._draw(count)
        with self.tape() as tape:
            fake = self.generator(z, training=True)
            judged = self._judge(fake, training=True)
            g_loss = objectives.generator_loss(self.objective, judged)
            if self.mcmc_weight:
                g_loss += self.mcmc_weight * self._mcmc(fake, z)
            scaled = self.scaled(g_loss, self.g_optimizer)
        self.move(tape, scaled, self.g_optimizer, self.generator_variables())
        fake = ops.stop_gradient(self.generator(self._draw(count), training=True))
        follow(self.average, self.generator, self.ema)
        with self.tape() as tape:
            judged = (self._judge(real, training=True), self._judge(fake, training=True))
            d_loss = objectives.discriminator_loss(self.objective, *judged)
            scaled = self.scaled(d_loss, self.optimizer)
        self.move(tape, scaled, self.optimizer, self.judge_variables())
        return self._note(d_loss, g_loss, *judged)

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """The losses on held-out images, all networks in inference mode."""
        real = self.prepare(self.unpacked(data))
        fake = self.generator(self._draw(ops.shape(real)[0]), training=False)
        judged = self._judge(real, training=False), self._judge(fake, training=False)
        d_loss = objectives.discriminator_loss(self.objective, *judged)
        return self._note(d_loss, objectives.generator_loss(self.objective, judged[1]), *judged)

    def _note(
        self, d_loss: Tensor, g_loss: Tensor, real: Tensor, fake: Tensor
    ) -> dict[str, Tensor]:
        rows = ops.shape(real)[0]
        if self.objective == "vgan":
            real, fake = -objectives.energy(real), -objectives.energy(fake)
        losses = (d_loss + g_loss, d_loss, g_loss, ops.mean(real), ops.mean(fake))
        return self.note(rows, losses)

    def input_specs(self) -> list[keras.InputSpec]:
        """Raw pixels of the networks' size."""
        size = self.image_size
        return [keras.InputSpec("float32", (None, size, size, self.channels))]

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], 1)


def make_adam(
    rate: float, boundaries: Iterable[int] = (), factor: float = 0.5
) -> keras.optimizers.Adam:
    """The official code's Adam (beta 0, 0.999); the rate drops by `factor` at given steps."""
    steps = list(boundaries)
    schedule: float | keras.optimizers.schedules.LearningRateSchedule = rate
    if steps:
        rates = [rate * factor**i for i in range(len(steps) + 1)]
        # a boundary belongs to the interval before it
        ends = [step - 1 for step in steps]
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(ends, rates)
    return keras.optimizers.Adam(schedule, beta_1=0.0, beta_2=0.999, epsilon=1e-8)

"""The complete classifier: raw pixels to classes by a linear read-out of Fisher vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Ge
from keras import ops
from typing_extensions import override

from tfzoo.afv.fisher import FisherVectorizer
from tfzoo.afv.gradients import compiled
from tfzoo.afv.model import EnergyGAN
from tfzoo.afv.pixels import to_network, to_pixels
from tfzoo.afv.readout import PENALTIES, ROUTES, by_jvp, by_layers, choose_ridge, gram
from tfzoo.afv.sketch import sketch
from tfzoo.config import Count, Fraction, OneOf, Spread
from tfzoo.environment import only_on
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor


@serializable("afv")
class OneVsAllSquaredHinge(keras.losses.Loss):
    """mean over batch and classes of relu(1 - y f)^2, y = 1 for the label's class, otherwise -1.

    Labels are one-hot [B, k], scores [B, k].
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """[B, k], [B, k] -> [B]."""
        scores = ops.cast(y_pred, "float32")
        sign = 2 * ops.cast(y_true, "float32") - 1
        return ops.mean(ops.square(ops.relu(1 - sign * scores)), -1)


@serializable("afv")
class AFVClassifier(ZooModel):
    """A linear classifier on Fisher vectors, with the generator behind its statistics.

    There are two ways to train: `fit_ridge`, by the Gram matrix, and `compile` and `fit` as for any
    Keras model, which is the paper's way: dropout on V, weights from 0, Adam,
    `OneVsAllSquaredHinge`. Only the weights of the read-out are trained.

    In inference the scores are <w_c, V(x)> + b_c without the features V (see `tfzoo.afv.readout`):
    `layers` in reverse mode layer by layer, `jvp` in forward mode with one pass per class, or
    `features` by V itself, which a projection or vectors of length 1 require.

    Args:
        vectorizer: with fitted statistics, or to be fitted by `adopt`.
        generator: [B, latent] -> images, for `sample`; None: no generator.
        classes: number of classes k.
        input_shape: shape of the raw images, [S, S, C].
        pixel_mean: subtracted from raw pixels.
        pixel_std: divisor of the result.
        dropout: dropout rate on V in training.
        use_bias: whether each class has a bias; the paper has none.
        route: see above.
        served_features: length of `serve_features`.
        **keywords: `name`, ...

    Input: [B, S, S, C] raw pixels. Output: scores [B, k], float32.

    Raises:
        ValueError: an argument is out of range, or the route cannot compute the requested features.
    """

    @only_on("tensorflow", why="which takes per-example gradients on TensorFlow's tapes")
    def __init__(
        self,
        vectorizer: FisherVectorizer,
        generator: keras.Model | None,
        classes: Annotated[int, Ge(2)],
        input_shape: Sequence[int],
        pixel_mean: float = 127.5,
        pixel_std: Spread = 127.5,
        dropout: Fraction = 0.5,
        use_bias: bool = False,
        route: Annotated[str, OneOf(*ROUTES)] = "layers",
        served_features: Count = 1024,
        **keywords: Any,
    ):
        super().__init__(**keywords | {"dtype": "float32"})
        if route != "features" and (vectorizer.projection or vectorizer.normalise):
            raise ValueError(
                f"route={route!r}: must be 'features' for projected or normalised vectors"
            )
        self.vectorizer, self.generator, self.classes = vectorizer, generator, classes
        self.example_shape = tuple(int(n) for n in input_shape)
        self.pixel_mean, self.pixel_std = pixel_mean, pixel_std
        self.use_bias, self.route, self.served_features = use_bias, route, served_features
        if generator is not None:
            generator.trainable = False
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        size = (vectorizer.features, classes)
        self.kernel = self.add_weight(size, "zeros", name="kernel")
        self.bias = self.add_weight((classes,), "zeros", trainable=use_bias, name="bias")
        self.sharpness = self.add_weight((), "ones", trainable=False, name="sharpness")
        self._scores = compiled(self.call, self.example_shape)
        self.built = True

    def prepare(self, images: Tensor) -> Tensor:
        """Converts raw pixels [B, S, S, C] to the discriminator's inputs.

        Raises:
            ValueError: images of another size.
        """
        if tuple(images.shape[1:]) != self.example_shape:
            raise ValueError(f"images {tuple(images.shape)}: must be [B, *{self.example_shape}]")
        size = self.vectorizer.gradients.shape[0]
        return to_network(images, size, self.pixel_mean, self.pixel_std)

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        """[B, S, S, C] raw pixels -> scores [B, k]."""
        x = self.prepare(images)
        if training or self.route == "features":
            v = ops.stop_gradient(self.vectorizer(x))
            return ops.matmul(self.dropout(v, training=training), self.kernel) + self.bias
        tangents = self.tangents()
        route = by_jvp if self.route == "jvp" else by_layers
        vectors = route(self.vectorizer.gradients, x, tangents)
        mean = ops.matmul(self.vectorizer.mean.value, tangents)
        return vectors - mean + self.bias

    def tangents(self) -> Tensor:
        """w / (sigma + eps) over all parameters, [P, k]; 0 where the stride skips one."""
        kernel, size = self.kernel.value, self.vectorizer.size
        stride = self.vectorizer.stride
        if stride > 1:
            rest = ((0, 0), (0, stride - 1), (0, 0))
            kernel = ops.reshape(ops.pad(kernel[:, None], rest), (-1, self.classes))[:size]
        return kernel * self.vectorizer.whitening()[:, None]

    def adopt(self, gan: EnergyGAN, samples: int = 1024, batch: int = 64, seed: int = 0) -> None:
        """Adopts a trained GAN's networks and fits the statistics on `samples` images.

        Raises:
            ValueError: see `FisherVectorizer.adapt`.
        """
        gan.calibrate(seed=seed)
        self.vectorizer.load_discriminator(gan.discriminator)
        if self.generator is not None:
            self.generator.set_weights(gan.average.get_weights())
        z = iter(gan.latents(samples, seed + 1))

        def sample(n: int) -> Tensor:
            return gan.generate(np.stack([next(z) for _ in range(n)]))

        self.vectorizer.adapt_to(sample, samples, batch)

    def fit_ridge(
        self,
        x: np.ndarray,
        y: np.ndarray,
        held_x: np.ndarray,
        held_y: np.ndarray,
        penalties: Sequence[float] = PENALTIES,
        memory: int = 2**31,
    ) -> dict[str, float]:
        """Fits one-vs-all ridge by the Gram matrix; the penalty and the sharpness of the
        probabilities are chosen on validation.

        Args:
            x: raw images [N, S, S, C]; N^2 numbers are held in memory.
            y: class indices [N].
            held_x: raw images for validation.
            held_y: their class indices.
            penalties: in units of the kernel's mean diagonal.
            memory: bytes for the features in memory at a time.

        Returns:
            The penalty and the validation accuracy.
        """
        x, held_x = (np.asarray(self.prepare(images)) for images in (x, held_x))
        kernel, held = (
            gram(self.vectorizer, x, None, memory),
            gram(self.vectorizer, held_x, x, memory),
        )
        problem, alpha, penalty, accuracy = choose_ridge(
            kernel, y, held, held_y, self.classes, penalties
        )
        total, at = np.zeros(self.kernel.shape), 0
        for chunk in self.vectorizer.gradients.chunks(x):
            v = self.vectorizer.transform(chunk)
            total += v.T @ alpha[at : at + len(v)]
            at += len(v)
        self.kernel.assign(total.astype("float32"))
        self.bias.assign(problem.intercept(alpha).astype("float32"))
        self.sharpen(problem.predict(alpha, held), held_y)
        return {"penalty": penalty, "validation_accuracy": accuracy}

    def sharpen(self, scores: np.ndarray, labels: np.ndarray) -> None:
        """Sets the scores' factor inside the softmax to maximise the labels' likelihood."""
        factors = np.geomspace(0.1, 100, 61)
        each = [_log_loss(scores * factor, labels) for factor in factors]
        self.sharpness.assign(float(factors[int(np.argmin(each))]))

    def probabilities(self, images: Tensor) -> Tensor:
        """softmax(sharpness x scores): [B, S, S, C] -> [B, k]."""
        return ops.softmax(self.sharpness * self(images, training=False))

    def serve_features(self, images: Tensor) -> Tensor:
        """Fisher vectors, folded to `served_features` numbers if longer: -> [B, n]."""
        v = self.vectorizer(self.prepare(images))
        return v if v.shape[1] <= self.served_features else sketch(v, self.served_features)

    def energy(self, images: Tensor) -> Tensor:
        """D(x), the negative energy up to a constant: [B, S, S, C] raw pixels -> [B]."""
        score = self.vectorizer.discriminator(self.prepare(images), training=False)
        return ops.reshape(ops.cast(score, "float32"), (-1,))

    def predict_scores(self, images: Tensor, batch: int = 64) -> np.ndarray:
        """Scores of any number of images, [N, k]."""
        parts = [
            np.asarray(self._scores(ops.cast(images[at : at + batch], "float32")))
            for at in range(0, len(images), batch)
        ]
        return np.concatenate(parts)

    def sample(self, z: Tensor) -> Tensor:
        """The generator's images as raw pixels, [B, latent] -> [B, size, size, C].

        Raises:
            ValueError: there is no generator.
        """
        if self.generator is None:
            raise ValueError("generator=None: must be given to sample")
        return to_pixels(self.generator(z, training=False), self.pixel_mean, self.pixel_std)

    def input_specs(self) -> list[keras.InputSpec]:
        """Raw pixels of the size that the model was built for."""
        return [keras.InputSpec("float32", (None, *self.example_shape))]

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.classes)


def _log_loss(scores: np.ndarray, labels: np.ndarray) -> float:
    top = scores.max(1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(1)) + top[:, 0]
    return float(np.mean(total - scores[np.arange(len(labels)), labels]))

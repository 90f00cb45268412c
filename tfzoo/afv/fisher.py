"""Adversarial Fisher Vectors: the gradients of a discriminator, centred and whitened (1910.13101).

With p(x) proportional to exp D(x; theta) and a generator that samples p,

    score    U(x) = dD(x)/dtheta - E_z dD(G(z))/dtheta                          the Fisher score
    vector   V(x) = diag(I)^(-1/2) U(x),  diag(I) = Var_z dD(G(z))/dtheta       the Fisher vector

and the distance of two sets is the mean over parameters of (mean V_X - mean V_Y)^2, which is the
(biased) squared MMD under the Fisher kernel.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.afv.distances import FisherSets
from tfzoo.afv.float32_copy import copied
from tfzoo.afv.gradients import MEMORY, PerExampleGradients, compiled
from tfzoo.afv.moments import Moments
from tfzoo.afv.sketch import sketch
from tfzoo.config import Count
from tfzoo.environment import only_on
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor

LEAST = 16
"""Minimum number of generated samples for statistics; the official code uses 1,024."""
OFFICIAL_EPSILON, OFFICIAL_SET_EPSILON = 1e-6, 1e-12
"""The official code's constants: vectors are g / (sigma + the first), distances g^2 / (variance +
the second)."""
DEAD = 1e-7
"""A coordinate whose deviation is below this fraction of the mean deviation is dead."""
ROUNDING = 1e-5
"""So is one whose deviation is below this fraction of its mean: its variation is rounding."""


@serializable("afv")
class FisherVectorizer(FisherSets, ZooModel):
    """Maps images to Fisher vectors, with statistics fitted on generated images.

    The model holds a frozen float32 copy of the discriminator, so that its statistics stay valid
    while a GAN continues training in any precision.

    Args:
        discriminator: a built Keras model; see `PerExampleGradients`.
        stride: keeps every k-th coordinate in `call` and `transform`; 1 keeps all.
        projection: then folds the coordinates into this many numbers by random signs and buckets (a
            count sketch, which preserves inner products in expectation); None: no projection.
        normalise: then scales each vector to length 1.
        official: adds the official code's constants, `OFFICIAL_EPSILON` to the deviations in
            vectors and `OFFICIAL_SET_EPSILON` to the variances in distances, and masks nothing;
            otherwise 1e-6 of the mean deviation is added, and dead coordinates are masked.
        memory: maximum bytes for a chunk of images.
        parameters: which of the discriminator's `weights` to use: positions, or patterns of their
            paths (`"conv5*/kernel"`, by `fnmatch`); default: those that are trainable now.
        copy: False uses the discriminator itself, with its own dtype policy, and freezes it.
        fold_first: folds the gradients themselves, layer by layer, before they are centred and
            whitened. Then no vectors of P numbers are held, for networks with many millions of
            parameters; the `projection`'s coordinates are whitened, and P below is their number.
        **keywords: `name`, ...

    Input: [B, S, S, C] in [-1, 1]. Output: [B, features] float32.

    Raises:
        ValueError: an argument is out of range, or the discriminator has no per-example gradients.
    """

    @only_on("tensorflow", why="which takes per-example gradients on TensorFlow's tapes")
    def __init__(
        self,
        discriminator: keras.Model,
        stride: Count = 1,
        projection: Count | None = None,
        normalise: bool = False,
        official: bool = False,
        memory: Count = MEMORY,
        parameters: Sequence[int | str] | str | None = None,
        copy: bool = True,
        fold_first: bool = False,
        **keywords: Any,
    ):
        super().__init__(**keywords | {"dtype": "float32"})
        if fold_first and (projection is None or stride > 1):
            raise ValueError("fold_first=True: needs a projection, and stride=1")
        parameters = _positions(discriminator, parameters)
        self.stride, self.projection, self.normalise = stride, projection, normalise
        self.official, self.memory, self.parameters = official, memory, parameters
        self.fold_first = fold_first
        self.discriminator = copied(discriminator) if copy else discriminator
        given = self.arguments  # a saved file contains the copy
        given.discriminator, given.parameters, given.copy = self.discriminator, parameters, False
        weights = self.discriminator.weights
        self.gradients = PerExampleGradients(
            self.discriminator,
            [weights[i] for i in self.parameters],
            memory,
            sketched=projection if fold_first else None,
        )
        self.discriminator.trainable = False
        size = (self.gradients.parameters,)
        self.mean = self.add_weight(size, "zeros", trainable=False, name="mean")
        self.m2 = self.add_weight(size, "zeros", trainable=False, name="m2")
        self.count = self.add_weight((), "zeros", trainable=False, name="count")
        self._vectors = compiled(self.call, self.gradients.shape)
        self.built = True

    @property
    def features(self) -> int:
        """Length of the results of `call` and `transform`."""
        return self.projection or -(-self.size // self.stride)

    @property
    def moments(self) -> Moments:
        """The statistics so far."""
        mean, m2 = (v.numpy().astype(np.float64) for v in (self.mean, self.m2))
        return Moments(int(self.count.numpy()), mean, m2)

    def update(self, images: Tensor) -> None:
        """Adds generated images [N, S, S, C] to the statistics, in chunks."""
        self._set(self.moments.merged(self._moments_of(images)))

    def merge(self, other: FisherVectorizer) -> None:
        """Adds the statistics of another vectorizer of the same discriminator, e.g. a worker's.

        Raises:
            ValueError: the discriminators differ.
        """
        mine, theirs = (v.discriminator.get_weights() for v in (self, other))
        same = len(mine) == len(theirs) and all(map(np.array_equal, mine, theirs))
        if not same or self.size != other.size:
            raise ValueError("merge: the other vectorizer must have the same discriminator")
        self._set(self.moments.merged(other.moments))

    def adapt(self, generated: Tensor | Iterable[Tensor], reset: bool = True) -> FisherVectorizer:
        """Fits the statistics.

        Args:
            generated: images [N, S, S, C], or an iterable of batches of them.
            reset: whether to discard earlier statistics.

        Raises:
            ValueError: fewer than 16 images in total, all coordinates are dead, as when the
                discriminator saturates, or the gradients differ from those of tapes.
        """
        moments = Moments.empty(self.size) if reset else self.moments
        whole = ops.is_tensor(generated) or isinstance(generated, np.ndarray)
        batches: Iterable[Tensor] = [generated] if whole else generated
        checked = False
        for batch in batches:
            if not checked:  # also on the kind of inputs that the network is meant for
                self._check_gradients(batch)
                checked = True
            moments = moments.merged(self._moments_of(batch))
        self._set(moments)
        self._check_fitted()
        return self

    def adapt_to(
        self, sample: Callable[[int], Tensor], samples: int = 1024, batch: int = 64
    ) -> FisherVectorizer:
        """Fits the statistics on `samples` images from `sample(n)`, `batch` at a time."""
        sizes = [min(batch, samples - at) for at in range(0, samples, batch)]
        return self.adapt(sample(n) for n in sizes)

    def load_discriminator(self, discriminator: keras.Model) -> None:
        """Loads other weights of the same discriminator; discards the statistics."""
        self.discriminator.set_weights(discriminator.get_weights())
        self._set(Moments.empty(self.size))

    def _check_gradients(self, images: Tensor) -> None:
        """See `PerExampleGradients.check`."""
        if not self.gradients.check(next(self.gradients.chunks(images[:2]))):
            self._vectors = compiled(self.call, self.gradients.shape)

    def _moments_of(self, images: Tensor) -> Moments:
        moments = Moments.empty(self.size)
        for chunk in self.gradients.chunks(images):
            moments = moments.merged(Moments.of(np.asarray(self.gradients(chunk))))
        return moments

    def _set(self, moments: Moments) -> None:
        self.mean.assign(moments.mean.astype("float32"))
        self.m2.assign(moments.m2.astype("float32"))
        self.count.assign(float(moments.count))

    def deviation(self) -> Tensor:
        """sigma, [P]: the standard deviations of generated images' gradients."""
        return ops.sqrt(self.m2.value / ops.maximum(self.count.value, 1.0))

    def alive(self) -> Tensor:
        """Which coordinates vary over generated images beyond rounding, [P]."""
        sigma = self.deviation()
        varies = sigma > ops.maximum(DEAD * ops.mean(sigma), 1e-30)
        return varies & (sigma > ROUNDING * ops.abs(self.mean.value))

    def whitening(self) -> Tensor:
        """The factors of centred gradients, [P]: 1 / (sigma + eps), 0 where dead."""
        sigma = self.deviation()
        if self.official:
            return 1 / (sigma + OFFICIAL_EPSILON)
        alive, eps = self.alive(), 1e-6 * ops.mean(sigma)
        return ops.where(alive, 1 / ops.where(alive, sigma + eps, 1.0), 0.0)

    def set_whitening(self) -> Tensor:
        """The factors of means over sets, whose squared lengths are distances, [P]."""
        if self.official:
            return ops.rsqrt(ops.square(self.deviation()) + OFFICIAL_SET_EPSILON)
        return self.whitening()

    def normal(self) -> Tensor:
        """TFP's diagonal normal with the statistics of the live coordinates.

        `(g - loc) / scale_diag` gives the Fisher vectors, and its log-density tells how similar a
        gradient is to a generated image's.
        """
        import tensorflow_probability as tfp

        self._check_fitted()
        alive = ops.convert_to_numpy(self.alive())
        loc, scale = self.mean.numpy()[alive], ops.convert_to_numpy(self.deviation())[alive]
        return tfp.distributions.MultivariateNormalDiag(loc, scale)

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        """[B, S, S, C] -> [B, features], in one piece."""
        g = self.gradients.flat(ops.cast(images, "float32"))
        return self.reduced((g - self.mean.value) * self.whitening())

    def reduced(self, v: Tensor) -> Tensor:
        """Applies stride, projection and normalisation: [B, P] -> [B, features]."""
        v = v[:, :: self.stride] if self.stride > 1 else v
        if self.projection and not self.fold_first:
            v = sketch(v, self.projection)
        if not self.normalise:
            return v
        return v * ops.rsqrt(ops.maximum(ops.sum(ops.square(v), -1, keepdims=True), 1e-24))

    def score(self, images: Tensor) -> Tensor:
        """U(x) = g(x) - mu: [N, S, S, C] -> [N, P]."""
        self._check_fitted()
        return self.gradients(images) - self.mean.value

    def vector(self, images: Tensor) -> Tensor:
        """V(x) of all coordinates: [N, S, S, C] -> [N, P], in chunks."""
        return self.score(images) * self.whitening()

    def transform(self, images: Tensor) -> np.ndarray:
        """The result of `call`, [N, S, S, C] -> [N, features], in chunks, for scikit-learn."""
        self._check_fitted()
        return np.concatenate([np.asarray(self._vectors(c)) for c in self.gradients.chunks(images)])

    def _check_fitted(self) -> None:
        count = int(self.count.numpy())
        if count < LEAST:
            raise ValueError(
                f"statistics of {count} generated images: must be at least {LEAST}; call adapt"
            )
        if self.dead == self.size:
            raise ValueError(
                f"all {self.size} coordinates are dead: the gradients of generated images do not "
                "vary, as when the discriminator's sigmoid saturates"
            )

    def input_specs(self) -> list[keras.InputSpec]:
        """Images as the discriminator's inputs."""
        return [keras.InputSpec("float32", (None, *self.gradients.shape))]

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.features)


def _positions(model: keras.Model, parameters: Sequence[int | str] | str | None) -> list[int]:
    """Positions among a model's weights; see `FisherVectorizer`.

    Raises:
        ValueError: there are none, or a pattern matches no weight.
    """
    if parameters is None:
        chosen = {id(v) for v in model.trainable_variables}
        positions = [i for i, w in enumerate(model.weights) if id(w) in chosen]
        if not positions:
            raise ValueError(f"model {model.name!r}: has no trainable variables")
        return positions
    if not parameters:
        raise ValueError(f"parameters={parameters!r}: must be at least one")
    positions = []
    for one in [parameters] if isinstance(parameters, str) else parameters:
        fits = [one] if isinstance(one, int) else _fitting(model, one)
        if not fits:
            paths = [w.path for w in model.trainable_variables]
            raise ValueError(
                f"parameters={one!r}: matches no weight; they are {', '.join(paths[:8])}"
                + (", ..." if len(paths) > 8 else "")
            )
        positions += [i for i in fits if i not in positions]
    return positions


def _fitting(model: keras.Model, pattern: str) -> list[int]:
    trainable = {id(v) for v in model.trainable_variables}
    return [
        i
        for i, w in enumerate(model.weights)
        if id(w) in trainable and fnmatch.fnmatchcase(w.path, pattern)
    ]

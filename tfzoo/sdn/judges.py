"""Networks that evaluate sets independently: which shape or identity they show.

Both are trained on images of the training sets only, as in the paper's evaluation; the paper's
networks are unknown to us. A verification network that has seen nothing but real images accepts
noise with a hint of a stroke, so one that judges images also learns to reject corrupted ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from tfzoo.errors import InputError

VOXELS = 8
"""Side of the grid predicted by `make_voxel_net`."""


def make_voxel_net(
    image_size: int, channels: int = 1, width: int = 256, mean: float = 127.5, std: float = 127.5
) -> keras.Model:
    """A network of stock Keras layers from views of a shape to its occupancy.

    Each view passes through `width` and `width / 2` units, followed by the maximum over views,
    `width` units, and the logits of the grid.

    Args:
        image_size: side S of the images.
        channels: number of channels C.
        width: see above.
        mean: subtracted from raw pixels.
        std: divisor of the result.

    Returns:
        [B, n, S, S, C] of raw pixels, any n -> logits [B, 8, 8, 8].
    """
    inputs = keras.Input((None, image_size, image_size, channels), name="images")
    x = layers.Rescaling(1 / std, -mean / std)(inputs)
    x = layers.Reshape((-1, image_size * image_size * channels))(x)
    x = layers.Dense(width, "relu", name="view_0")(x)
    x = layers.Dense(width // 2, "relu", name="view_1")(x)
    x = layers.GlobalMaxPooling1D(name="views")(x)
    x = layers.Dense(width, "relu", name="shape_0")(x)
    x = layers.Dense(VOXELS**3, name="shape_1")(x)
    return keras.Model(inputs, layers.Reshape((VOXELS,) * 3, name="logits")(x), name="voxel_net")


def coarse(voxels: np.ndarray, side: int = VOXELS) -> np.ndarray:
    """Downsamples voxels [M, s, s, s] to [M, side, side, side]: occupied if any voxel inside is.

    Raises:
        ValueError: s is not a multiple of `side`.
    """
    m, s = voxels.shape[:2]
    if s % side:
        raise ValueError(f"voxels: side {s}, must be a multiple of {side}")
    f = s // side
    return voxels.reshape(m, side, f, side, f, side, f).max((2, 4, 6)).astype(bool)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of occupancies [M, ...], one number each; 1 for two empty ones."""
    a, b = (np.asarray(x, bool).reshape(len(x), -1) for x in (a, b))
    union = (a | b).sum(1)
    return np.where(union, (a & b).sum(1) / np.maximum(union, 1), 1.0)


def occupancy(net: keras.Model, images: np.ndarray) -> np.ndarray:
    """The network's predictions for sets of raw pixels, bool [M, 8, 8, 8]."""
    return net.predict(images, batch_size=64, verbose=0) > 0


def make_verifier(
    image_size: int,
    channels: int,
    identities: int,
    width: int = 16,
    dim: int = 32,
    mean: float = 127.5,
    std: float = 127.5,
) -> tuple[keras.Model, keras.Model]:
    """An image embedding, and the classifier of training identities that trains it.

    Three convolutions, an embedding of unit length, cosine logits over 0.05 (arXiv:1811.12649).

    Args:
        image_size: side S of the images.
        channels: number of channels C.
        identities: number of identities in the training sets.
        width: width of the first convolution; the others have 2 and 4 times that.
        dim: size of the embedding.
        mean: subtracted from raw pixels.
        std: divisor of the result.

    Returns:
        [B, S, S, C] of raw pixels -> [B, dim]; the same -> logits [B, identities].
    """
    inputs = keras.Input((image_size, image_size, channels), name="images")
    x = layers.Rescaling(1 / std, -mean / std)(inputs)
    for i in range(3):
        x = layers.Conv2D(width * 2**i, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.Dense(dim, name="embedding")(layers.Flatten()(x))
    x = layers.UnitNormalization(name="unit")(x)
    embed = keras.Model(inputs, x, name="verifier")
    unit = keras.constraints.UnitNorm(axis=0)
    x = layers.Dense(identities, use_bias=False, kernel_constraint=unit, name="proxies")(x)
    return embed, keras.Model(inputs, layers.Rescaling(20.0, name="logits")(x))


def image_embeddings(net: keras.Model, images: np.ndarray) -> np.ndarray:
    """Embeddings of the images of sets, [M, n, S, S, C] of raw pixels -> [M n, dim]."""
    return net.predict(images.reshape(-1, *images.shape[2:]), batch_size=512, verbose=0)


def set_embeddings(net: keras.Model, images: np.ndarray) -> np.ndarray:
    """Unit-length means of a set's embeddings, [M, n, S, S, C] of raw pixels -> [M, dim]."""
    embeddings = image_embeddings(net, images).reshape(*images.shape[:2], -1).mean(1)
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)


def verification(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """How well rows i of a and b are recognised as one set: AUC, and the ROC's two rates.

    Args:
        a: [M, k]; a pair's score is the product of its rows.
        b: [M, k]; all pairs i != j count as different.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    scores = a @ b.T
    same = np.eye(len(a), dtype=bool)
    truth, score = same.reshape(-1), scores.reshape(-1)
    false, true, _ = roc_curve(truth, score)
    return float(roc_auc_score(truth, score)), false, true


def retrieval(a: np.ndarray, b: np.ndarray) -> float:
    """Fraction of rows i of a whose largest product is with row i of b; ties count as misses."""
    scores = a @ b.T
    own = np.diagonal(scores).copy()
    np.fill_diagonal(scores, -np.inf)
    return float(np.mean(own > scores.max(1)))


def halves(images: np.ndarray, n: int) -> Sequence[np.ndarray]:
    """The first n images of each set, and the next n."""
    return images[:, :n], images[:, n : 2 * n]


def stroke_iou(drawn: np.ndarray, real: np.ndarray, ink: float = 127.5) -> float:
    """The mean, over drawings, of the greatest intersection over union with a real drawing's ink.

    Args:
        drawn: raw pixels [M, n, S, S, C].
        real: raw pixels [M, k, S, S, C], the drawings that row i of `drawn` is compared with.
        ink: pixels above it are ink; a drawing without ink has 0.

    Raises:
        InputError: other shapes.
    """
    _check_sets(drawn, real)
    a, b = (_rows(np.asarray(x) > ink) for x in (drawn, real))
    both = a @ b.swapaxes(1, 2)  # [M, n, k]
    union = a.sum(2)[:, :, None] + b.sum(2)[:, None] - both
    return float((both / np.maximum(union, 1)).max(2).mean())


def background(drawn: np.ndarray, real: np.ndarray, ink: float = 127.5) -> float:
    """The deviation of `drawn` where no real drawing of its set has ink within a pixel.

    In units of twice `ink`, the pixels' range; sets that cover the whole image do not count.

    Args:
        drawn: raw pixels [M, n, S, S, C].
        real: raw pixels [M, k, S, S, C].
        ink: see `stroke_iou`.

    Raises:
        InputError: other shapes, or no background in any set.
    """
    from scipy import ndimage

    _check_sets(drawn, real)
    near = ndimage.binary_dilation((np.asarray(real) > ink).any(1), np.ones((1, 3, 3, 1)))
    pixels = [x[:, ~covered] for x, covered in zip(drawn, near, strict=True) if not covered.all()]
    if not pixels:
        raise InputError(f"ink={ink}: no set has a background, must be above some pixels")
    return float(np.mean([x.std() for x in pixels]) / (2 * ink))


def kid(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased squared MMD of features [N, d], [M, d] under (x.y / d + 1)^3 (1801.01401).

    Rows are scaled by the root of d, as unit vectors would make the kernel nearly constant. About
    0, and negative half the time, for two draws of one distribution.

    Raises:
        InputError: fewer than two rows, or different widths.
    """
    if min(len(x), len(y)) < 2 or x.shape[1] != y.shape[1]:
        raise InputError(
            f"features: shapes {list(x.shape)}, {list(y.shape)}, must be two rows or more, of "
            "equal width"
        )
    x, y = (np.asarray(a, "float64") for a in (x, y))  # d of the kernel and of the scale cancel
    across = lambda a, b: (a @ b.T + 1) ** 3  # noqa: E731
    inner = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in map(across, (x, y), (x, y))]
    return float(sum(inner) - 2 * across(x, y).mean())


def _rows(sets: np.ndarray) -> np.ndarray:
    return sets.reshape(*sets.shape[:2], -1).astype("float32")


def _check_sets(drawn: np.ndarray, real: np.ndarray) -> None:
    a, b = np.shape(drawn), np.shape(real)
    if len(a) != 5 or len(b) != 5 or (a[0], a[2:]) != (b[0], b[2:]) or 0 in (*a, *b):
        raise InputError(f"drawn: shape {list(a)}, must be [M, n, S, S, C] as real, {list(b)}")

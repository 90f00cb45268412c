"""Networks that evaluate sets independently: which shape or identity they show.

Both are trained only on real images of the training sets, as in the paper's evaluation; the paper's
networks are unknown to us.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

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


def set_embeddings(net: keras.Model, images: np.ndarray) -> np.ndarray:
    """Unit-length means of a set's embeddings, [M, n, S, S, C] of raw pixels -> [M, dim]."""
    m, n = images.shape[:2]
    flat = images.reshape(m * n, *images.shape[2:])
    embeddings = net.predict(flat, batch_size=512, verbose=0).reshape(m, n, -1).mean(1)
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

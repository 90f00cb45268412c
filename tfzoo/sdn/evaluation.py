"""Evaluates a trained network on unseen sets."""

from __future__ import annotations

import keras
import numpy as np

from tfzoo.sdn import judges
from tfzoo.sdn.codes import hamming
from tfzoo.sdn.corruptions import corrupted
from tfzoo.sdn.model import SetDistributionNetwork


def of_codes(
    model: SetDistributionNetwork, images: np.ndarray, train_codes: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Codes of held-out sets, by the model's own encoder.

    Two disjoint halves of each set are encoded: `code_retrieval` is how often their codes are
    nearest to each other, `code_auc` how well their distances separate same from different
    sets, and `reconstruction_auc` the same for a set and its reconstruction. `novelty` is the
    mean distance of samples of the prior from the nearest training code, `test_novelty` that of
    test codes.

    Args:
        model: a trained model.
        images: raw pixels [M, 2 n, S, S, C], with all images present.
        train_codes: codes of the training sets.
        seed: seed of the generated images.
    """
    a, b = judges.halves(images, images.shape[1] // 2)
    first, second = model.encode(a), model.encode(b)
    again = model.encode(model.decode(first, a.shape[1], seed))
    drawn = model.sample_codes(len(first), seed)
    nearest = lambda codes: float(hamming(codes, train_codes).min(1).mean())  # noqa: E731
    apart = hamming(first, second)
    other = apart[~np.eye(len(apart), dtype=bool)].mean() if len(apart) > 1 else np.nan
    return {
        "code_retrieval": judges.retrieval(first, second),
        "code_auc": judges.verification(first, second)[0],
        "reconstruction_auc": judges.verification(again, first)[0],
        "same_hamming": float(np.diagonal(apart).mean()),
        "different_hamming": float(other),
        "novelty": nearest(drawn),
        "test_novelty": nearest(first),
    } | model.code_stats(a, seed=seed)


def of_shapes(
    model: SetDistributionNetwork,
    net: keras.Model,
    images: np.ndarray,
    voxels: np.ndarray,
    seed: int = 0,
    sizes: tuple[int, ...] = (1, 2, 4, 8),
) -> dict[str, float]:
    """Intersection over union of a 3D network's predictions with the truth.

    `iou_real` is for real views, `iou_reconstructed` for views reconstructed from their code, each
    also compared with the truth of another shape (`_shuffled`); `iou_from_k` for reconstructions
    from k views. For free samples, `sample_consistency` is between two halves of a sampled set,
    `sample_cross` between halves of different sets, and `real_consistency` between halves of real
    sets.

    Args:
        model: a trained model.
        net: a network from `make_voxel_net`, trained on real views of the training shapes.
        images: raw pixels [M, n, S, S, C].
        voxels: bool [M, 8, 8, 8], see `coarse`.
        seed: seed of the generated images.
        sizes: values of k, up to n.
    """
    truth, n = np.asarray(voxels, bool), min(8, images.shape[1])
    other = np.roll(truth, 1, 0)
    seen = lambda x: judges.occupancy(net, x)  # noqa: E731
    rebuilt = seen(model.reconstruct(images[:, :n], n, seed=seed))
    real = seen(images[:, :n])
    metrics = {
        "iou_real": judges.iou(real, truth).mean(),
        "iou_real_shuffled": judges.iou(real, other).mean(),
        "iou_reconstructed": judges.iou(rebuilt, truth).mean(),
        "iou_reconstructed_shuffled": judges.iou(rebuilt, other).mean(),
    }
    for k in (k for k in sizes if k <= n):
        drawn = model.reconstruct(images[:, :k], n, seed=seed)
        metrics[f"iou_from_{k}"] = judges.iou(seen(drawn), truth).mean()
    drawn = model.generate(len(truth), n, seed)
    metrics |= _halves(net, drawn, "sample") | _halves(net, images[:, :n], "real")
    return {name: float(value) for name, value in metrics.items()}


def of_identities(
    model: SetDistributionNetwork, net: keras.Model, images: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Areas under ROC: does a verification network recognise the identity of rebuilt sets?

    `verify_real` is for two halves of a real set, `verify_reconstructed` for one half and the other
    half's reconstruction, `verify_sampled` for two halves of a sampled set.

    Args:
        model: a trained model.
        net: a network from `make_verifier`, trained on the training identities.
        images: raw pixels [M, 2 n, S, S, C].
        seed: seed of the generated images.
    """
    a, b = judges.halves(images, images.shape[1] // 2)
    embed = lambda x: judges.set_embeddings(net, x)  # noqa: E731
    rebuilt = embed(model.reconstruct(a, seed=seed))
    x, y = judges.halves(model.generate(len(a), 2 * a.shape[1], seed), a.shape[1])
    real = embed(b)
    return {
        "verify_real": judges.verification(embed(a), real)[0],
        "verify_reconstructed": judges.verification(rebuilt, real)[0],
        "verify_sampled": judges.verification(embed(x), embed(y))[0],
    }


CONTROLS = ("noisy", "blurred", "shuffled", "smeared")
"""Corruptions of real images whose figures are printed beside those of the reconstructions."""

IMAGES = 2000
"""Maximum number of images in a kernel distance."""


def of_drawings(
    model: SetDistributionNetwork, net: keras.Model, images: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Are rebuilt drawings legible? By a judge that knows corrupted images, and without a network.

    Rebuilt from one half of a set and compared with the other half: `judge_NAME` is an area under
    ROC as in `of_identities`, for `reconstructed` sets, and as controls for the `real` half, its
    `mean` image and its corruptions `CONTROLS`. `kid_reconstructed` and `kid_sampled` are distances
    of images from real ones in the judge's embeddings, `kid_floor` that of real halves. Compared
    with the encoded half itself: `stroke_iou`, that of the other half (`_real`) and of the mean
    image (`_mean`); and the deviation of the `background`, also that of the other half.

    Args:
        model: a trained model.
        net: a network from `make_verifier`, trained with corrupted images.
        images: raw pixels [M, 2 n, S, S, C] of bright drawings on a dark ground, 0 to 255.
        seed: seed of the generated images.
    """
    a, b = judges.halves(images, images.shape[1] // 2)
    flat = a.reshape(-1, *a.shape[2:])
    rebuilt = model.reconstruct(a, seed=seed)
    mean = np.repeat(a.mean(1, keepdims=True), a.shape[1], 1)
    shown = {"real": a, "reconstructed": rebuilt, "mean": mean} | {
        kind: corrupted(flat, seed, kind).reshape(a.shape) for kind in CONTROLS
    }
    real = judges.set_embeddings(net, b)
    metrics = {
        f"judge_{name}": judges.verification(judges.set_embeddings(net, x), real)[0]
        for name, x in shown.items()
    }
    for end, x in (("", rebuilt), ("_real", b), ("_mean", mean)):
        metrics[f"stroke_iou{end}"] = judges.stroke_iou(x, a)
        metrics[f"background{end}"] = judges.background(x, a)
    # what a claim compares the other figure with
    metrics["stroke_iou_twice"] = 2 * metrics["stroke_iou"]
    metrics["background_real_twice"] = 2 * metrics["background_real"]
    rows = np.random.default_rng(seed).permutation(len(flat))[:IMAGES]
    embed = lambda x: judges.image_embeddings(net, x)[rows]  # noqa: E731
    reals = embed(b)
    drawn = model.generate(len(a), a.shape[1], seed)
    for name, x in (("reconstructed", rebuilt), ("sampled", drawn), ("floor", a)):
        metrics[f"kid_{name}"] = judges.kid(embed(x), reals)
    return metrics


def _halves(net: keras.Model, images: np.ndarray, name: str) -> dict[str, float]:
    half = images.shape[1] // 2
    a, b = (judges.occupancy(net, x) for x in judges.halves(images, half))
    cross = judges.iou(a, np.roll(b, 1, 0)).mean()
    return {f"{name}_consistency": judges.iou(a, b).mean(), f"{name}_cross": cross}

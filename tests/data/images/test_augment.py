"""Augmentation: the effect of each function, and its dependence on the seed."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.images import augment, transforms
from tfzoo.data.images.randaugment import OPERATIONS

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 24, 3), np.uint8)


def seeds(count):
    return [tf.constant([i, 7]) for i in range(count)]


@pytest.mark.parametrize(
    "function",
    [
        augment.flip,
        augment.shift_values,
        lambda x, seed: augment.random_resized_crop(x, seed, 8),
        augment.rand_augment,
        lambda x, seed: augment.random_erasing(tf.cast(x, tf.float32), seed),
    ],
)
def test_the_seed_decides(function):
    compiled = tf.function(function)
    images = [compiled(tf.constant(IMAGE), seed).numpy() for seed in seeds(12)]
    again = [function(tf.constant(IMAGE), seed).numpy() for seed in seeds(12)]
    np.testing.assert_allclose(images, again, atol=1)  # a graph may round differently
    assert (images[0] == compiled(tf.constant(IMAGE), seeds(1)[0]).numpy()).all()
    assert len({f.tobytes() for f in images}) > 1


def test_flip():
    images = [augment.flip(tf.constant(IMAGE), s).numpy() for s in seeds(60)]
    kept = sum((f == IMAGE).all() for f in images)
    mirrored = sum((f == IMAGE[:, ::-1]).all() for f in images)
    assert kept + mirrored == 60 and 15 < kept < 45


def test_shift_values():
    shifts = set()
    for seed in seeds(200):
        shifted = augment.shift_values(tf.constant(IMAGE), seed).numpy().astype(int)
        inner = (IMAGE > 10) & (IMAGE < 245)
        shift = (shifted - IMAGE)[inner]
        assert (shift == shift[0]).all()  # one draw for all values
        assert (shifted == np.clip(IMAGE.astype(int) + shift[0], 0, 255)).all()
        shifts.add(int(shift[0]))
    assert shifts == set(range(-10, 11))


def test_random_resized_crop():
    ramp = np.stack(np.broadcast_arrays(*np.indices((40, 60)), 0), -1).astype(np.float32)
    spans = []
    for seed in seeds(50):
        crop = augment.random_resized_crop(tf.constant(ramp), seed, 16)
        assert crop.shape == (16, 16, 3)
        rows, columns = np.ptp(crop[..., 0]) * 16 / 15, np.ptp(crop[..., 1]) * 16 / 15
        assert 0.07 < rows * columns / 2400 < 1.05
        assert 0.6 < columns / rows < 1.6
        spans.append(rows)
    assert np.ptp(spans) > 10
    tall = tf.zeros([100, 5, 3], tf.uint8)  # nothing fits: the largest central part is used
    assert augment.random_resized_crop(tall, seeds(1)[0], 4, scale=(0.9, 1.0)).dtype == tf.uint8
    whole = augment.random_resized_crop(
        tf.constant(IMAGE[:20, :20]), seeds(1)[0], 20, (1, 1), (1, 1)
    )
    np.testing.assert_array_equal(whole, IMAGE[:20, :20])


def test_center_crop():
    image = tf.constant(np.pad(np.full((14, 14, 3), 9, np.uint8), ((1, 1), (5, 5), (0, 0))))
    crop = augment.center_crop(image, 14)
    assert crop.shape == (14, 14, 3) and (crop.numpy() == 9).all()
    assert augment.center_crop(tf.zeros([30, 50, 1]), 8).shape == (8, 8, 1)


def test_normalize():
    normalized = augment.normalize(tf.constant(IMAGE))
    expected = (IMAGE / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(normalized, expected, rtol=1e-5, atol=1e-5)


def test_random_erasing():
    image = np.full((20, 24, 3), 9.0, np.float32)
    erased = 0
    for seed in seeds(80):
        changed = (augment.random_erasing(tf.constant(image), seed).numpy() != 9).all(-1)
        if not changed.any():
            continue
        erased += 1
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert changed.sum() == np.ptp(rows) * np.ptp(columns) + np.ptp(rows) + np.ptp(columns) + 1
        assert 0.01 < changed.mean() < 0.37
    assert 8 < erased < 34


IMAGES = RNG.normal(size=(6, 8, 8, 3)).astype(np.float32)
LABELS = np.eye(6, dtype=np.float32)


def test_mixup():
    shares = []
    for seed in seeds(200):
        x, y = (t.numpy() for t in augment.mixup(tf.constant(IMAGES), tf.constant(LABELS), seed))
        share = y[0, 0]
        np.testing.assert_allclose(x, share * IMAGES + (1 - share) * IMAGES[::-1], atol=1e-5)
        np.testing.assert_allclose(y.sum(1), 1, rtol=1e-5)
        shares.append(share)
    assert abs(np.mean(shares) - 0.5) < 0.08
    np.testing.assert_allclose(np.var(shares), 1 / (4 * (2 * 0.8 + 1)), rtol=0.25)  # Beta's mean


def test_cutmix():
    kept = []
    for seed in seeds(200):
        x, y = (t.numpy() for t in augment.cutmix(tf.constant(IMAGES), tf.constant(LABELS), seed))
        own, other = (x == IMAGES).all(-1), (x == IMAGES[::-1]).all(-1)
        assert (own | other).all() and (own == own[0]).all()
        np.testing.assert_allclose(y[0, 0], own[0].mean(), atol=1e-6)
        np.testing.assert_allclose(y.sum(1), 1, rtol=1e-5)
        kept.append(own[0].mean())
    assert np.min(kept) < 0.3 and np.max(kept) > 0.9


def test_mixup_or_cutmix_does_both():
    batch = tf.constant(IMAGES), tf.constant(LABELS)
    pasted = 0
    for seed in seeds(40):
        x = augment.mixup_or_cutmix(batch, seed)[0].numpy()
        pasted += ((x == IMAGES).all(-1) | (x == IMAGES[::-1]).all(-1)).all()
    assert 8 < pasted < 32
    with pytest.raises(ValueError, match="labels: must be float"):
        augment.mixup(batch[0], tf.range(6), seeds(1)[0])
    with pytest.raises(ValueError, match="images: must be float"):
        augment.cutmix(tf.cast(batch[0], tf.uint8), batch[1], seeds(1)[0])


def pillow(name, image, level):
    """The operation in Pillow."""
    from PIL import Image, ImageEnhance, ImageOps

    size, bilinear = image.size, Image.Resampling.BILINEAR

    def affine(*matrix):
        moved = image.transform(size, Image.Transform.AFFINE, matrix, bilinear)
        return np.asarray(moved)

    return {
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "invert": lambda: ImageOps.invert(image),
        "rotate": lambda: image.rotate(30 * level, bilinear),
        "posterize": lambda: ImageOps.posterize(image, 4 - int(4 * level)),
        "solarize": lambda: ImageOps.solarize(image, 256 - int(256 * level)),
        "solarize_add": lambda: image.point(
            lambda v: min(v + int(110 * level), 255) if v < 128 else v
        ),
        "color": lambda: ImageEnhance.Color(image).enhance(1 + 0.9 * level),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(1 + 0.9 * level),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(1 + 0.9 * level),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * level),
        "shear_x": lambda: affine(1, 0.3 * level, 0, 0, 1, 0),
        "shear_y": lambda: affine(1, 0, 0, 0.3 * level, 1, 0),
        "translate_x": lambda: affine(1, 0, 0.45 * level * size[0], 0, 1, 0),
        "translate_y": lambda: affine(1, 0, 0, 0, 1, 0.45 * level * size[1]),
    }[name]()


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_pillows(name):
    image = pytest.importorskip("PIL.Image")
    ramp = np.indices((32, 40)).sum(0)[..., None] * [2, 3, 1] + 20
    source = np.clip(ramp + RNG.normal(size=(32, 40, 3)), 9, 250).astype(np.uint8)
    for level in (0.25, 0.75):
        expected = np.asarray(pillow(name, image.fromarray(source), level)).astype(float)
        changed = OPERATIONS[name](tf.constant(source, tf.float32), level, level)
        difference = np.abs(np.clip(np.round(changed), 0, 255) - expected).max(-1)
        if name.startswith(("rotate", "shear", "translate")):
            seen = expected.any(-1)  # Pillow fills with black what is uncovered ...
            assert 0.3 < seen.mean() < 1
            assert (difference[seen] <= 1).mean() > 0.93  # ... and does not blend edges with it
        else:
            assert (difference <= 1).all()


def test_rand_augment_strength_and_range():
    images = [augment.rand_augment(tf.constant(IMAGE), s).numpy() for s in seeds(40)]
    assert all(f.dtype == np.uint8 and f.shape == IMAGE.shape for f in images)
    unchanged = sum((f == IMAGE).all() for f in images)
    assert 2 <= unchanged <= 20  # both operations skipped: one in four
    off = augment.rand_augment(tf.constant(IMAGE), seeds(1)[0], probability=0.0)
    np.testing.assert_array_equal(off, IMAGE)
    with pytest.raises(ValueError, match="uint8"):
        augment.rand_augment(tf.zeros([4, 4, 1], tf.uint8), seeds(1)[0])


def test_images_as_classifiers_want_them():
    small = tf.constant(IMAGE[:8, :8])
    assert transforms.to_size(small, 8).dtype == tf.float32
    assert transforms.to_size(tf.constant(IMAGE), 6).shape == (6, 6, 3)
    moves = set()
    for seed in seeds(80):
        shifted = transforms.shift(small, seed, 1).numpy()
        assert shifted.shape == (8, 8, 3)
        padded = np.pad(IMAGE[:8, :8], ((1, 1), (1, 1), (0, 0)), "edge")
        places = [(y, x) for y in range(3) for x in range(3)]
        moves |= {p for p in places if (padded[p[0] : p[0] + 8, p[1] : p[1] + 8] == shifted).all()}
    assert len(moves) == 9


def test_deit_augmentation_stays_near_raw_pixels():
    for seed in seeds(5):
        augmented = transforms.deit(
            tf.constant(IMAGE), seed, 16, augment.IMAGENET_MEAN, augment.IMAGENET_STD
        )
        assert augmented.shape == (16, 16, 3) and augmented.dtype == tf.float32
        assert augmented.numpy().min() > -500 and augmented.numpy().max() < 750


def test_padded_crop_is_a_window_of_the_padded_image():
    small = tf.constant(IMAGE[:8, :8])
    padded, places = np.pad(IMAGE[:8, :8], ((2, 2), (2, 2), (0, 0))), set()
    for seed in seeds(200):
        crop = transforms.padded_crop(small, seed, 2).numpy()
        corners = [(y, x) for y in range(5) for x in range(5)]
        places |= {c for c in corners if (padded[c[0] : c[0] + 8, c[1] : c[1] + 8] == crop).all()}
    assert len(places) == 25


def test_color_jitter():
    image = tf.cast(IMAGE, tf.float32)
    np.testing.assert_allclose(transforms.color_jitter(image, seeds(1)[0], 0.0), image, atol=1e-3)
    gray = tf.constant(np.full((4, 4, 3), 100.0, np.float32))
    factors = {float(transforms.color_jitter(gray, s, 0.4)[0, 0, 0]) / 100 for s in seeds(60)}
    # in a plain gray image only the brightness can change
    assert 0.6 - 1e-4 <= min(factors) < 0.7 and 1.3 < max(factors) <= 1.4 + 1e-4
    many = [transforms.color_jitter(image, s, 0.4).numpy() for s in seeds(20)]
    spread = [m.max(-1) - m.min(-1) for m in many]  # saturation
    assert min(s.mean() for s in spread) < np.ptp(IMAGE, -1).mean() < max(s.mean() for s in spread)
    assert all(m.min() >= 0 and m.max() <= 255 for m in many)

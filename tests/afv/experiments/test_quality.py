"""The kernel inception distance: against loops, of equal and of other distributions."""

import numpy as np
import pytest

from tfzoo.afv.experiments import quality
from tfzoo.errors import InputError


def test_kid_is_its_definition():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)) + 1
    k = lambda a, b: (a @ b / 3 + 1) ** 3  # noqa: E731
    within = [
        np.mean([k(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j])
        for a in (x, y)
    ]
    across = np.mean([k(a, b) for a in x for b in y])
    assert quality.kid(x, y) == pytest.approx(sum(within) - 2 * across)
    with pytest.raises(InputError, match="equal in width"):
        quality.kid(x, y[:, :2])


def test_real_images_are_nearer_to_real_ones_than_noise_is():
    from sklearn.datasets import load_digits

    x = load_digits().images[..., None].astype("float32").repeat(2, 1).repeat(2, 2) / 8 - 1
    noise = np.random.default_rng(0).uniform(-1, 1, (200, 16, 16, 1)).astype("float32")
    columns = quality.columns(noise, x[:400])
    assert columns["kid"] > 10 * abs(columns["kid_floor"])

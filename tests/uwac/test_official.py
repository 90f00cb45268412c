"""The official code's tensors: actions and values equal those of an independent reference."""

import numpy as np
import pytest

from tfzoo.errors import InputError
from tfzoo.uwac import from_official

D, A, HIDDEN, UNITS = 5, 2, (7, 6), 8


def snapshot(spectral, seed=0):
    """Random tensors under the official names, with the layers that are never used."""
    rng, tensors = np.random.default_rng(seed), {}

    def linear(name, into, out, norm=False):
        weight = rng.normal(size=(out, into)) / np.sqrt(into)
        tensors[f"{name}.bias"] = rng.normal(size=out) / 4
        tensors[f"{name}.weight{'_orig' if norm else ''}"] = weight
        if norm:
            v = rng.normal(size=into)
            u = weight @ v
            tensors[f"{name}.weight_u"] = u / np.linalg.norm(u)
            tensors[f"{name}.weight_v"] = v / np.linalg.norm(v)

    def perceptron(name, into, out, norm=False):
        for i, width in enumerate(HIDDEN):
            linear(f"{name}.fc{i}", into, width, norm)
            into = width
        linear(f"{name}.last_fc", into, out, norm)

    perceptron("policy", D, A)
    linear("policy.last_fc_log_std", HIDDEN[-1], A)
    for name in ("qf1", "qf2", "target_qf1", "target_qf2"):
        perceptron(name, D + A, 1, spectral)
    sizes = {"e1": (D + A, UNITS), "e2": (UNITS, UNITS), "d1": (D + 2 * A, UNITS)}
    sizes |= {"mean": (UNITS, 2 * A), "log_std": (UNITS, 2 * A), "d2": (UNITS, UNITS)}
    for name, (into, out) in (sizes | {"d3": (UNITS, A)}).items():
        linear(f"vae.{name}", into, out)
    perceptron("vae", D, A)  # inherited there
    return {name: value.astype("float32") for name, value in tensors.items()}


def applied(tensors, name, x):
    weight = tensors.get(f"{name}.weight")
    if weight is None:
        weight = tensors[f"{name}.weight_orig"]
        weight = weight / (tensors[f"{name}.weight_u"] @ weight @ tensors[f"{name}.weight_v"])
    return x @ weight.T + tensors[f"{name}.bias"]


def body(tensors, name, x):
    for i in range(len(HIDDEN)):
        x = np.maximum(applied(tensors, f"{name}.fc{i}", x), 0)
    return x


@pytest.mark.parametrize("spectral", [True, False])
def test_actions_and_values_equal_the_reference(spectral, tmp_path):
    tensors = snapshot(spectral)
    np.savez(tmp_path / "a.npz", **tensors)
    model = from_official(tmp_path / "a.npz")
    assert model.settings.hidden == list(HIDDEN) and model.settings.spectral_norm == spectral
    assert model.settings.weight_fn == "exp" and model.settings.vae_units == UNITS
    rng = np.random.default_rng(1)
    x, a = rng.normal(size=(9, D)).astype("f4"), rng.uniform(-1, 1, (9, A)).astype("f4")
    both = np.concatenate([x, a], 1)
    h = body(tensors, "policy", x)
    mean = applied(tensors, "policy.last_fc", h)
    log_std = np.clip(applied(tensors, "policy.last_fc_log_std", h), -5, 2)
    np.testing.assert_allclose(model(x), np.tanh(mean), atol=1e-5)
    np.testing.assert_allclose(model.actor(x)[1], log_std, atol=1e-5)
    names = {"q1": "qf1", "q2": "qf2", "target_q1": "target_qf1", "target_q2": "target_qf2"}
    for ours, theirs in names.items():
        value = applied(tensors, f"{theirs}.last_fc", body(tensors, theirs, both))[:, 0]
        np.testing.assert_allclose(getattr(model, ours)(both), value, atol=1e-5)
    z = both
    for name in ("e1", "e2"):
        z = np.maximum(applied(tensors, f"vae.{name}", z), 0)
    latent = applied(tensors, "vae.mean", z)
    u = np.concatenate([x, latent], 1)
    for name in ("d1", "d2"):
        u = np.maximum(applied(tensors, f"vae.{name}", u), 0)
    rebuilt, middle, _ = model.vae(both)
    np.testing.assert_allclose(middle, latent, atol=1e-5)
    np.testing.assert_allclose(rebuilt, np.tanh(applied(tensors, "vae.d3", u)), atol=1e-5)


def test_other_tensors_are_refused(tmp_path):
    for change, words in (
        ({"qf2.fc1.weight_orig": None}, "has no qf2.fc1.weight_orig"),
        (
            {"qf1.fc2.bias": np.zeros(3)},
            "has qf1.fc2.bias, must hold only the tensors of the official",
        ),
        ({"policy.fc1.bias": np.zeros(3)}, r"policy.fc1.bias is \[3\], must be \[6\]"),
    ):
        tensors = {k: v for k, v in (snapshot(True) | change).items() if v is not None}
        np.savez(tmp_path / "a.npz", **tensors)
        with pytest.raises(InputError, match=words):
            from_official(tmp_path / "a.npz")

"""The official networks, loaded from state dicts, equal what the official code executes."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.afv import FisherVectorizer, from_official
from tfzoo.errors import InputError

WIDTH, LATENT = 3, 5
CONVS = [
    (f"main.{i}.{part}.conv", 3) for i in range(4) for part in ("conv.1", "conv.3", "shortcut.0")
]
CONVS += [("main.6.conv", 1)]


def discriminator_state(seed=0):
    """Arrays as PyTorch's spectral_norm stores them, u and v of twenty power iterations."""
    rng, state = np.random.default_rng(seed), {}
    for name, size in CONVS:
        inputs = 3 if name in ("main.0.conv.1.conv", "main.0.shortcut.0.conv") else WIDTH
        outputs = 1 if size == 1 else WIDTH
        kernel = 0.5 * rng.normal(size=(outputs, inputs, size, size)).astype("float32")
        matrix, u = kernel.reshape(outputs, -1), rng.normal(size=outputs)
        for _ in range(20):
            v = matrix.T @ u
            v /= np.linalg.norm(v)
            u = matrix @ v
            u /= np.linalg.norm(u)
        state |= {f"{name}.weight_orig": kernel, f"{name}.bias": 0.1 * rng.normal(size=outputs)}
        state |= {f"{name}.weight_u": u, f"{name}.weight_v": v}
    return {k: np.asarray(v, "float32") for k, v in state.items()}


def executed(state, x):
    """What PyTorch computes for [B, 3, 32, 32], including in-place ReLUs."""

    def conv(name, x, size=3):
        kernel, u, v = (state[f"{name}.{k}"] for k in ("weight_orig", "weight_u", "weight_v"))
        sigma = tf.tensordot(u, tf.linalg.matvec(tf.reshape(kernel, (kernel.shape[0], -1)), v), 1)
        kernel = tf.transpose(kernel / sigma, (2, 3, 1, 0))
        y = tf.nn.conv2d(tf.transpose(x, (0, 2, 3, 1)), kernel, 1, "SAME" if size == 3 else "VALID")
        return tf.transpose(y + state[f"{name}.bias"], (0, 3, 1, 2))

    def pooled(x, by):
        b, c, h, w = x.shape
        return tf.reduce_mean(tf.reshape(x, (b, c, h // by, by, w // by, by)), (3, 5))

    for i in range(4):
        if i:
            x = tf.nn.relu(x)  # in place: any later use of x gets this
        y = conv(f"main.{i}.conv.3.conv", tf.nn.relu(conv(f"main.{i}.conv.1.conv", x)))
        y += conv(f"main.{i}.shortcut.0.conv", x)
        x = pooled(y, 2) if i < 2 else y
    return tf.reshape(tf.sigmoid(conv("main.6.conv", pooled(tf.nn.relu(x), 8), 1)), (-1,))


def ours(name, gradient):
    """An official gradient, [out, in, h, w], in our order."""
    return (gradient.transpose(2, 3, 1, 0) if gradient.ndim == 4 else gradient).reshape(-1)


@pytest.mark.slow
def test_outputs_vectors_and_similarity_are_the_official_codes(tmp_path):
    state = discriminator_state()
    np.savez(tmp_path / "netD.npz", **state)
    model = from_official(tmp_path / "netD.npz")
    x = np.random.default_rng(1).uniform(-1, 1, (28, 32, 32, 3)).astype("float32")
    channels_first = x.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(model(x)[:, 0], executed(state, channels_first), atol=1e-6)
    vectorizer = FisherVectorizer(model, official=True).adapt(x[:20])
    order = [f"{name}.{k}" for k in ("weight_orig", "bias") for name, _ in CONVS]
    arrays = {k: tf.Variable(state[k]) for k in order}
    rows = []
    for image in channels_first:
        with tf.GradientTape() as tape:
            y = executed(state | arrays, image[None])
        gradients = tape.gradient(y, [arrays[k] for k in order])
        rows.append(
            dict(
                zip(
                    order,
                    (ours(k, g.numpy()) for k, g in zip(order, gradients, strict=True)),
                    strict=True,
                )
            )
        )
    keys = {"kernel": "weight_orig", "bias": "bias"}
    ends = {"conv_1": "conv.1", "conv_2": "conv.3", "skip": "shortcut.0"}
    names = []
    for v in vectorizer.gradients.variables:
        layer, kind = v.path.split("/")
        if layer == "head":
            names.append(f"main.6.conv.{keys[kind]}")
        else:
            _, i, end = layer.split("_", 2)
            names.append(f"main.{int(i) - 1}.{ends[end]}.conv.{keys[kind]}")
    g = np.stack([np.concatenate([row[n] for n in names]) for row in rows]).astype("float64")
    mean, var = g[:20].mean(0), g[:20].var(0)
    expected = (g[20:] - mean) / (np.sqrt(var) + 1e-6)
    vectors = vectorizer.vector(x[20:]).numpy()
    assert np.abs(vectors - expected).max() <= 1e-4 * np.abs(expected).max()
    distance = np.mean((g[20:].mean(0) - mean) ** 2 / (var + 1e-12))
    assert vectorizer.similarity(x[20:]).distance == pytest.approx(distance, rel=1e-4)


def test_a_generator_and_what_is_no_state():
    rng = np.random.default_rng(0)
    draw = lambda *shape: 0.3 * rng.normal(size=shape)  # noqa: E731
    state = {"main.0.weight": draw(LATENT, WIDTH, 4, 4), "main.0.bias": draw(WIDTH)}
    for name in ("main.4", *(f"main.{i}.conv.{j}" for i in (1, 2, 3) for j in (0, 4))):
        state |= {f"{name}.{k}": draw(WIDTH) for k in ("weight", "bias", "running_mean")}
        state[f"{name}.running_var"] = 1 + np.abs(draw(WIDTH))
    for name in (f"main.{i}.{j}" for i in (1, 2, 3) for j in ("conv.3", "conv.6", "shortcut.1")):
        state |= {f"{name}.weight": draw(WIDTH, WIDTH, 3, 3), f"{name}.bias": draw(WIDTH)}
    state |= {"main.6.weight": draw(3, WIDTH, 3, 3), "main.6.bias": draw(3)}
    model, z = from_official(state), rng.normal(size=(2, LATENT)).astype("float32")
    assert model(z).shape == (2, 32, 32, 3)
    kernel = model.get_layer("g_first").kernel.numpy()
    np.testing.assert_allclose(
        np.einsum("bi,hwoi->bhwo", z, kernel),
        np.einsum("bi,iohw->bhwo", z, state["main.0.weight"]),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    with pytest.raises(InputError, match="neither 'main.0.conv.1.conv.weight_orig' nor"):
        from_official({"conv1.weight": np.ones(3)})
    del state["main.6.bias"]
    with pytest.raises(InputError, match="state: has no 'main.6.bias'"):
        from_official(state)

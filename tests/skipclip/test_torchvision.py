"""torchvision's networks from a state dict: features equal those of an independent reference."""

import keras
import numpy as np
import pytest

from tfzoo.errors import InputError
from tfzoo.skipclip import from_torchvision, make_encoder
from tfzoo.skipclip.torchvision import MEAN, STD

WIDTHS, CLASSES = (4, 6, 8, 10), 5


def state_dict(kind, seed=0):
    """Random tensors with torchvision's names, listed independently of the converter."""
    rng, rows = np.random.default_rng(seed), {}

    def conv(name, out, into, kernel):
        rows[f"{name}.weight"] = rng.normal(size=(out, into, *kernel)) / np.sqrt(
            into * np.prod(kernel)
        )

    def norm(name, width):
        rows[f"{name}.weight"] = rng.uniform(0.5, 1.5, width)
        rows[f"{name}.bias"] = rng.normal(size=width) / 4
        rows[f"{name}.running_mean"] = rng.normal(size=width) / 4
        rows[f"{name}.running_var"] = rng.uniform(0.5, 1.5, width)
        rows[f"{name}.num_batches_tracked"] = np.array(7)

    def cube(name, into, out, between):
        if kind == "r3d_18":
            conv(f"{name}.0", out, into, (3, 3, 3))
        else:
            conv(f"{name}.0.0", between, into, (1, 3, 3))
            norm(f"{name}.0.1", between)
            conv(f"{name}.0.3", out, between, (3, 1, 1))
        norm(f"{name}.1", out)

    if kind == "r3d_18":
        conv("stem.0", WIDTHS[0], 3, (3, 7, 7))
        norm("stem.1", WIDTHS[0])
    else:
        conv("stem.0", 45, 3, (1, 7, 7))
        norm("stem.1", 45)
        conv("stem.3", WIDTHS[0], 45, (3, 1, 1))
        norm("stem.4", WIDTHS[0])
    into = WIDTHS[0]
    for i, out in enumerate(WIDTHS, 1):
        for j in range(2):
            between = (into * out * 27) // (into * 9 + 3 * out)
            cube(f"layer{i}.{j}.conv1", into, out, between)
            cube(f"layer{i}.{j}.conv2", out, out, between)
            if into != out:
                conv(f"layer{i}.{j}.downsample.0", out, into, (1, 1, 1))
                norm(f"layer{i}.{j}.downsample.1", out)
            into = out
    rows["fc.weight"], rows["fc.bias"] = (
        rng.normal(size=(CLASSES, into)),
        rng.normal(size=CLASSES),
    )
    return {k: np.asarray(v, "float32") for k, v in rows.items()}


def reference(state, video):
    """Features and logits in NumPy, as torchvision computes them: [B, 3, T, H, W] normalised."""

    def conv(x, name, strides):
        w = state[f"{name}.weight"].astype("float64")
        pad = [(k // 2, k // 2) for k in w.shape[2:]]
        x = np.pad(x, [(0, 0), (0, 0), *pad])
        windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3, 4))
        windows = windows[:, :, :: strides[0], :: strides[1], :: strides[2]]
        return np.einsum("bcthwijk,ocijk->bothw", windows, w, optimize=True)

    def norm(x, name):
        g, b, m, v = (
            state[f"{name}.{k}"][:, None, None, None]
            for k in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - m) / np.sqrt(v + 1e-5) * g + b

    def relu(x):
        return np.maximum(x, 0)

    def cube(x, name, s):
        if f"{name}.0.weight" in state:
            return norm(conv(x, f"{name}.0", (s, s, s)), f"{name}.1")
        x = relu(norm(conv(x, f"{name}.0.0", (1, s, s)), f"{name}.0.1"))
        return norm(conv(x, f"{name}.0.3", (s, 1, 1)), f"{name}.1")

    x = relu(norm(conv(video, "stem.0", (1, 2, 2)), "stem.1"))
    if "stem.3.weight" in state:
        x = relu(norm(conv(x, "stem.3", (1, 1, 1)), "stem.4"))
    for i in range(1, 5):
        for j in range(2):
            name, s = f"layer{i}.{j}", 2 if i > 1 and j == 0 else 1
            y = cube(relu(cube(x, f"{name}.conv1", s)), f"{name}.conv2", 1)
            if f"{name}.downsample.0.weight" in state:
                x = norm(conv(x, f"{name}.downsample.0", (s, s, s)), f"{name}.downsample.1")
            x = relu(x + y)
    features = x.mean((2, 3, 4))
    return features, features @ state["fc.weight"].T + state["fc.bias"]


def normalised(video):
    return np.moveaxis((video / 255.0 - MEAN) / STD, -1, 1)


@pytest.mark.parametrize("kind", ["r3d_18", "r2plus1d_18"])
def test_features_equal_the_reference(kind, tmp_path):
    state = state_dict(kind)
    np.savez(tmp_path / "a.npz", **state)
    model = from_torchvision(tmp_path / "a.npz")
    video = np.random.default_rng(1).integers(0, 256, (2, 5, 18, 15, 3)).astype("uint8")
    features, logits = reference(state, normalised(video))
    assert features.std() > 0.05
    np.testing.assert_allclose(model.features(video), features, atol=1e-4)
    np.testing.assert_allclose(model(video), logits, atol=1e-4)
    if kind == "r3d_18":
        model.save(tmp_path / "a.keras")
        again = keras.models.load_model(tmp_path / "a.keras")
        np.testing.assert_allclose(again(video), logits, atol=1e-4)


def test_other_tensors_are_refused(tmp_path):
    path, state = tmp_path / "a.npz", state_dict("r3d_18")

    def refused(words, **changes):
        arrays = {k: v for k, v in (state | changes).items() if v is not None}
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=words):
            from_torchvision(path)

    refused("has no layer2.1.conv2.1.weight", **{"layer2.1.conv2.1.weight": None})
    refused("has layer1.2.conv1.0.weight, must hold", **{"layer1.2.conv1.0.weight": np.zeros(3)})
    wrong = {"stem.0.weight": np.zeros((4, 3, 7, 7, 7))}
    refused(r"stem.0.weight is \[4, 3, 7, 7, 7\], must be \[4, 3, 3, 7, 7\]", **wrong)
    refused("stem.1.bias must hold finite", **{"stem.1.bias": np.full(4, np.nan)})
    path.write_bytes(b"no archive")
    with pytest.raises(InputError, match="must be an .npz of plain arrays"):
        from_torchvision(path)
    with pytest.raises(InputError, match="no such file"):
        from_torchvision(tmp_path / "none.npz")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("r3d18", 33_166_272), ("r2plus1d18", 31_300_125)])
def test_the_common_form_has_torchvisions_parameters(kind, count):
    encoder = make_encoder(kind, form="torchvision")
    assert sum(int(np.prod(w.shape)) for w in encoder.trainable_weights) == count


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["r3d_18", "r2plus1d_18"])
def test_features_equal_torchvisions(kind, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    video_models = pytest.importorskip(
        "torchvision.models.video", reason="torchvision is not installed"
    )
    theirs = getattr(video_models, kind)(weights=None).eval()
    state = {k: v.numpy() for k, v in theirs.state_dict().items()}
    np.savez(tmp_path / "a.npz", **state)
    video = np.random.default_rng(1).integers(0, 256, (1, 8, 56, 56, 3)).astype("uint8")
    with torch.no_grad():
        logits = theirs(torch.tensor(normalised(video), dtype=torch.float32)).numpy()
    np.testing.assert_allclose(from_torchvision(tmp_path / "a.npz")(video), logits, atol=1e-4)

"""Sizes that are unknown when a graph is traced are refused when it runs, also under XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from samples import flat
from support import load_module, slow
from tfzoo.aft import AFTClassifier, AFTFull, AFTLanguageModel, AFTLocal, aft_full, aft_local
from tfzoo.recon3d import ViewAggregation
from tfzoo.sdn import SetEncoder
from tfzoo.skipclip import ClipOrder


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def classifier(**options):
    return AFTClassifier(8, 2, 3, 4, 1, channels=1, bias_dim=2, **options)


def clip_order():
    return ClipOrder(load_module("skipclip/cases.py").encoder(), 2, hidden=4)


SET = {"image_size": 4, "code_dim": 4, "width": 6}
QKV = (floats(1, 4, 4),) * 3
CASES = {
    "full": (lambda: AFTFull(8, bias_dim=2), floats(2, 8, 4), floats(2, 9, 4), "max_length=8"),
    "local": (lambda: AFTLocal(8, 3, bias_dim=2), floats(2, 8, 4), floats(2, 9, 4), "max_length=8"),
    "naive": (
        lambda: AFTLocal(8, 3, factorized=False),
        floats(2, 8, 4),
        floats(2, 9, 4),
        "max_length=8",
    ),
    "language model": (
        lambda: AFTLanguageModel(8, 4, 1, variant="simple"),
        np.zeros((2, 8), "int32"),
        np.zeros((2, 9), "int32"),
        "must be from 1 to max_length=8",
    ),
    "no tokens": (
        lambda: AFTLanguageModel(8, 4, 1, variant="simple"),
        np.zeros((2, 1), "int32"),
        np.zeros((2, 0), "int32"),
        "must be from 1 to max_length=8",
    ),
    "classifier": (classifier, floats(2, 8, 8, 1), floats(2, 4, 16, 1), "H and W 8"),
    "grid": (
        lambda: classifier(variant="conv", num_heads=2, kernel_size=3),
        floats(2, 8, 10, 1),
        floats(2, 8, 9, 1),
        "H and W multiples of 2",
    ),
    "bias of full": (
        lambda: lambda q, k, v, w: aft_full(q, k, v, w),
        (*QKV, floats(4, 4)),
        (*QKV, floats(2, 2)),
        "",
    ),
    "bias of local": (
        lambda: lambda q, k, v, w: aft_local(q, k, v, w, 2),
        (*QKV, floats(4, 4)),
        (*QKV, floats(8, 8)),
        "",
    ),
    "query": (
        lambda: lambda q, k, v, w: aft_full(q, k, v, w),
        (*QKV, floats(4, 4)),
        (floats(1, 1, 4), *QKV[1:], floats(4, 4)),
        "",
    ),
    "views": (
        lambda: ViewAggregation("concat", 2),
        (floats(1, 1, 3, 4), np.ones((1, 1, 3), "float32")),
        (floats(1, 3, 3, 4), np.ones((1, 3, 3), "float32")),
        "at most 2",
    ),
    "one view": (
        lambda: ViewAggregation("var"),
        (floats(1, 2, 3, 4), np.ones((1, 2, 3), "float32")),
        (floats(1, 1, 3, 4), np.ones((1, 1, 3), "float32")),
        "for one it is always 0",
    ),
    "mask of a set": (
        lambda: SetEncoder(**SET),
        (floats(2, 3, 4, 4, 1), np.array([[True] * 3, [True, False, True]])),
        (floats(2, 3, 4, 4, 1), np.array([[True], [True]])),
        "",
    ),
    "clips": (clip_order, floats(2, 2, 2, 12, 12, 3), floats(2, 4, 2, 12, 12, 3), "must be 2"),
}
QUICK = (("local", False), ("views", True))
EACH = [(name, jit) for name in CASES for jit in (False, True)]


def spec(x):
    """Every axis is free except the channels; for sets and clips, the first two."""
    fixed = {1: 1, 2: 2, 3: 2, 4: 3}.get(x.ndim, 2)
    known = x.shape[fixed:] if x.dtype == "float32" else ()
    return tf.TensorSpec((*[None] * (x.ndim - len(known)), *known), x.dtype)


@pytest.mark.parametrize(("name", "jit"), [c if c in QUICK else slow(c) for c in EACH])
def test_a_size_of_the_run_is_refused_and_not_answered(name, jit):
    make, good, bad, words = CASES[name]
    good, bad = (x if isinstance(x, tuple) else (x,) for x in (good, bad))
    layer = make()
    expected = flat(layer(*good))
    graph = tf.function(
        layer, input_signature=list(map(spec, good)), jit_compile=jit, autograph=False
    )
    for a, b in zip(flat(graph(*good)), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=None if jit else words):
        graph(*bad)


@pytest.mark.slow
def test_a_functional_model_refuses_what_its_export_does(tmp_path):
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, AFTLocal(8, 3, bias_dim=2)(inputs))
    with pytest.raises(ValueError, match="input has 9 positions: must be at most max_length=8"):
        model(floats(2, 9, 4))
    model.export(tmp_path / "export", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(served.serve(floats(2, 8, 4)), model(floats(2, 8, 4)), atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="max_length=8"):
        served.serve(floats(2, 9, 4))

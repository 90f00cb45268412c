"""Encoders in the paper's form; the pretext models' losses, gradients and copies."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from support import load_module, slow
from tfzoo.skipclip import (
    ActionRecognizer,
    ClipOrder,
    FoldedBatchNormalization,
    PadChannels,
    SkipClip,
    TrunkSGD,
    make_encoder,
    objective,
)

small = load_module("skipclip/small.py")


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.fixture(scope="module")
def r3d18():
    return make_encoder("r3d18")


def test_r3d18_is_haras(r3d18):
    assert trainable(r3d18) == 33_203_904
    assert trainable(r3d18) - trainable(make_encoder("r3d18", shortcut="A")) == 173_824
    sizes = {}
    shape = (1, 16, 112, 112, 3)
    for layer in r3d18.layers[1:]:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        known = [sizes.get(x.name, shape) for x in inputs]
        sizes[layer.output.name] = layer.compute_output_shape(known if len(known) > 1 else known[0])
    names = ("stem_relu", "stem_pool", "stage1_2_relu", "stage2_2_relu", "stage3_2_relu")
    stages = [sizes[r3d18.get_layer(n).output.name][1:4] for n in (*names, "stage4_2_relu")]
    assert stages == [(16, 56, 56), (8, 28, 28), (8, 28, 28), (4, 14, 14), (2, 7, 7), (1, 4, 4)]


def test_factorised_has_as_many_parameters(r3d18):
    count = trainable(make_encoder("r2plus1d18"))
    assert abs(count / trainable(r3d18) - 1) < 0.01


@pytest.mark.parametrize("kind", ["small", "r3d18"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 7), (5, 16, 13)])
def test_any_length_and_size(kind, shape, r3d18):
    model = r3d18 if kind == "r3d18" else small.encoder()
    video = np.random.default_rng(0).integers(0, 256, (2, *shape, 3)).astype("uint8")
    features = model(video).numpy()
    assert np.isfinite(features).all() and features.shape[0] == 2 and min(features.shape) >= 1


def test_padding_is_pytorchs(r3d18):
    """A stride-2 convolution treats both borders of a frame alike: it commutes with mirroring."""
    model = keras.models.clone_model(r3d18)
    video = np.random.default_rng(0).uniform(0, 255, (1, 5, 33, 33, 3)).astype("float32")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv3D):
            kernel = layer.kernel.numpy()
            layer.kernel.assign((kernel + kernel[:, :, ::-1]) / 2)
    a, b = model(video).numpy(), model(video[:, :, :, ::-1]).numpy()
    np.testing.assert_allclose(a[:, :, :, ::-1], b, atol=1e-3)


def test_small_halves_times_and_cells_twice_after_its_stem():
    model = small.encoder()
    assert model(np.zeros((1, 8, 24, 24, 3), "uint8")).shape == (1, 2, 3, 3, 4 * 2)
    layers = [x for x in model.layers if isinstance(x, keras.layers.Conv3D)]
    assert [x.filters for x in layers if x.kernel_size[0] > 1] == [2] + [4] * 4 + [8] * 4
    at_once = [x.name for x in model.layers if x.output.shape[-1] == 2]
    assert at_once == ["stem", "stem_norm", "stem_relu"]  # nothing else runs on the large map


def test_folded_norm_equals_keras_norm():
    x = np.random.default_rng(0).normal(3, 2, (4, 2, 5, 5, 3)).astype("float32")
    ours, theirs = (
        cls(momentum=0.9, epsilon=1e-5)
        for cls in (FoldedBatchNormalization, keras.layers.BatchNormalization)
    )
    for _ in range(3):
        with tf.GradientTape(persistent=True) as tape:
            held = tf.constant(x)
            tape.watch(held)
            a, b = ours(held, training=True), theirs(held, training=True)
            sums = [tf.reduce_sum(y * tf.sin(held)) for y in (a, b)]
        np.testing.assert_allclose(a, b, atol=1e-4)
        np.testing.assert_allclose(
            tape.gradient(sums[0], held), tape.gradient(sums[1], held), atol=1e-3
        )
    np.testing.assert_allclose(ours(x), theirs(x), atol=0.02)  # variances with n - 1 and with n
    ours.trainable = False
    before = ours.moving_mean.numpy()
    np.testing.assert_allclose(ours(x, training=True), ours(x), atol=1e-6)
    np.testing.assert_array_equal(ours.moving_mean, before)


def test_shortcut_a():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4, 2)).astype("float32")
    padded = PadChannels(5, 2)(x).numpy()
    np.testing.assert_array_equal(padded[..., :2], x[:, ::2, ::2, ::2])
    assert padded.shape == (2, 2, 3, 2, 5) and (padded[..., 2:] == 0).all()
    with pytest.raises(ValueError, match="channels=1"):
        PadChannels(1)(x)


def test_skipclips_loss_and_gradients_reach_the_first_layer():
    model = small.skipclip(rotation_weight=0.5)
    clips, turns = small.clips(), np.array([0, 1, 3])
    with tf.GradientTape() as tape:
        outputs = model(clips, training=True)
        loss = model.compute_loss(y=turns, y_pred=outputs)
    rank = np.mean(objective.ranking_loss(outputs["scores"], 0.1))
    turn = keras.losses.sparse_categorical_crossentropy(
        np.repeat(turns, 4), tf.reshape(outputs["clip_rotation"], (-1, 4)), from_logits=True
    )
    assert float(loss) == pytest.approx(rank + 0.5 * np.mean(turn), rel=1e-4)
    first = model.encoder.get_layer("stem").kernel
    assert np.abs(tape.gradient(loss, first.value)).max() > 0
    assert float(model._means["plateau"].result()) == pytest.approx(rank / 0.3, rel=1e-4)
    h, z = clips[:, 0], clips[:, 2]
    np.testing.assert_allclose(model.rank(h, z), model(clips)["scores"][:, 1], rtol=1e-4)


def test_batch_entries_permute():
    model, clips = small.skipclip(), small.clips()
    scores = model(clips)["scores"].numpy()
    order = [2, 0, 1]
    np.testing.assert_allclose(model(clips[order])["scores"], scores[order], rtol=1e-4)


def test_negatives_are_ranked_last():
    model = small.skipclip(cross_video_negatives=True)
    clips = small.clips()
    outputs = model(clips, training=True)
    ranked = np.concatenate([outputs["scores"], outputs["negative"]], -1)
    loss = model.compute_loss(y=np.zeros(3), y_pred=outputs)
    assert float(loss) == pytest.approx(np.mean(objective.ranking_loss(ranked, 0.1)), rel=1e-5)
    assert set(model(clips)) == {"scores"}


@pytest.mark.parametrize("jit", [False, slow(True)])
def test_fit_lowers_the_loss(jit):
    model = small.skipclip()
    start, end = np.zeros((4, 4, 3, 16, 16, 3), "uint8"), 255 * small.clips(4) / 255
    mix = np.array([0, 0.3, 0.6, 1])[:, None, None, None, None]  # futures drift from the context
    x = ((1 - mix) * start + mix * end[:, :1]).astype("float32")
    model.compile(keras.optimizers.Adam(0.01), jit_compile=jit)
    history = model.fit(x, np.zeros(4), batch_size=4, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert {"plateau", "pair_accuracy", "rank"} <= set(history)


@pytest.mark.slow
def test_order_learns_its_permutations():
    model = ClipOrder(small.encoder(), 2, hidden=8)
    rng = np.random.default_rng(0)
    bright = np.full((16, 1, 3, 12, 12, 3), 200.0) + rng.normal(size=(16, 1, 1, 1, 1, 1))
    x, y = np.concatenate([bright, bright / 5], 1), np.arange(16) % 2
    x[y == 1] = x[y == 1, ::-1]
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(x, y, batch_size=8, epochs=15, verbose=0).history
    assert history["order_accuracy"][-1] > 0.9


def test_a_recognizer_takes_every_trunk_weight_and_a_fresh_head():
    source = small.skipclip(head="conv1x1", head_width=3, seed=3)
    model = ActionRecognizer.from_pretrained(source, 5, view=(16, 1.0))
    for a, b in zip(model.encoder.weights, source.encoder.weights, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a is not b
    h, z = small.clips(3, 2)[:, 0], small.clips(3, 2, seed=1)[:, 1]
    np.testing.assert_allclose(model.rank(h, z), source.rank(h, z), rtol=1e-5)
    assert model(h).shape == (3, 5) and np.all(model.head.bias.numpy() == 0)
    np.testing.assert_allclose(model.features(h), source.features(h), rtol=1e-5)
    bare = ActionRecognizer(small.encoder(), 0)
    np.testing.assert_allclose(bare(h), bare.features(h))


@pytest.mark.slow
def test_the_trunks_steps_are_shorter():
    steps = {}
    for factor in (1.0, 0.1):
        model = ActionRecognizer(small.encoder(), 3, dropout=0.0)
        before = [w.numpy() for w in model.trainable_weights]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(TrunkSGD(0.1, 0.9, 0.01, factor), loss)
        model.train_on_batch(small.clips(3, 1)[:, 0], np.arange(3))
        steps[factor] = {
            w.path: w.numpy() - old for w, old in zip(model.trainable_weights, before, strict=True)
        }
    for path, step in steps[1.0].items():
        factor = 1.0 if "/head/" in f"/{path}" else 0.1
        np.testing.assert_allclose(steps[0.1][path], factor * step, rtol=1e-3, atol=1e-6)
    assert sum("/head/" in f"/{path}" for path in steps[1.0]) == 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda e: SkipClip(e, 4, 0.5), "margin=0.5"),
        (lambda e: SkipClip(e, 1), "futures=1"),
        (lambda e: SkipClip(e, reduction="max"), "reduction='max'"),
        (lambda e: SkipClip(e, head="mlp"), "head='mlp'"),
        (lambda e: SkipClip(e, rank_weight=0.0), "rank_weight=0.0"),
        (lambda e: ClipOrder(e, 5), "clips=5"),
        (lambda e: ActionRecognizer(e, -1), "classes=-1"),
        (lambda e: ActionRecognizer(e, 2, 1.0), "dropout=1.0"),
        (lambda e: ActionRecognizer(e, 2, view=(8, 0.0)), "view="),
        (lambda e: ActionRecognizer(e, 2, context_head=keras.layers.Dense(3)), "must both be"),
        (lambda e: make_encoder("c3d"), "kind='c3d'"),
        (lambda e: make_encoder(shortcut="C"), "shortcut='C'"),
        (lambda e: make_encoder(pixel_std=0.0), "pixel_std=0.0"),
        (lambda e: make_encoder(form="caffe"), "form='caffe'"),
        (lambda e: make_encoder("small", form="torchvision"), "form='torchvision'"),
        (lambda e: make_encoder("small", widths=(1, 2)), "widths="),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make(small.encoder())


def test_normalised_scores_use_their_whole_range(tmp_path):
    normalised = small.skipclip(head="norm", cross_video_negatives=True, negatives=2)
    plain = small.skipclip()
    clips = small.clips(5)
    outputs = normalised(clips, training=True)
    assert outputs["negative"].shape == (5, 2)
    before, after = (ops.convert_to_numpy(x["scores"]) for x in (plain(clips), outputs))
    assert before.min() > 0.5 and after.min() < 0.2 and after.std() > 2 * before.std()
    for _ in range(60):  # running statistics converge to those of the batch
        normalised(clips, training=True)
    again = ActionRecognizer.from_pretrained(normalised, 0)
    ranked = again.rank(clips[:, 0], clips[:, 1])
    np.testing.assert_allclose(ranked, normalised(clips)["scores"][:, 0], atol=1e-5)
    np.testing.assert_allclose(ranked, after[:, 0], atol=0.1)
    again.save(tmp_path / "a.keras")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    np.testing.assert_allclose(loaded.rank(clips[:, 0], clips[:, 1]), ranked, atol=1e-5)


def test_scores_may_be_negative_without_a_last_relu():
    encoder = small.encoder(last_relu=False)
    assert (encoder(small.clips(3, 1)[:, 0]).numpy() < 0).any()
    SkipClip(encoder, 4, 0.5, signed=True)

"""Per-example gradients equal those of one tape per example, for any layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import load_module
from tfzoo.afv import PerExampleGradients, make_discriminator, per_example_gradients
from tfzoo.afv.sketch import sketch
from tfzoo.layers import SNConv2D, SNDense

small = load_module("afv/small.py")


def loop(model, images, variables=None):
    """One tape per example."""
    values = [v.value for v in (variables or model.trainable_variables)]
    rows = []
    for image in images:
        with tf.GradientTape() as tape:
            y = model(image[None], training=False)
        gradients = tape.gradient(y, values, unconnected_gradients="zero")
        rows.append(np.concatenate([tf.convert_to_tensor(g).numpy().ravel() for g in gradients]))
    return np.stack(rows)


def close(actual, expected, rtol=1e-5):
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=rtol * scale)


@pytest.mark.parametrize("head", ["sigmoid", "logit", "experts"])
def test_the_discriminator(head):
    model, x = small.discriminator(head, channels=3, blocks=4), small.images(channels=3)
    gradients = PerExampleGradients(model)
    assert gradients.slow_layers == []
    assert gradients.parameters == sum(v.shape.num_elements() for v in loop_variables(model))
    close(gradients(x), loop(model, x))


def loop_variables(model):
    return [v.value for v in model.trainable_variables]


def test_the_spectral_norms_own_part():
    """Scale invariance: the gradient by each normalised kernel is orthogonal to the kernel."""
    model = small.discriminator()
    gradients = PerExampleGradients(model)
    _, parts = gradients.parts(tf.constant(small.images()))
    kernels = 0
    for variable, part in zip(gradients.variables, parts, strict=True):
        if variable.name == "kernel":
            kernel = variable.numpy().ravel()
            size = np.linalg.norm(part, axis=1) * np.linalg.norm(kernel)
            assert (size > 0).all() and (np.abs(part.numpy() @ kernel) < 1e-4 * size).all()
            kernels += 1
    assert kernels == 4


class Scale(keras.layers.Layer):
    """A layer without a closed form, and with a dense one inside."""

    def build(self, shape):
        self.scale = self.add_weight((shape[-1],), "ones", name="scale")
        self.inside = keras.layers.Dense(shape[-1], "tanh")
        self.inside.build(shape)

    def call(self, x):
        return self.inside(x * self.scale) * self.scale


def users_model():
    """Strides, paddings, a layer used twice, inference BatchNormalization, fused activations."""
    shared = keras.layers.Conv2D(4, 3, padding="same", activation="tanh")
    x = inputs = keras.Input((9, 8, 2))
    x = SNConv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu")(x)
    x = shared(shared(x))
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(3, 3, strides=2, use_bias=False)(x)
    x = keras.layers.DepthwiseConv2D(2)(x)
    x = keras.layers.Dense(5, "tanh")(x)
    x = Scale()(x)
    x = keras.layers.Flatten()(x)
    x = SNDense(6, "tanh")(x)
    return keras.Model(inputs, keras.layers.Dense(1)(x))


def test_a_users_discriminator():
    model = users_model()
    rng = np.random.default_rng(3)
    for w in model.weights:
        w.assign(
            0.5 + rng.uniform(size=w.shape) if "var" in w.path else 0.4 * rng.normal(size=w.shape)
        )
    x = rng.normal(size=(4, 9, 8, 2)).astype("float32")
    gradients = PerExampleGradients(model)
    assert len(gradients.slow_layers) == 3
    close(gradients(x), loop(model, x))
    chosen = model.trainable_variables[3:6]
    close(PerExampleGradients(model, chosen)(x), loop(model, x, chosen))
    before = model(x)
    assert "call" not in vars(model.layers[1])  # the layers are restored
    np.testing.assert_array_equal(model(x), before)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = keras.layers.Conv2D(3, 3, activation="relu")
        self.last = keras.layers.Dense(1)

    def call(self, x, training=False):
        return self.last(keras.ops.max(self.first(x), (1, 2)))[:, 0]


def test_a_subclassed_discriminator():
    model, x = Subclassed(), small.images(4)
    model.build((None, 16, 16, 1))
    model(x)
    close(PerExampleGradients(model)(x), loop(model, x))


def test_chunks_keep_to_the_memory_and_change_nothing():
    model, x = small.discriminator(), small.images(7)
    whole = PerExampleGradients(model)
    assert whole.chunk > 7
    little = PerExampleGradients(model, memory=2 * whole.bytes_per_example)
    assert little.chunk == 2 and [len(c) for c in little.chunks(x)] == [2, 2, 2, 1]
    np.testing.assert_allclose(little(x), whole(x), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(whole.of_sum(tf.constant(x)), whole(x).numpy().sum(0), atol=1e-4)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_inside_a_function_with_a_free_batch(jit):
    model = small.discriminator()
    gradients = PerExampleGradients(model)
    spec = tf.TensorSpec((None, 16, 16, 1))
    function = tf.function(gradients.flat, input_signature=[spec], jit_compile=jit, autograph=False)
    for n in (1, 3):
        close(function(small.images(n)), loop(model, small.images(n)), 1e-4)


def test_mixed_precision_is_near():
    exact = small.discriminator("logit", blocks=4)
    mixed = make_discriminator(16, 1, 3, "logit", dtype="mixed_bfloat16")
    mixed.set_weights(exact.get_weights())
    a, b = (PerExampleGradients(m)(small.images()).numpy() for m in (exact, mixed))
    assert b.dtype == np.float32 and np.abs(a - b).max() < 0.1 * np.abs(a).max()


class MinibatchDeviation(keras.layers.Layer):
    def call(self, x):
        return x + keras.ops.std(x, 0, keepdims=True)


def with_layer(layer):
    parts = [keras.Input((16, 16, 1)), keras.layers.Flatten(), layer, keras.layers.Dense(1)]
    return keras.Sequential(parts, name="d")


class TwoInputs(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight((1,), name="scale")

    def call(self, x, y):
        return (x + y) * self.scale


def with_body(body, shape=(4, 4, 1)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(body(inputs))))


class Tied(keras.layers.Layer):
    def __init__(self, other):
        super().__init__()
        self.other = other

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.other.kernel))


def tied(x):
    dense = keras.layers.Dense(3, "tanh")
    return Tied(dense)(dense(x))


def recurrent(x):
    x = keras.layers.Lambda(lambda t: tf.cast(tf.abs(t) * 4, tf.int32))(x)
    return keras.layers.LSTM(2)(keras.layers.Embedding(9, 3, mask_zero=True)(x))


DISAGREED = {
    # body, shape of inputs, slow layers, slow variables
    "spectral": (
        lambda x: keras.layers.SpectralNormalization(keras.layers.Conv2D(2, 3))(x),
        (4, 4, 1), 0, 0,
    ),
    "stop": (keras.layers.Lambda(tf.stop_gradient), (4, 4, 1), 0, 0),
    "tied": (tied, (4, 4, 1), 0, 1),
    "two inputs": (lambda x: TwoInputs()(x, keras.layers.Dense(1)(x)), (4, 4, 1), 0, 1),
    "masked recurrence after a cast": (recurrent, (3,), 1, 3),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:model .* are used in a way")
@pytest.mark.parametrize("name", DISAGREED)
def test_what_a_closed_form_would_get_wrong_is_seen_and_goes_a_slower_way(name):
    body, shape, layers, variables = DISAGREED[name]
    model, x = with_body(body, shape), np.random.default_rng(0).normal(size=(3, *shape))
    gradients = PerExampleGradients(model)
    assert (len(gradients.slow_layers), len(gradients.slow_variables)) == (layers, variables)
    close(gradients(x), loop(model, x.astype("float32")))


class Fickle(keras.layers.Layer):
    """Uses another layer's kernel only if its input is above 1."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def call(self, x):
        y = keras.ops.matmul(x, self.other.kernel)
        return x + keras.ops.where(x > 1, y, 0.0)


def test_what_shows_on_real_inputs_only_is_seen_when_statistics_are_fitted():
    other = keras.layers.Dense(1)
    model = with_body(lambda x: Fickle(other)(other(x)))
    other.kernel.assign([[2.0]])
    x = np.random.default_rng(0).uniform(0.6, 1, (32, 4, 4, 1)).astype("float32")
    gradients = PerExampleGradients(model)
    gradients._plan.whole.clear()  # as if the first check had not detected it
    with pytest.warns(UserWarning, match="dense.*/kernel.* pass through the model"):
        assert not gradients.check(x)
    close(gradients(x[:3]), loop(model, x[:3]))
    assert gradients.check(x)  # warned once


def test_examples_that_add_up_in_no_way_are_refused():
    class Counting(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight((1,), "ones", name="scale")
            self.calls = self.add_weight((), "zeros", trainable=False)

        def call(self, x):
            self.calls.assign_add(1.0)
            return x + keras.ops.stop_gradient(1.0 + self.calls) * (self.scale - 1)

    with (
        pytest.warns(UserWarning, match="scale"),
        pytest.raises(ValueError, match="scale do not add up"),
    ):
        PerExampleGradients(with_body(Counting()))


@pytest.mark.parametrize(
    "loss", ["sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()]
)
def test_of_a_loss(loss):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    x, y = np.random.default_rng(0).normal(size=(5, 4)).astype("float32"), np.arange(5) % 3
    gradients = per_example_gradients(model, loss, memory=1)
    expected = (model(x).numpy() - np.eye(3)[y])[:, None] * x[..., None]  # of the kernel
    assert gradients.sizes == [12, 3]
    np.testing.assert_allclose(gradients(x, y)[:, :12], expected.reshape(5, 12), atol=1e-6)
    np.testing.assert_allclose(
        gradients.of_sum(tf.constant(x), tf.constant(y)), gradients(x, y).numpy().sum(0), atol=1e-5
    )


def test_a_loss_of_the_whole_batch_is_refused():
    gradients = per_example_gradients(small_outputs(2), lambda y, p: keras.ops.mean(p))
    with pytest.raises(ValueError, match="must return one per example"):
        gradients(np.ones((2, 4)), np.ones(2))


def test_a_sketch_made_layer_by_layer_is_the_whole_rows_sketch():
    model, x = small.discriminator(), small.images()
    rows = PerExampleGradients(model)(x)
    folded = PerExampleGradients(model, sketched=64)
    assert folded.parameters == 64
    np.testing.assert_allclose(folded(x), sketch(rows, 64), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        folded.of_sum(tf.constant(x)), folded(x).numpy().sum(0), rtol=1e-4, atol=1e-4
    )


def test_what_is_drawn_again_in_a_slow_layer_is_refused():
    model = with_body(lambda x: keras.layers.LSTM(2, dropout=0.5)(keras.layers.Reshape((4, 4))(x)))
    with pytest.raises(ValueError, match="'lstm.*draws at random"):
        PerExampleGradients(model, training=True)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        (
            "depends on the others of its batch",
            lambda: PerExampleGradients(with_layer(MinibatchDeviation())),
        ),
        (
            "BatchNormalization in training",
            lambda: PerExampleGradients(
                with_layer(keras.layers.BatchNormalization()), training=True
            ),
        ),
        ("must be built", lambda: PerExampleGradients(Subclassed())),
        (r"output \(2,\): must be one number", lambda: PerExampleGradients(small_outputs(2))),
        ("no loss", lambda: PerExampleGradients(small_outputs(1))(np.ones((2, 4)), np.ones(2))),
        ("labels=None", lambda: per_example_gradients(small_outputs(2), "mse")(np.ones((2, 4)))),
        (
            r"labels \(3,\): must be \[2, ...\]",
            lambda: per_example_gradients(small_outputs(2), "mse")(np.ones((2, 4)), np.ones(3)),
        ),
        ("images", lambda: PerExampleGradients(small.discriminator())(small.images(2, 15))),
        ("at least one", lambda: PerExampleGradients(small.discriminator())(small.images(0))),
    ],
)  # fmt: skip
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()


def small_outputs(n):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(n)])

"""Random architectures: branches, sharing, tying, attention, recurrence, casts, mixed precision."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from tfzoo.layers import SNConv2D, SNDense


class Transposed(layers.Layer):
    """Uses another layer's kernel, as in weight tying."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def call(self, x):
        return ops.matmul(x, ops.transpose(ops.cast(self.other.kernel, x.dtype)))


class Gate(layers.Layer):
    """Has its own weight and an inner layer."""

    def build(self, shape):
        self.gate = self.add_weight((shape[-1],), "ones", name="gate")
        self.inside = layers.Dense(shape[-1], "tanh")
        self.inside.build(shape)

    def call(self, x):
        return self.inside(x * self.gate) * self.gate


class Mix(layers.Layer):
    """Has a weight and two inputs."""

    def build(self, *shapes):
        self.share = self.add_weight((1,), "ones", name="share")

    def call(self, x, y):
        return x * self.share + y * (1 - self.share)


class Coupled(layers.Layer):
    """Couples neighbouring examples: must be refused."""

    def call(self, x):
        return x + ops.std(x, 0, keepdims=True)


def _cast(x):
    return tf.cast(tf.clip_by_value(tf.abs(tf.cast(x, tf.float32)) * 4, 0, 6), tf.int32)


def _frozen(layer):
    layer.trainable = False
    return layer


def _twice(layer, x):
    return layer(layer(x))


def _around(layer, x):
    return layers.Add()([x, layer(x)])


def _tied(x):
    dense = layers.Dense(4, "relu")
    return Transposed(dense)(dense(x))


def _nested(x):
    inner = keras.Input(x.shape[1:])
    y = layers.LayerNormalization()(layers.Dense(4, "tanh")(inner))
    model = keras.Model(inner, y)
    return model(model(x)) if x.shape[-1] == 4 else model(x)


# [B, H, W, C] -> [B, H', W', C']
IMAGE = (
    lambda x: layers.Conv2D(4, 3, padding="same", activation="tanh")(x),
    lambda x: layers.Conv2D(3, (2, 3), strides=(1, 2), padding="same", use_bias=False)(x),
    lambda x: layers.Conv2D(4, 2, dilation_rate=2, padding="same")(x),
    lambda x: layers.Conv2D(2 * x.shape[-1], 3, groups=x.shape[-1], padding="same")(x),
    lambda x: SNConv2D(4, 3, padding="same", activation="relu")(x),
    lambda x: layers.SpectralNormalization(layers.Conv2D(4, 3, padding="same"))(x),
    lambda x: layers.SeparableConv2D(3, 3, padding="same", activation="elu")(x),
    lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
    lambda x: layers.Conv2DTranspose(3, 3, padding="same")(x),
    lambda x: layers.BatchNormalization()(x),
    lambda x: layers.GroupNormalization(1)(x),
    lambda x: layers.PReLU()(x),
    lambda x: layers.Dropout(0.5)(layers.Activation("gelu")(x)),
    lambda x: _twice(layers.Conv2D(x.shape[-1], 3, padding="same", activation="tanh"), x),
    lambda x: _around(layers.Conv2D(x.shape[-1], 3, padding="same"), x),
    lambda x: layers.Concatenate()([layers.Conv2D(2, 1)(x), layers.Conv2D(2, 1)(x), x]),
    lambda x: _frozen(layers.Conv2D(4, 3, padding="same"))(x),
    lambda x: layers.AveragePooling2D(2, padding="same")(x),
    lambda x: layers.Lambda(tf.stop_gradient)(x),
    lambda x: Gate()(x),
)  # fmt: skip

# [B, T, C] -> [B, T, C']
SEQUENCE = (
    lambda x: layers.Dense(4, "tanh")(x),
    lambda x: layers.EinsumDense("btc,cd->btd", (x.shape[1], 4), bias_axes="d")(x),
    lambda x: layers.Conv1D(4, 2, padding="causal")(x),
    lambda x: layers.TimeDistributed(layers.Dense(3))(x),
    lambda x: layers.LSTM(3, return_sequences=True)(x),
    lambda x: layers.GRU(3, return_sequences=True, unroll=True)(x),
    lambda x: layers.Bidirectional(layers.SimpleRNN(2, return_sequences=True))(x),
    lambda x: layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], return_sequences=True)(x),
    lambda x: layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True),
    lambda x: layers.GroupQueryAttention(3, 2, 1)(x, x),
    lambda x: layers.AdditiveAttention()([x, x]),
    lambda x: layers.LayerNormalization()(x),
    lambda x: layers.Add()([x, layers.LSTM(x.shape[-1], return_sequences=True)(x)]),
    lambda x: _tied(x),
    lambda x: _nested(x),
)

# [B, C] -> [B, C']
VECTOR = (
    lambda x: layers.Dense(5, "relu")(x),
    lambda x: SNDense(4, "tanh")(x),
    lambda x: layers.SpectralNormalization(layers.Dense(4))(x),
    lambda x: layers.BatchNormalization()(x),
    lambda x: layers.LayerNormalization(scale=False)(x),
    lambda x: _twice(layers.Dense(x.shape[-1], "tanh"), x),
    lambda x: _around(layers.Dense(x.shape[-1]), x),
    lambda x: layers.Multiply()([layers.Dense(4)(x), layers.Dense(4, "sigmoid")(x)]),
    lambda x: layers.Flatten()(layers.Embedding(8, 3)(layers.Lambda(_cast)(x))),
    lambda x: Mix()(x, layers.Dense(x.shape[-1])(x)),
    lambda x: layers.UnitNormalization()(layers.Dense(4)(x)),
    lambda x: _tied(x),
    lambda x: _nested(x),
    lambda x: Gate()(x),
    lambda x: ops.relu(ops.matmul(x, ops.ones((x.shape[-1], 3)))),
)


def architecture(seed):
    """(model, whether its examples interact): a random model with one output."""
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    mixed = rng.random() < 0.15
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    try:
        x, inputs, coupled = _body(rng)
        model = keras.Model(inputs, layers.Dense(1, rng.choice(["linear", "sigmoid"]))(x))
    finally:
        keras.config.set_dtype_policy(before)
    for w in model.weights:
        if w.dtype.startswith("float") and "seed" not in w.path:
            noise = 0.3 * rng.normal(size=w.shape)
            w.assign(0.5 + np.abs(noise) if "var" in w.path else w.numpy() + noise)
    return model, coupled


def _body(rng):
    kind = rng.choice(["image", "sequence", "tokens", "vector"])
    pick = lambda blocks, n: [blocks[i] for i in rng.integers(0, len(blocks), n)]  # noqa: E731
    if kind == "image":
        x = inputs = keras.Input((6, 5, 2))
        for block in pick(IMAGE, rng.integers(1, 5)):
            x = block(x)
        if rng.random() < 0.3:
            x = layers.Reshape((-1, x.shape[-1]))(x)
            for block in pick(SEQUENCE, 1):
                x = block(x)
    elif kind == "vector":
        x = inputs = keras.Input((6,))
    else:
        x = inputs = keras.Input((5, 3) if kind == "sequence" else (5,))
        if kind == "tokens":
            x = layers.Lambda(_cast)(x)
            x = layers.Embedding(8, 4, mask_zero=bool(rng.random() < 0.3))(x)
        for block in pick(SEQUENCE, rng.integers(1, 4)):
            x = block(x)
    if len(x.shape) > 2:
        x = layers.Flatten()(x)
    for block in pick(VECTOR, rng.integers(0, 4)):
        x = block(x)
    coupled = bool(rng.random() < 0.05)
    return Coupled()(x) if coupled else x, inputs, coupled

"""The neural tangent kernel of a Keras model, on TensorFlow.

    K(x, x') = (1/k) sum_a <df_a(x)/dtheta, df_a(x')/dtheta>

over the k outputs and all trainable weights, for the model's current weights or, in `diagonal`, for
its initialisations; the model runs in inference mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from typing_extensions import override

from tfzoo.collegial.layers import CollegialDense
from tfzoo.environment import only_on
from tfzoo.typing import Tensor


@only_on("tensorflow", why="which takes gradients on TensorFlow's tapes")
def empirical_ntk(
    model: keras.Model, x1: Tensor, x2: Tensor | None = None, *, chunk: int = 16, full: bool = False
) -> np.ndarray:
    """K(x1, x2).

    If all weights are in `Dense` and `CollegialDense` layers, each called once with one row per
    example, it is computed in closed form from the layers' inputs and output gradients; otherwise
    from the gradients of `chunk` examples at a time.

    Args:
        model: a built model with one input; outputs float [B, k] or [B].
        x1: [N1, ...].
        x2: [N2, ...]; None: `x1`.
        chunk: examples whose gradients are held at a time; they take 2 chunk k P numbers for P
            weights.
        full: keep outputs separate.

    Returns:
        float32 [N1, N2]; [N1, N2, k, k] if `full`.

    Raises:
        ValueError: `chunk` is below 1, there are no weights, or the outputs are not [B, k].
    """
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: must be at least 1")
    if not model.trainable_weights:
        raise ValueError(f"model {model.name!r}: has no trainable weights")
    x1 = tf.convert_to_tensor(x1)
    same = x2 is None
    x2 = x1 if same else tf.convert_to_tensor(x2)
    layers = _dense_layers(model)
    if layers is not None:
        first = _factors(model, layers, x1)
        second = first if same else _factors(model, layers, x2)
        if first is not None and second is not None:
            return _from_factors(first, second, full)
    return _from_gradients(model, x1, x2, same, chunk, full)


def _dense_layers(model: keras.Model) -> list[keras.layers.Layer] | None:
    """The layers with weights, if all of them have a closed form."""
    layers = [
        layer
        for layer in model._flatten_layers(include_self=True)
        if any(w in layer._trainable_variables for w in layer.trainable_weights)
    ]
    simple = all(type(layer) in (keras.layers.Dense, CollegialDense) for layer in layers)
    return layers if simple else None


def _factors(model: keras.Model, layers: Sequence[keras.layers.Layer], x: tf.Tensor) -> list | None:
    """For each layer: inputs, scales, and gradients of the k outputs before its activation."""
    seen: dict[int, list] = {i: [] for i in range(len(layers))}
    held = [(layer.call, layer.activation) for layer in layers]

    def watch(i: int, layer: keras.layers.Layer) -> None:
        call, activation = held[i]

        def note(z: tf.Tensor) -> tf.Tensor:
            seen[i].append(z)
            return activation(z)

        def called(inputs: tf.Tensor, *rest: Any, **keywords: Any) -> tf.Tensor:
            seen[i].append(inputs)
            return call(inputs, *rest, **keywords)

        layer.call, layer.activation = called, note

    with tf.GradientTape(persistent=True) as tape:
        try:
            for i, layer in enumerate(layers):
                watch(i, layer)
            outputs = _outputs(model(x, training=False))
            each = [tf.reduce_sum(outputs[:, a]) for a in range(outputs.shape[1])]
        finally:
            for layer, (call, activation) in zip(layers, held, strict=True):
                del layer.call  # restores the class's own `call`
                layer.activation = activation
                del call
    if any(len(s) != 2 or s[0].shape.rank > _rank(layer) for s, layer in _pairs(seen, layers)):
        return None  # a shared layer, or one used on several rows per example
    factors = []
    for (inputs, z), layer in _pairs(seen, layers):
        delta = tf.stack([tape.gradient(e, z) for e in each], 1)  # [N, k, (m,) units]
        factors.append((layer, tf.cast(inputs, tf.float32), tf.cast(delta, tf.float32)))
    return factors


def _pairs(seen: dict[int, list], layers: Sequence[keras.layers.Layer]) -> list:
    return [(seen[i], layer) for i, layer in enumerate(layers)]


def _rank(layer: keras.layers.Layer) -> int:
    return 3 if isinstance(layer, CollegialDense) else 2


def _from_factors(first: list, second: list, full: bool) -> np.ndarray:
    """sum over layers of (inputs' products) x (gradients' products)."""
    pattern = "iamu,jbmu->ijabm" if full else "iamu,jamu->ijm"
    total = 0.0
    for (layer, a1, d1), (_, a2, d2) in zip(first, second, strict=True):
        ntk = isinstance(layer, CollegialDense) and layer.parametrization == "ntk"
        weight = layer.weight_scale**2 / a1.shape[-1] if ntk else 1.0
        shift = (layer.bias_scale**2 if ntk else 1.0) if layer.use_bias else 0.0
        if not isinstance(layer, CollegialDense):  # a single member
            d1, d2 = d1[:, :, None], d2[:, :, None]
        if a1.shape.rank == 2:
            inputs = tf.matmul(a1, a2, transpose_b=True)[..., None]  # [N1, N2, 1]
        else:
            inputs = tf.einsum("imn,jmn->ijm", a1, a2)
        inputs = weight * inputs + shift
        gradients = tf.einsum(pattern, d1, d2)
        inputs = inputs[:, :, None, None] if full else inputs
        total += tf.reduce_sum(inputs * gradients, -1)
    return np.asarray(total if full else total / first[0][2].shape[1])


def _from_gradients(
    model: keras.Model, x1: tf.Tensor, x2: tf.Tensor, same: bool, chunk: int, full: bool
) -> np.ndarray:
    rows = gradient_rows(model)
    starts1, starts2 = range(0, len(x1), chunk), range(0, len(x2), chunk)
    k = _outputs(model(x1[:1], training=False)).shape[1]
    shape = (len(x1), len(x2), k, k) if full else (len(x1), len(x2))
    kernel = np.zeros(shape, np.float32)
    for i in starts1:
        first = rows(x1[i : i + chunk])  # [c, k, P]
        for j in starts2:
            if same and j < i:
                continue
            second = first if same and i == j else rows(x2[j : j + chunk])
            if full:
                block = tf.einsum("iap,jbp->ijab", first, second).numpy()
            else:
                block = tf.einsum("iap,jap->ij", first, second).numpy() / k
            kernel[i : i + chunk, j : j + chunk] = block
            if same and j > i:
                flipped = (1, 0, 3, 2) if full else (1, 0)
                kernel[j : j + chunk, i : i + chunk] = block.transpose(flipped)
    return kernel


@only_on("tensorflow", why="which takes gradients on TensorFlow's tapes")
def gradient_rows(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """A compiled function from examples [c, ...] to their gradients float32 [c, k, P]."""
    weights = [w.value for w in model.trainable_weights]
    size = sum(int(np.prod(w.shape)) for w in weights)

    def of_one(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(persistent=True) as tape:
            outputs = _outputs(model(x[None], training=False))
            each = tf.unstack(outputs[0])
        rows = [
            tf.concat(
                [
                    tf.reshape(tf.zeros_like(w) if g is None else tf.convert_to_tensor(g), [-1])
                    for w, g in zip(weights, tape.gradient(f, weights), strict=True)
                ],
                0,
            )
            for f in each
        ]
        return tf.cast(tf.stack(rows), tf.float32)

    k = _outputs(model(tf.zeros([1, *model_input_shape(model)]), training=False)).shape[1]
    spec = tf.TensorSpec([k, size], tf.float32)
    return tf.function(
        lambda x: tf.map_fn(of_one, x, fn_output_signature=spec),
        autograph=False,
        reduce_retracing=True,
    )


def model_input_shape(model: keras.Model) -> tuple[int, ...]:
    """The shape of one example; free sizes count as 8."""
    shape = getattr(model, "example_shape", None) or model.input_shape[1:]
    return tuple(8 if n is None else n for n in shape)


def _outputs(y: Tensor) -> tf.Tensor:
    y = tf.convert_to_tensor(y)
    if y.shape.rank == 1:
        y = y[:, None]
    if y.shape.rank != 2 or y.shape[1] is None or not y.dtype.is_floating:
        raise ValueError(f"outputs {y.shape} {y.dtype.name}: must be float [B, k]")
    return y


@only_on("tensorflow", why="which takes gradients on TensorFlow's tapes")
def diagonal(
    model: keras.Model, samples: int, *, x: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """K(x, x) of a model over random initialisations, float64 [samples].

    The model's weights are redrawn each time by their layers' initializers, and keep the last draw.

    Raises:
        ValueError: a weight's initializer is unknown.
    """
    if x is None:
        x = np.random.default_rng(seed).normal(size=model_input_shape(model)).astype("float32")
    x = tf.convert_to_tensor(x)[None]
    draws = _draws(model, keras.random.SeedGenerator(seed))
    weights = [w.value for w in model.trainable_weights]

    def norm() -> tf.Tensor:
        with tf.GradientTape(persistent=True) as tape:
            each = tf.unstack(tf.reshape(model(x, training=False), [-1]))
        total = 0.0
        for f in each:
            for g in tape.gradient(f, weights, unconnected_gradients="zero"):
                total += tf.reduce_sum(tf.square(tf.cast(tf.convert_to_tensor(g), tf.float32)))
        return total / len(each)

    def step(i: tf.Tensor, entries: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        for weight, draw in draws:
            weight.assign(draw(weight.shape, weight.dtype))
        return i + 1, entries.write(i, norm())

    @tf.function(autograph=False)
    def run() -> tf.Tensor:
        entries = tf.TensorArray(tf.float32, samples)
        return tf.while_loop(lambda i, _: i < samples, step, (0, entries))[1].stack()

    return run().numpy().astype(np.float64)


def _draws(
    model: keras.Model, seeds: keras.random.SeedGenerator
) -> list[tuple[keras.Variable, keras.initializers.Initializer]]:
    """Each trainable weight with its layer's initializer (by Keras's naming) and a new seed."""
    draws = {}
    for layer in model._flatten_layers(include_self=True):
        for weight in layer._trainable_variables:
            draws[id(weight)] = getattr(layer, f"{weight.name}_initializer", None)
    pairs = [(w, draws.get(id(w))) for w in model.trainable_weights]
    for weight, initializer in pairs:
        if initializer is None:
            raise ValueError(
                f"weight {weight.path!r}: its layer has no {weight.name}_initializer to draw from"
            )
    return [(weight, _reseeded(initializer, seeds)) for weight, initializer in pairs]


def _reseeded(
    initializer: keras.initializers.Initializer, seeds: keras.random.SeedGenerator
) -> keras.initializers.Initializer:
    config = initializer.get_config()
    if "seed" in config:
        config["seed"] = seeds
    return type(initializer).from_config(config)


class KernelDrift(keras.callbacks.Callback):
    """Logs the kernel's relative change per epoch: |K - K_0| / |K_0| (Frobenius).

    Args:
        x: examples [N, ...] on which the kernel is computed; a few dozen are enough.
        chunk: see `empirical_ntk`.
        name: name of the log's entry.
    """

    def __init__(self, x: Tensor, chunk: int = 16, name: str = "kernel_drift"):
        super().__init__()
        self.x, self.chunk, self.name = x, chunk, name
        self.initial: np.ndarray | None = None

    @override
    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.initial is None:
            self.initial = empirical_ntk(self.model, self.x, chunk=self.chunk)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the drift into the logs."""
        assert self.initial is not None  # computed before the first epoch
        now = empirical_ntk(self.model, self.x, chunk=self.chunk)
        if logs is not None:
            logs[self.name] = drift(self.initial, now)


def drift(initial: np.ndarray, now: np.ndarray) -> float:
    """|K - K_0| / |K_0|, Frobenius norms."""
    return float(np.linalg.norm(now - initial) / np.linalg.norm(initial))

"""Gradients of D(x_b) by D's parameters, for every example b of a batch at once.

`tape.jacobian` and `tf.vectorized_map` go through `Conv2DBackpropFilter` one example at a time; one
forward and one backward pass and a product for each layer do it all (`closed_forms`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfzoo.afv.closed_forms import ConvForm, DenseForm, SlowForm, closed_form
from tfzoo.environment import only_on
from tfzoo.typing import Tensor

Form = DenseForm | SlowForm
"""How a layer's gradients are computed."""

MEMORY = 2**29
"""Bytes that one chunk may take, by default."""


class PerExampleGradients:
    """g(x) = dD(x)/dtheta for a batch, [B, P], in the order of the discriminator's variables.

    Any Keras model serves whose examples do not mix: functional, sequential or subclassed, of one
    image input and one number an example. Parameters of `Dense`, `Conv2D`, `SNDense` and `SNConv2D`
    have a closed form. Those of other layers (`slow_layers`) take a backward pass through the layer
    for each example; such a layer must be called with one tensor. u and v of spectral norms are
    constants. While tracing, the layers' `call` is replaced: not from several threads at once.

    Args:
        discriminator: built, with a fixed input size; its output [B] or [B, 1].
        variables: some of its variables; default: the trainable ones.
        memory: bytes that a chunk of a call's batch may take.
        training: as in the model's call; BatchNormalization in training couples the batch.

    Raises:
        ValueError: examples mix (BatchNormalization in training, minibatch statistics), the model
            is not built, gives more than one number an example, or uses a layer in a way that no
            form covers.
    """

    @only_on("tensorflow", why="which takes per-example gradients on TensorFlow's tapes")
    def __init__(
        self,
        discriminator: keras.Model,
        variables: Sequence[keras.Variable] | None = None,
        memory: int = MEMORY,
        training: bool = False,
    ):
        self.model, self.memory, self.training = discriminator, memory, training
        self.shape = _input_shape(discriminator)
        self._check_coupling()  # calls the model, which makes variables not made yet
        if variables is None:
            variables = discriminator.trainable_variables
        self.variables = list(variables)
        self.place = {id(v): i for i, v in enumerate(self.variables)}
        self.sizes = [math.prod(v.shape) for v in self.variables]
        self._forms = self._make_forms()
        missing = set(self.place) - {id(v) for form in self._forms for v in form.variables()}
        if missing:
            names = [v.path for v in self.variables if id(v) in missing]
            raise ValueError(f"variables {', '.join(names)}: belong to no layer of the model")
        self._scratch = self._measure()
        self._compiled = compiled(self.flat, self.shape)
        self._summed = compiled(self.sum_in_graph, self.shape)

    @property
    def parameters(self) -> int:
        """P, the number of parameters whose gradients are given."""
        return sum(self.sizes)

    @property
    def slow_layers(self) -> list[str]:
        """Names of layers without a closed form."""
        return [form.layer.name for form in self._forms if isinstance(form, SlowForm)]

    @property
    def bytes_per_example(self) -> int:
        """An estimate of what an example takes, rather too large.

        Activations and what the backward pass makes of them, the largest layer's gradients at
        work, and the result twice: by layers, and put together. The model's variables come on top.
        """
        return 4 * (self._scratch + 3 * max(self.sizes) + 2 * self.parameters)

    @property
    def chunk(self) -> int:
        """Examples in a chunk."""
        return max(1, self.memory // self.bytes_per_example)

    def __call__(self, images: Tensor) -> tf.Tensor:
        """[N, S, S, C] -> [N, P] float32, chunk by chunk."""
        parts = [self._compiled(part) for part in self.chunks(images)]
        return parts[0] if len(parts) == 1 else tf.concat(parts, 0)

    def chunks(self, images: Tensor) -> Iterator[tf.Tensor]:
        """The batch in pieces within the memory budget.

        Raises:
            ValueError: wrong image size, or no images.
        """
        images = np.asarray(images) if not tf.is_tensor(images) else images
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images {tuple(images.shape)}: must be [N, *{self.shape}]")
        if images.shape[0] == 0:
            raise ValueError("images: must be at least one")
        pieces = -(-images.shape[0] // self.chunk)
        size = -(-images.shape[0] // pieces)  # of nearly equal size
        for at in range(0, images.shape[0], size):
            yield tf.cast(images[at : at + size], tf.float32)

    def of_sum(self, images: tf.Tensor) -> tf.Tensor:
        """The sum of the examples' gradients, [B, S, S, C] -> [P], by one plain backward pass."""
        return self._summed(images)

    def sum_in_graph(self, images: tf.Tensor) -> tf.Tensor:
        """As `of_sum`, for use inside a `tf.function`."""
        values = [v.value for v in self.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            total = tf.reduce_sum(self.value(images))
        found = tape.gradient(total, values, unconnected_gradients="zero")
        flat = [tf.reshape(tf.convert_to_tensor(g), (-1,)) for g in found]
        return tf.concat([tf.cast(g, tf.float32) for g in flat], 0)

    def flat(self, images: tf.Tensor) -> tf.Tensor:
        """As `__call__` in one piece, for use inside a `tf.function`."""
        return tf.concat(self.parts(images)[1], 1)

    def parts(self, images: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """D's values [B] and, for each variable, the gradients [B, size], float32."""
        values, found = self.records(images)
        sums: list[tf.Tensor | None] = [None] * len(self.variables)
        for form, a, delta in found:
            for variable, gradient in zip(form.variables(), form.gradients(a, delta), strict=True):
                i = self.place.get(id(variable))
                if i is not None:  # a layer used twice adds up
                    sums[i] = gradient if sums[i] is None else sums[i] + gradient
        rows = tf.shape(values)[0]
        empty = [
            tf.zeros((rows, n)) if s is None else s for s, n in zip(sums, self.sizes, strict=True)
        ]
        return values, empty

    def records(
        self, images: tf.Tensor
    ) -> tuple[tf.Tensor, list[tuple[Form, tf.Tensor, tf.Tensor]]]:
        """D's values [B], and (form, input a, delta) of every use of a layer with parameters."""
        noted: list[tuple[Form, tf.Tensor, tf.Tensor]] = []
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            with self._noting(noted):
                values = self.value(images)
            total = tf.reduce_sum(values)
        deltas = tape.gradient(total, [s for _, _, s in noted], unconnected_gradients="zero")
        return values, [(f, a, d) for (f, a, _), d in zip(noted, deltas, strict=True)]

    def value(self, images: tf.Tensor) -> tf.Tensor:
        """D's values, [B, S, S, C] -> [B] float32."""
        found = tf.cast(self.model(images, training=self.training), tf.float32)
        return tf.reshape(found, (-1,))

    def _make_forms(self) -> list[Form]:
        forms: list[Form] = []
        for layer in self.model._flatten_layers():
            if any(id(v) in self.place for v in layer._trainable_variables):
                forms.append(closed_form(layer) or SlowForm(layer, layer.call))
        return forms

    @contextlib.contextmanager
    def _noting(self, noted: list) -> Iterator[None]:
        """Replaces the calls of layers with parameters by ones that note what they see."""
        for form in self._forms:
            if isinstance(form, SlowForm):
                form.layer.call = self._slow_call(form, noted)
            else:
                form.layer.call = _fast_call(form, noted)
        try:
            yield
        finally:
            for form in self._forms:
                del form.layer.call

    def _slow_call(self, form: SlowForm, noted: list) -> Callable:
        original = type(form.layer).call

        def call(x: tf.Tensor, *rest: Any, **named: Any) -> tf.Tensor:
            others = [*rest, *keras.tree.flatten(named)]
            if not tf.is_tensor(x) or any(tf.is_tensor(o) for o in others):
                raise ValueError(f"layer {form.layer.name!r}: must be called with one tensor")
            y = original(form.layer, x, *rest, **named)
            if not tf.is_tensor(y):
                raise ValueError(f"layer {form.layer.name!r}: must give one tensor")
            this = SlowForm(form.layer, lambda a: original(form.layer, a, *rest, **named))
            noted.append((this, x, y))
            return y

        return call

    def _check_coupling(self) -> None:
        """Looks whether an example's value depends on its neighbours."""
        if self.training:
            for layer in self.model._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
                    raise ValueError(
                        f"layer {layer.name!r}: BatchNormalization in training couples the "
                        "examples of a batch, which have no gradients of their own then"
                    )
        rng = np.random.default_rng(0)
        x = tf.constant(rng.uniform(-1, 1, (3, *self.shape)), tf.float32)
        whole = keras.ops.convert_to_numpy(self.model(x, training=False))
        if whole.shape not in ((3,), (3, 1)):
            raise ValueError(f"output {whole.shape[1:]}: must be one number an example")
        each = [
            keras.ops.convert_to_numpy(self.model(x[i : i + 1], training=False)) for i in range(3)
        ]
        alone = np.concatenate(each).astype("float32")
        whole = whole.astype("float32")
        coarse = self.model.compute_dtype in ("float16", "bfloat16")
        if np.abs(whole - alone).max() > (0.1 if coarse else 1e-3) * (np.abs(whole).max() + 1e-6):
            raise ValueError(
                f"model {self.model.name!r}: an example's value depends on the others of its "
                "batch (batch statistics, minibatch discrimination): it has no gradient of its own"
            )

    def _measure(self) -> int:
        """Numbers an example takes besides its gradients: activations and scratch."""
        shapes: list[tuple[int, ...]] = []
        scratch = [0]

        @tf.function(autograph=False)
        def look(x: tf.Tensor) -> tf.Tensor:
            noted: list = []
            with self._noting(noted):
                values = self.value(x)
            for form, a, s in noted:
                shapes.extend((tuple(a.shape[1:]), tuple(s.shape[1:])))
                if isinstance(form, DenseForm | ConvForm):
                    scratch.append(form.scratch((1, *a.shape[1:])))
            return values

        look.get_concrete_function(tf.TensorSpec((2, *self.shape)))
        kept = sum(math.prod(n or 1 for n in shape) for shape in shapes)
        return 4 * kept + max(scratch)


def compiled(function: Callable, shape: Sequence[int]) -> Callable:
    """A function of float32 images [B, *shape] as one graph for every B."""
    spec = [tf.TensorSpec((None, *shape))]
    return tf.function(function, input_signature=spec, autograph=False)


def _fast_call(form: DenseForm, noted: list) -> Callable:
    def call(x: tf.Tensor, *rest: Any, **named: Any) -> tf.Tensor:
        s = form.linear(x)
        noted.append((form, x, s))
        return form.finish(s)

    return call


def _input_shape(model: keras.Model) -> tuple[int, ...]:
    try:
        shape = model.input_shape
    except AttributeError:  # a subclassed model that was built or called
        shape = getattr(model, "_build_shapes_dict", None) or {}
        shape = next(iter(shape.values()), None)
    if shape is None or isinstance(shape, (list, dict)) or None in tuple(shape)[1:]:
        raise ValueError(f"model {model.name!r}: must be built with one input of a fixed size")
    return tuple(int(n) for n in shape[1:])

"""Gradients of D(x_b), or of a loss, by a model's parameters, for each example b of a batch.

`tape.jacobian` and `tf.vectorized_map` run `Conv2DBackpropFilter` one example at a time; here one
forward pass, one backward pass and a product per layer suffice (`closed_forms`). Correctness for a
given model is verified, not assumed: see `PerExampleGradients.check`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tfzoo.afv.closed_forms import SlowForm, local_value, one_by_one
from tfzoo.afv.noting import Plan, Use, make_plan
from tfzoo.afv.sketch import sketch
from tfzoo.environment import only_on
from tfzoo.typing import Tensor

MEMORY = 2**29
"""Default maximum bytes per chunk."""
TOLERANCE, COARSE_TOLERANCE = 1e-3, 0.1
"""Tolerance of the check relative to a variable's largest gradient; the second for 16 bits."""
ROUNDING, COARSE_ROUNDING = 1e-6, 1e-2
"""A difference below this fraction of the largest gradient of all variables is rounding."""

Loss: TypeAlias = keras.losses.Loss | Callable | str


def per_example_gradients(
    model: keras.Model, loss: Loss | None = None, **options: Any
) -> PerExampleGradients:
    """Per-example gradients by a model's parameters, for any Keras model.

    `g = per_example_gradients(model, "sparse_categorical_crossentropy")`, then `g(x, y)` [N, P];
    without a loss, for a model with one output per example, `g(x)`. Rows are in the order of
    `model.trainable_variables`, with `g.sizes` numbers each. A batch is split into chunks by
    `memory`.

    Fast and slow paths are determined at construction and checked against plain tapes; see
    `PerExampleGradients`, which this creates.

    Args:
        model: a built model with one input of fixed size, whose examples do not interact.
        loss: a Keras loss or its name, or a function `(y_true, y_pred)` -> [B] or [B, ...], which
            is averaged over the remaining axes.
        **options: further arguments of `PerExampleGradients`.

    Raises:
        ValueError: see `PerExampleGradients`.
    """
    return PerExampleGradients(model, loss=loss, **options)


class PerExampleGradients:
    """g(x) = dD(x)/dtheta for a batch, [B, P], in the order of the discriminator's variables.

    Works for any Keras model whose examples do not interact: functional, sequential or subclassed.
    Parameters of `Dense`, `Conv2D`, `SNDense` and `SNConv2D` have a closed form. Those of other
    layers (`slow_layers`) take a backward pass through the layer per example. Parameters used
    outside their layer's own call, or by layers with several tensors, take a pass through the whole
    model per example (`slow_variables`), with a warning. u and v of spectral norms are constants.
    Tracing temporarily replaces the layers' `call`, so it is not thread-safe.

    Args:
        discriminator: a built model with a fixed input size; without a loss its output is [B] or
            [B, 1].
        variables: some of its variables; default: the trainable ones.
        memory: maximum bytes for a chunk of a call's batch.
        training: as in the model's call; BatchNormalization in training couples the batch, and slow
            layers must not draw random numbers. The check runs in inference mode.
        loss: function of labels and outputs to differentiate; see `per_example_gradients`.
        sketched: folds each row to this many numbers by random signs and buckets, layer by layer,
            so that no B x P numbers are held; preserves inner products in expectation. None: no
            folding.

    Attributes:
        sizes: number of elements of each variable.

    Raises:
        ValueError: examples interact (BatchNormalization in training, minibatch statistics), the
            model is not built, returns more than one number per example without a loss, or its
            gradients differ from those of a tape on every path.
    """

    @only_on("tensorflow", why="which takes per-example gradients on TensorFlow's tapes")
    def __init__(
        self,
        discriminator: keras.Model,
        variables: Sequence[keras.Variable] | None = None,
        memory: int = MEMORY,
        training: bool = False,
        loss: Loss | None = None,
        sketched: int | None = None,
    ):
        self.model, self.memory, self.training = discriminator, memory, training
        self.loss = None if loss is None else keras.losses.get(loss)
        self.sketched = sketched
        self.shape = _input_shape(discriminator)
        self._check_coupling()  # calls the model, which creates missing variables
        if variables is None:
            variables = discriminator.trainable_variables
        self.variables = list(variables)
        self.place = {id(v): i for i, v in enumerate(self.variables)}
        self.sizes = [math.prod(v.shape) for v in self.variables]
        self._starts = np.cumsum([0, *self.sizes])
        strangers = set(self.place) - {id(v) for v in discriminator.variables}
        if strangers:
            names = [v.path for v in self.variables if id(v) in strangers]
            raise ValueError(f"variables {', '.join(names)}: belong to no layer of the model")
        self._plan = self._look()
        self._say_slow(self._plan.whole)
        self._check_randomness()
        self._checked_labels = False
        self._compile()
        self.check()

    def _compile(self) -> None:
        if self.loss is None:
            self._compiled = compiled(self.flat, self.shape)
            self._summed = compiled(self.sum_in_graph, self.shape)
        else:  # labels may have any shape and dtype
            self._compiled = tf.function(self.flat, autograph=False, reduce_retracing=True)
            self._summed = tf.function(self.sum_in_graph, autograph=False, reduce_retracing=True)

    @property
    def parameters(self) -> int:
        """Number of gradients P per example, or the size of the sketch."""
        return self.sketched or sum(self.sizes)

    @property
    def slow_layers(self) -> list[str]:
        """Names of layers without a closed form."""
        return [form.layer.name for form in self._plan.forms if isinstance(form, SlowForm)]

    @property
    def slow_variables(self) -> list[str]:
        """Paths of variables that take a pass through the whole model per example."""
        return [v.path for v in self.variables if id(v) in self._plan.whole]

    @property
    def bytes_per_example(self) -> int:
        """A conservative estimate of the bytes per example.

        It covers activations and their gradients, the largest layer's work space, and the result
        twice: by layer and concatenated. The model's variables come in addition.
        """
        return 4 * (self._plan.scratch + 3 * max(self.sizes) + 2 * self.parameters)

    @property
    def chunk(self) -> int:
        """Examples per chunk."""
        return max(1, self.memory // self.bytes_per_example)

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> tf.Tensor:
        """[N, S, S, C], and labels [N, ...] for a loss -> [N, P] float32, in chunks."""
        if self.loss is None:
            if labels is not None:
                raise ValueError("labels: must be None, since there is no loss")
            parts = [self._compiled(part) for part in self.chunks(images)]
        else:
            labels = self._labels(images, labels)
            if not self._checked_labels:
                self.check(images[:2], labels[:2])
                self._checked_labels = True
            parts, at = [], 0
            for part in self.chunks(images):
                end = at + part.shape[0]
                parts.append(self._compiled(part, labels[at:end]))
                at = end
        return parts[0] if len(parts) == 1 else tf.concat(parts, 0)

    def _labels(self, images: Tensor, labels: Tensor | None) -> tf.Tensor:
        if labels is None:
            raise ValueError("labels=None: must be given for gradients of a loss")
        labels = tf.convert_to_tensor(labels)
        if not labels.shape.rank or labels.shape[0] != images.shape[0]:
            raise ValueError(f"labels {tuple(labels.shape)}: must be [{images.shape[0]}, ...]")
        return labels

    def chunks(self, images: Tensor) -> Iterator[tf.Tensor]:
        """Splits the batch into chunks within the memory budget.

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

    def of_sum(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """The sum of the examples' gradients, [B, S, S, C] -> [P], by a plain backward pass."""
        return self._summed(images) if self.loss is None else self._summed(images, labels)

    def sum_in_graph(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Like `of_sum`, for use inside a `tf.function`."""
        each = self._sums(images, labels)
        if not self.sketched:
            return tf.concat(each, 0)
        return sum(self._sketch(i, g[None])[0] for i, g in enumerate(each))

    def _sums(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> list[tf.Tensor]:
        """The sum of the examples' gradients by each variable, [size] float32, by a tape."""
        values = [local_value(v) for v in self.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            total = tf.reduce_sum(self.value(images, labels))
        each = tape.gradient(total, values, unconnected_gradients="zero")
        flat = [tf.reshape(tf.convert_to_tensor(g), (-1,)) for g in each]
        return [tf.cast(g, tf.float32) for g in flat]

    def flat(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Like `__call__` in one piece, for use inside a `tf.function`."""
        if self.sketched:
            return self.folded(images, self.sketched, self._sketch, labels)
        return tf.concat(self.parts(images, labels)[1], 1)

    def _sketch(self, i: int, rows: tf.Tensor) -> tf.Tensor:
        return sketch(rows, self.parameters, int(self._starts[i]))

    def parts(
        self, images: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """D's values [B] and, for each variable, the gradients [B, size], float32."""
        values, uses = self._records(images, labels)
        sums: list[tf.Tensor | None] = [None] * len(self.variables)
        for i, rows in self._pieces(uses, images, labels):
            so_far = sums[i]  # gradients of a layer used twice add up
            sums[i] = rows if so_far is None else so_far + rows
        count = tf.shape(values)[0]
        empty = [
            tf.zeros((count, n)) if s is None else s for s, n in zip(sums, self.sizes, strict=True)
        ]
        return values, empty

    def folded(
        self,
        images: tf.Tensor,
        width: int,
        fold: Callable[[int, tf.Tensor], tf.Tensor],
        labels: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The sum of `fold(i, rows)` [B, width] over the variables' gradients, rows [B, size_i].

        One layer's gradients are held at a time; a layer used twice is folded in separate parts, so
        `fold` must be linear.
        """
        values, uses = self._records(images, labels)
        total = tf.zeros((tf.shape(values)[0], width))
        pieces = self._pieces(uses, images, labels)
        while True:
            with tf.control_dependencies([total]):  # otherwise all layers of a graph run at once
                piece = next(pieces, None)
                if piece is None:
                    return total
                total += fold(*piece)

    def _records(
        self, images: tf.Tensor, labels: tf.Tensor | None
    ) -> tuple[tf.Tensor, list[tuple[Use, tf.Tensor]]]:
        """D's values [B], and every use of a layer with parameters, with its delta."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            with self._plan.noting(tape) as noted:
                values = self.value(images, labels)
            total = tf.reduce_sum(values)
        deltas = tape.gradient(total, [u.s for u in noted], unconnected_gradients="zero")
        return values, list(zip(noted, deltas, strict=True))

    def _pieces(
        self, uses: Sequence[tuple[Use, tf.Tensor]], images: tf.Tensor, labels: tf.Tensor | None
    ) -> Iterator[tuple[int, tf.Tensor]]:
        """Yields (index of a variable, gradients [B, size]); those of the same variable add up."""
        whole = self._plan.whole
        for use, delta in uses:
            variables = use.form.variables()
            if all(id(v) in whole or id(v) not in self.place for v in variables):
                continue
            for variable, rows in zip(variables, use.form.gradients(use.a, delta), strict=True):
                i = self.place.get(id(variable))
                if i is not None and id(variable) not in whole:
                    yield i, rows
        slow = [v for v in self.variables if id(v) in whole]
        if slow:
            rows = (images,) if labels is None else (images, labels)

            def of_one(row: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, None]:
                return self.value(*(t[None] for t in row)), None

            for variable, each in zip(slow, one_by_one(of_one, rows, slow), strict=True):
                yield self.place[id(variable)], each

    def value(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """D's values, or the losses, [B, S, S, C] -> [B] float32.

        If a loss has no labels, a fixed random linear function of the outputs.
        """
        return self._number(self.model(images, training=self.training), labels)

    def _number(self, outputs: Any, labels: tf.Tensor | None) -> tf.Tensor:
        if self.loss is None:
            return tf.reshape(tf.cast(outputs, tf.float32), (-1,))
        if labels is None:
            return _stand_in(outputs)
        call = self.loss.call if isinstance(self.loss, keras.losses.Loss) else self.loss
        losses = tf.cast(call(labels, outputs), tf.float32)
        if not losses.shape.rank:
            raise ValueError("loss: returns one number for the batch, must return one per example")
        return tf.reduce_mean(tf.reshape(losses, (tf.shape(losses)[0], -1)), 1)

    def check(self, images: Tensor | None = None, labels: Tensor | None = None) -> bool:
        """Compares with plain tapes, per variable, in the model's precision.

        The sum of two rows must equal the gradient of the sum, and the first row that of a single
        example. A variable for which they differ takes the path through the whole model from then
        on, with a warning.

        Args:
            images: the first two are used; default: uniform numbers in [-1, 1].
            labels: their labels, for a loss.

        Returns:
            Whether all gradients agreed.

        Raises:
            ValueError: they also differ on that path.
        """
        if images is None:
            images = np.random.default_rng(1).uniform(-1, 1, (2, *self.shape))
        images = tf.cast(images[:2], tf.float32)
        labels = None if labels is None else labels[:2]
        training, self.training = self.training, False
        try:
            wrong = self._differing(images, labels)
            if not wrong:
                return True
            self._plan.whole |= {id(self.variables[i]) for i in wrong}
            self._say_slow({id(self.variables[i]) for i in wrong})
            wrong = self._differing(images, labels)
        finally:
            self.training = training
        if wrong:
            names = ", ".join(self.variables[i].path for i in wrong)
            raise ValueError(
                f"model {self.model.name!r}: the gradients of its examples by {names} do not add "
                "up to the gradient of their sum, or change from call to call"
            )
        self._check_randomness()
        self._compile()
        return False

    def _differing(self, images: tf.Tensor, labels: tf.Tensor | None) -> list[int]:
        one = None if labels is None else labels[:1]
        rows = self.parts(images, labels)[1]
        both, first = self._sums(images, labels), self._sums(images[:1], one)
        coarse = self.model.compute_dtype in ("float16", "bfloat16")
        relative = COARSE_TOLERANCE if coarse else TOLERANCE
        largest = max(float(tf.reduce_max(tf.abs(g))) for g in (*both, *first))
        least = (COARSE_ROUNDING if coarse else ROUNDING) * largest + 1e-30
        wrong = []
        for i, (row, total, alone) in enumerate(zip(rows, both, first, strict=True)):
            size = float(tf.reduce_max(tf.abs(tf.stack([total, alone]))))
            off = tf.stack([tf.reduce_sum(row, 0) - total, row[0] - alone])
            apart = float(tf.reduce_max(tf.abs(off)))
            if not apart <= relative * size + least:  # also NaN
                wrong.append(i)
        return wrong

    def _say_slow(self, whole: set[int]) -> None:
        names = [v.path for v in self.variables if id(v) in whole]
        if names:
            warnings.warn(
                f"model {self.model.name!r}: {', '.join(names)} are used in a way that no layer's "
                "form covers; their gradients take a pass through the model per example",
                stacklevel=3,
            )

    def _check_randomness(self) -> None:
        """Refuses random draws in slow layers, which are called again for their gradients."""
        slow = [form.layer for form in self._plan.forms if isinstance(form, SlowForm)]
        for layer in [*slow, *([self.model] if self._plan.whole else [])]:
            if self.training and any(part._seed_generators for part in layer._flatten_layers()):
                raise ValueError(
                    f"training=True: layer {layer.name!r} draws at random, and its gradients take "
                    "a second call"
                )

    def _check_coupling(self) -> None:
        """Checks whether an example's value depends on its neighbours."""
        if self.training:
            for layer in self.model._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
                    raise ValueError(
                        f"layer {layer.name!r}: BatchNormalization in training couples the "
                        "examples of a batch, which have no gradients of their own then"
                    )
        rng = np.random.default_rng(0)
        x = tf.constant(rng.uniform(-1, 1, (3, *self.shape)), tf.float32)
        outputs = self.model(x, training=False)
        shapes = [tuple(y.shape) for y in keras.tree.flatten(outputs)]
        if self.loss is None and (len(shapes) != 1 or shapes[0] not in ((3,), (3, 1))):
            raise ValueError(
                f"output {shapes[0][1:]}: must be one number per example, or a loss must be given"
            )
        whole = self._number(outputs, None).numpy()
        each = [self._number(self.model(x[i : i + 1], training=False), None) for i in range(3)]
        alone = np.concatenate(each)
        coarse = self.model.compute_dtype in ("float16", "bfloat16")
        if np.abs(whole - alone).max() > (0.1 if coarse else 1e-3) * (np.abs(whole).max() + 1e-6):
            raise ValueError(
                f"model {self.model.name!r}: an example's value depends on the others of its "
                "batch (batch statistics, minibatch discrimination): it has no own gradient"
            )

    def _look(self) -> Plan:
        plans = []

        @tf.function(autograph=False)
        def look(x: tf.Tensor) -> tf.Tensor:
            plans.append(make_plan(self.model, self.variables, lambda: self.value(x)))
            return x

        look.get_concrete_function(tf.TensorSpec((2, *self.shape)))
        return plans[0]


def compiled(function: Callable, shape: Sequence[int]) -> Callable:
    """A function of float32 images [B, *shape] as a single graph for any B."""
    spec = [tf.TensorSpec((None, *shape))]
    return tf.function(function, input_signature=spec, autograph=False)


def _stand_in(outputs: Any) -> tf.Tensor:
    """[B] float32: a fixed random linear function of all outputs of an example."""
    rng, total = np.random.default_rng(2), tf.constant(0.0)
    for y in keras.tree.flatten(outputs):
        y = tf.reshape(tf.cast(y, tf.float32), (tf.shape(y)[0], math.prod(y.shape[1:])))
        total += tf.linalg.matvec(y, tf.constant(rng.normal(size=y.shape[1]), tf.float32))
    return total


def _input_shape(model: keras.Model) -> tuple[int, ...]:
    try:
        shape = model.input_shape
    except AttributeError:  # a subclassed model that has been built or called
        shape = getattr(model, "_build_shapes_dict", None) or {}
        shape = next(iter(shape.values()), None)
    if shape is None or isinstance(shape, (list, dict)) or None in tuple(shape)[1:]:
        raise ValueError(f"model {model.name!r}: must be built with one input of a fixed size")
    return tuple(int(n) for n in shape[1:])

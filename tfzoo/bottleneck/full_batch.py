"""Keras models that train on their whole training set at once, and store it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.bottleneck.dynamics import CROSS_ENTROPY
from tfzoo.bottleneck.training_set import class_numbers, step_loss, training_set
from tfzoo.config import Count, Spread
from tfzoo.environment import only_on
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor


class WholeSetModel(ZooModel):
    """Base of these models: rows of inputs, the stored training set, and `fit`.

    A subclass defines `_make(inputs, outputs, examples)`, which adds its weights, `_begin(y)` and
    `_end()`, called at the start and the end of each `fit`, and `train_step`. No weights are
    trainable. Computation is in at least float32 under any dtype policy.

    Args:
        input_shape: shape of one example; None: taken from the first `fit`, as for the next two.
        outputs: number of outputs k.
        examples: number N of training examples in the model.
        pixel_mean: subtracted from the inputs.
        pixel_std: divisor of the result.
        unit_rows: scale the result to length sqrt(n) for n inputs, so that x.x/n = 1.
        **keywords: `name`, ...
    """

    built: bool  # by Keras

    def __init__(
        self,
        *,
        input_shape: Sequence[int] | None,
        outputs: Count | None,
        examples: Count | None,
        pixel_mean: float,
        pixel_std: Spread,
        unit_rows: bool,
        **keywords: Any,
    ):
        kind = keras.dtype_policies.get(keywords.pop("dtype", None) or keras.config.dtype_policy())
        keywords["dtype"] = "float64" if kind.variable_dtype == "float64" else "float32"
        super().__init__(**keywords)
        self.example_shape = None if input_shape is None else tuple(int(n) for n in input_shape)
        self.num_outputs, self.examples = outputs, examples
        self.pixel_mean, self.pixel_std, self.unit_rows = pixel_mean, pixel_std, unit_rows
        if self.example_shape is not None and outputs is not None and examples is not None:
            self.build((None, *self.example_shape))

    def build(self, shape: Shape | None = None) -> None:
        """Creates all weights.

        Raises:
            ValueError: the numbers of examples and outputs are unknown.
        """
        if self.built:
            return
        shape, outputs, examples = self.sizes()
        inputs = math.prod(shape)
        self.x = self._weight("x", (examples, inputs))
        self.steps = self._weight("steps", (), dtype="int32")
        self._make(inputs, outputs, examples)
        self.built = True

    def sizes(self) -> tuple[tuple[int, ...], int, int]:
        """Shape of one example, k and N.

        Raises:
            ValueError: they are unknown.
        """
        if self.example_shape is None or self.num_outputs is None or self.examples is None:
            raise ValueError(
                f"model {self.name!r} has no training set: call fit first, or pass input_shape, "
                "outputs and examples"
            )
        return self.example_shape, self.num_outputs, self.examples

    def _make(self, inputs: int, outputs: int, examples: int) -> None:
        raise NotImplementedError

    def _begin(self, y: np.ndarray) -> None:
        raise NotImplementedError

    def _weight(
        self, name: str, shape: tuple[int, ...], drawn: bool = False, dtype: str | None = None
    ):
        start = keras.initializers.RandomNormal(0.0, 1.0) if drawn else "zeros"
        return self.add_weight(
            shape=shape, initializer=start, trainable=False, name=name, dtype=dtype
        )

    def rows(self, x: Tensor) -> Tensor:
        """Converts inputs for the kernels: [B, *input_shape] -> [B, n]."""
        if self.example_shape is not None and tuple(x.shape[1:]) != self.example_shape:
            raise ValueError(f"input {tuple(x.shape)}: must be [B, *{self.example_shape}]")
        x = ops.cast(x, self.variable_dtype)
        x = ops.reshape(x, (-1, math.prod(x.shape[1:])))
        x = (x - self.pixel_mean) / self.pixel_std
        if self.unit_rows:
            square = ops.mean(ops.square(x), -1, keepdims=True)
            x = x * ops.rsqrt(ops.maximum(square, 1e-12))  # a zero vector stays zero
        return x

    def input_specs(self) -> list[keras.InputSpec]:
        """Inputs shaped like the training examples."""
        return [keras.InputSpec("float32", (None, *self.sizes()[0]))]

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.num_outputs)

    def get_config(self) -> dict[str, Any]:
        """The config with the training set's sizes, which the constructor may not have known."""
        shape = None if self.example_shape is None else list(self.example_shape)
        sizes = {"outputs": self.num_outputs, "examples": self.examples}
        return super().get_config() | {"input_shape": shape} | sizes

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as when the model was saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    @only_on("tensorflow", "torch", why="whose steps assign to weights, which JAX's must not")
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: list[keras.callbacks.Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        **keywords: Any,
    ) -> keras.callbacks.History:
        """Trains on the whole set at once, otherwise like `keras.Model.fit`.

        Every step uses all examples, so an epoch is one step unless `steps_per_epoch` is given;
        more steps per epoch reduce the overhead of callbacks and the progress bar. Called again
        with the same examples, it continues.

        Args:
            x: inputs [N, *input_shape], or a source of batches (x, y) that together form the
                training set: a `tf.data.Dataset` (an infinite one must repeat it as one batch), a
                `keras.utils.PyDataset`, or a finite iterator.
            y: targets [N, k], or class indices [N] for a sparse loss; None with batches.
            batch_size: None, or at least N.
            epochs: as in Keras, like the following.
            verbose: see `epochs`.
            callbacks: see `epochs`.
            validation_split: fraction of examples, from the end.
            validation_data: evaluated at the end of each epoch.
            shuffle: has no effect.
            class_weight: not supported.
            sample_weight: not supported.
            initial_epoch: as in Keras.
            steps_per_epoch: full-batch steps per epoch.
            **keywords: further arguments of Keras's `fit`.

        Raises:
            ValueError: an argument is not supported, the data are not finite or have a wrong shape,
                or the model was trained on other examples.
            FloatingPointError: the loss became NaN or infinite.
        """
        import tensorflow as tf  # for an infinite dataset

        del shuffle
        for name, value in (("class_weight", class_weight), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(f"{name}: is not supported")
        self._assert_compile_called("fit")
        x, y = training_set(x, y)
        if validation_split and validation_data is None:
            cut = len(x) - int(len(x) * validation_split)
            (x, y), validation_data = (x[:cut], y[:cut]), (x[cut:], y[cut:])
        if batch_size is not None and batch_size < len(x):
            raise ValueError(
                f"batch_size={batch_size}: must be None or at least {len(x)}, the whole training "
                "set; use fewer examples to save memory"
            )
        self._take(x, y)
        self._begin(y)
        self.train_function = None  # the old function holds the old set
        one = tf.data.Dataset.from_tensors((x[:1], y[:1])).repeat()  # placeholder for the set
        try:
            return super().fit(
                one,
                epochs=epochs,
                verbose=verbose,
                callbacks=[*(callbacks or []), _Guard()],
                validation_data=validation_data,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch or 1,
                shuffle=False,
                **keywords,
            )
        finally:
            self._end()

    def _end(self) -> None:
        self.train_function = None

    def _take(self, x: np.ndarray, y: np.ndarray) -> None:
        """Checks the training set and stores its inputs."""
        loss, sparse = step_loss(self.loss, 1)
        if loss is CROSS_ENTROPY and not sparse and y.size == len(y):
            raise ValueError(
                f"y of shape {y.shape}: must be rows [N, k], k at least 2; class indices are for "
                "SparseCategoricalCrossentropy(from_logits=True)"
            )
        outputs = self.num_outputs
        if not self.built:
            width = int(class_numbers(y).max()) + 1 if sparse else math.prod(y.shape[1:])
            self.example_shape = self.example_shape or x.shape[1:]
            self.num_outputs, self.examples = outputs or width, len(x)
            self.build()
        if not sparse and math.prod(y.shape[1:]) != self.num_outputs:
            raise ValueError(f"y of shape {y.shape}: must be [N, {self.num_outputs}]")
        rows = ops.convert_to_numpy(self.rows(x))
        if int(self.steps) == 0 and len(rows) == self.examples:
            self.x.assign(rows)
        elif len(rows) != self.examples or not np.array_equal(rows, ops.convert_to_numpy(self.x)):
            raise ValueError(
                f"x of {len(x)} examples: must be the {self.examples} that the model was built for "
                "and trained on; build a new model for others"
            )


class _Guard(keras.callbacks.Callback):
    """Stops a training whose loss is not finite; runs after all other callbacks."""

    @override
    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"step {int(self.model.steps)}: the loss is {loss}; use a smaller rate or "
                "learning rate"
            )

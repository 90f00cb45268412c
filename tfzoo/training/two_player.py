"""Models with two parts that are trained in turn, each by its own optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfzoo.environment import only_on
from tfzoo.training import replicas
from tfzoo.training.zoo_model import ZooModel, refuse_losses, refuse_weights
from tfzoo.typing import Tensor


class TwoPlayer(ZooModel):
    """A model whose critic is trained by `optimizer` and whose generator by `g_optimizer`.

    A subclass defines the variables of each, and trains in `train_step`. Both optimizers are kept
    in `.keras` files and checkpoints.
    """

    def judge_variables(self) -> list[keras.Variable]:
        """The variables that `optimizer` updates."""
        raise NotImplementedError

    def generator_variables(self) -> list[keras.Variable]:
        """The variables that `g_optimizer` updates."""
        raise NotImplementedError

    def default_optimizers(self) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
        """Default optimizers for `compile`."""
        raise NotImplementedError

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | None = None,
        g_optimizer: keras.optimizers.Optimizer | None = None,
        **keywords: Any,
    ) -> None:
        """Sets both optimizers.

        Args:
            optimizer: optimizer of the critic; None: the model's default.
            g_optimizer: optimizer of the generator; None: the model's default.
            **keywords: Keras's execution options: `run_eagerly`, `steps_per_execution`,
                `jit_compile`, ...

        Raises:
            ValueError: a loss or metric is given.
        """
        refuse_losses(self, keywords)
        first, second = self.default_optimizers()
        super().compile(optimizer=optimizer or first, **keywords)
        self.g_optimizer = keras.optimizers.get(g_optimizer or second)
        scale = keywords.get("auto_scale_loss", True)
        if scale and self.dtype_policy.name == "mixed_float16":  # as Keras does with the first one
            self.g_optimizer = keras.optimizers.LossScaleOptimizer(self.g_optimizer)
        self.optimizer.build(self.judge_variables())
        self.g_optimizer.build(self.generator_variables())

    def get_compile_config(self) -> dict[str, Any] | None:
        """Keras's compile config with both optimizers; None before `compile`."""
        if not self.compiled:
            return None
        inner = {
            key: getattr(optimizer, "inner_optimizer", optimizer)
            for key, optimizer in (("optimizer", self.optimizer), ("g_optimizer", self.g_optimizer))
        }
        config = {key: keras.saving.serialize_keras_object(o) for key, o in inner.items()}
        return super().get_compile_config() | config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as when the model was saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @only_on("tensorflow", why="whose two optimizers need TensorFlow's tapes")
    def fit(self, *args: Any, **keywords: Any) -> keras.callbacks.History:
        """`keras.Model.fit`; TensorFlow only."""
        return super().fit(*args, **keywords)

    @only_on("tensorflow", "torch", why="whose test step is not implemented for JAX")
    def evaluate(self, *args: Any, **keywords: Any) -> Any:
        """`keras.Model.evaluate`; TensorFlow and torch only."""
        return super().evaluate(*args, **keywords)

    @property
    def optimizer_variables(self) -> list[keras.Variable]:
        """The variables of the generator's optimizer, for checkpoints; Keras tracks the other's."""
        return self.g_optimizer.variables if self.compiled else []

    def unpacked(self, data: Any) -> Any:
        """The inputs of a step's data; labels are ignored.

        Raises:
            ValueError: examples have weights.
        """
        inputs, _, weights = keras.utils.unpack_x_y_sample_weight(data)
        refuse_weights(self, weights)
        return inputs

    def tape(self) -> tf.GradientTape:
        """A context that records the loss of which `move` takes gradients."""
        return tf.GradientTape()

    def scaled(self, loss: Tensor, optimizer: keras.optimizers.Optimizer) -> Tensor:
        """Scales a mean over this replica's rows for `move`."""
        return optimizer.scale_loss(replicas.share(loss))

    def note(self, rows: int | Tensor, values: Iterable[Tensor]) -> dict[str, Tensor]:
        """Adds means over `rows` rows to the epoch's metrics, in the order of `metrics`.

        A replica may have no rows in the last batch.
        """
        for mean, value in zip(self.metrics, values, strict=True):
            value = ops.where(ops.equal(rows, 0), ops.zeros_like(value), value)
            mean.update_state(value, sample_weight=rows)
        return {mean.name: mean.result() for mean in self.metrics}

    def move(
        self,
        tape: tf.GradientTape,
        loss: Tensor,
        optimizer: keras.optimizers.Optimizer,
        variables: list[keras.Variable],
    ) -> None:
        """One optimizer step for a loss from `scaled`, recorded on a `tape`."""
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)


def follow(average: keras.Model, source: keras.Model, ema: float) -> None:
    """Parameters a <- ema a + (1 - ema) p; running statistics are copied."""
    for mine, theirs in zip(average.weights, source.weights, strict=True):
        mine.assign(ema * mine + (1 - ema) * theirs if theirs.trainable else theirs)

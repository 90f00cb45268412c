"""Child models of one architecture, trained side by side in one graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfzoo.ala.parametric import ParametricLoss
from tfzoo.config import check, choices
from tfzoo.environment import only_on
from tfzoo.errors import InputError
from tfzoo.typing import Tensor

MODES = ("vectorised", "loop")


class Children:
    """P models, each with its own weights, optimizer state and loss parameters.

    Their weights are stacked [P, ...]. `vectorised` maps the training step over them, so that P
    dense layers are one batched product; convolutions do not benefit (TensorFlow runs them one
    after another), so use `loop` for those. With a strategy the children are divided among its
    replicas, each of which holds its part on its device.

    Args:
        make: creates a model; called P times, so that each child has its own initial weights.
        loss: the children's loss; the parameters are arguments of `step`, not its `phi`.
        optimizer: copies of it train the children. It must be elementwise, so clipping by a norm,
            which would couple the children, is refused.
        count: number of children P.
        mode: one of `MODES`.
        strategy: a `tf.distribute.MirroredStrategy`, or None.
        jit_compile: whether to compile the step with XLA; only without a strategy.

    Raises:
        InputError: a setting out of range, an optimizer that clips by a norm, or a float16 policy
            (whose loss scale the children would share).
    """

    @only_on("tensorflow", why="which maps TensorFlow's tapes over models")
    def __init__(
        self,
        make: Callable[[], keras.Model],
        loss: ParametricLoss,
        optimizer: keras.optimizers.Optimizer,
        count: int,
        mode: str = "vectorised",
        strategy: tf.distribute.Strategy | None = None,
        jit_compile: bool = False,
    ):
        check(count >= 1, "children", count, "at least 1")
        choices("mode", mode, MODES)
        for name in ("clipnorm", "global_clipnorm"):
            check(getattr(optimizer, name) is None, name, getattr(optimizer, name), "None")
        self.loss, self.count, self.strategy = loss, count, strategy
        devices = strategy.extended.worker_devices if strategy else (None,)
        fits = count >= len(devices)
        check(fits, "children", count, f"at least {len(devices)}, one per replica")
        models = [make() for _ in range(count)]
        if models[0].dtype_policy.compute_dtype == "float16":
            raise InputError(
                "precision='mixed_float16': must be float32 or mixed_bfloat16, since the children "
                "would share one loss scale"
            )
        parts = np.array_split(np.arange(count), len(devices))
        self.groups = [
            _Group([models[i] for i in part], loss, optimizer, mode, device)
            for part, device in zip(parts, devices, strict=True)
        ]
        self.parts = [slice(int(p[0]), int(p[-1]) + 1) for p in parts]
        # `warm` is a Python flag: two graphs, since a conditional is not mapped well
        self._step = tf.function(self._all, autograph=False, jit_compile=jit_compile or None)
        self._several = tf.function(self._loop, autograph=False, jit_compile=jit_compile or None)
        self._said = tf.function(self._answers, autograph=False, reduce_retracing=True)
        self._observe = tf.function(loss.observe, autograph=False) if loss.state else None

    @property
    def variables(self) -> list[keras.Variable]:
        """The complete state of the training."""
        return [v for group in self.groups for v in group.variables]

    def step(self, x: Tensor, y: Tensor, phi: Tensor, warm: bool = False) -> np.ndarray:
        """One step of every child, with its own batch and parameters; returns the losses [P].

        Args:
            x: inputs [P, B, ...].
            y: labels [P, B, ...].
            phi: loss parameters [P, ...].
            warm: whether to use the fixed loss.
        """
        given = [tf.convert_to_tensor(x), tf.convert_to_tensor(y)]
        if self._observe is not None:
            self._observe(tf.reshape(given[1], (-1, *given[1].shape[2:])))
        given.append(tf.convert_to_tensor(phi, tf.float32))
        if self.strategy is None:
            return self._step(*given, bool(warm))
        parts = self.parts
        shared = [
            self.strategy.experimental_distribute_values_from_function(
                lambda context, a=a: a[parts[context.replica_id_in_sync_group]]
            )
            for a in given
        ]
        return self._step(*shared, bool(warm))

    def steps(self, x: Tensor, y: Tensor, phi: Tensor, warm: bool = False) -> np.ndarray:
        """Several steps in one call, without a strategy; returns the last step's losses [P].

        Args:
            x: inputs [K, P, B, ...].
            y: labels [K, P, B, ...].
            phi: loss parameters [P, ...].
            warm: whether to use the fixed loss.
        """
        x, y = (tf.convert_to_tensor(a) for a in (x, y))
        if self._observe is not None:
            self._observe(tf.reshape(y, (-1, *y.shape[3:])))
        return self._several(x, y, tf.convert_to_tensor(phi, tf.float32), bool(warm))

    def predict(self, batches: Sequence[Tensor]) -> np.ndarray:
        """Every child's predictions for the same inputs, in batches: [P, N, ...]."""
        return np.concatenate([self._said(tf.convert_to_tensor(x)).numpy() for x in batches], 1)

    def begin(self, models: Sequence[keras.Model]) -> None:
        """Restarts from other initial weights, keeping the compiled step.

        Args:
            models: P of the same architecture.
        """
        for group, part in zip(self.groups, self.parts, strict=True):
            group.begin(models[part])

    def copy(self, source: int, target: int) -> None:
        """Copies weights and optimizer state from one child to another, without a strategy."""
        for variable in self.groups[0].stacked:
            values = keras.ops.convert_to_numpy(variable).copy()
            values[target] = values[source]
            variable.assign(values)

    def write(self, child: int, model: keras.Model) -> None:
        """Copies a child's weights to a model of the same architecture."""
        which = next(i for i, part in enumerate(self.parts) if child < part.stop)
        self.groups[which].write(child - self.parts[which].start, model)

    def _all(self, x: Tensor, y: Tensor, phi: Tensor, warm: bool) -> tf.Tensor:
        if self.strategy is None:
            parts = [self.groups[0].gradients(x, y, phi, warm)]
        else:

            def local(x: Tensor, y: Tensor, phi: Tensor) -> tuple[Tensor, list, list]:
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group
                return self.groups[int(tf.get_static_value(replica))].gradients(x, y, phi, warm)

            per_replica = self.strategy.run(local, (x, y, phi))
            # a list of structures, one per replica
            local_of = self.strategy.experimental_local_results
            flat = [local_of(v) for v in tf.nest.flatten(per_replica)]
            parts = [
                tf.nest.pack_sequence_as(per_replica, [v[i] for v in flat])
                for i in range(len(self.groups))
            ]
        for group, (_, gradients, state) in zip(self.groups, parts, strict=True):
            group.apply(gradients, state)
        return tf.concat([losses for losses, _, _ in parts], 0)

    def _loop(self, x: Tensor, y: Tensor, phi: Tensor, warm: bool) -> tf.Tensor:
        def one(i: tf.Tensor, losses: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return i + 1, self._all(x[i], y[i], phi, warm)

        count = x.shape[0]
        start = (tf.constant(0), tf.zeros(self.count))
        return tf.while_loop(lambda i, _: i < count, one, start, parallel_iterations=1)[1]

    def _answers(self, x: tf.Tensor) -> tf.Tensor:
        return tf.concat([group.answers(x) for group in self.groups], 0)


class _Group:
    """The children on one device."""

    def __init__(
        self,
        models: Sequence[keras.Model],
        loss: ParametricLoss,
        optimizer: keras.optimizers.Optimizer,
        mode: str,
        device: str | None,
    ):
        self.model, self.loss, self.mode, self.count = models[0], loss, mode, len(models)
        with tf.device(device):
            self.trainable = _stacked([m.trainable_variables for m in models], True)
            self.state = _stacked([m.non_trainable_variables for m in models], False)
            self.optimizer = type(optimizer).from_config(optimizer.get_config())
            self.optimizer.build(self.trainable)

    @property
    def variables(self) -> list[keras.Variable]:
        return [*self.trainable, *self.state, *self.optimizer.variables]

    @property
    def stacked(self) -> list[keras.Variable]:
        """The variables of which each child has its part."""
        shapes = {tuple(v.shape) for v in self.trainable}
        slots = [v for v in self.optimizer.variables if tuple(v.shape) in shapes]
        return [*self.trainable, *self.state, *slots]

    def begin(self, models: Sequence[keras.Model]) -> None:
        for variables, name in ((self.trainable, "trainable"), (self.state, "non_trainable")):
            new = zip(*(getattr(m, f"{name}_variables") for m in models), strict=True)
            for variable, same in zip(variables, new, strict=True):
                variable.assign(np.stack([keras.ops.convert_to_numpy(v) for v in same]))
        for variable in self.optimizer.variables:
            if variable.name != "learning_rate":
                variable.assign(keras.ops.zeros_like(variable))

    def gradients(self, x: Tensor, y: Tensor, phi: Tensor, warm: bool) -> tuple[Tensor, list, list]:
        """Losses [P], gradients and new states of all children."""

        def of_one(given: tuple) -> tuple[Tensor, list, list]:
            weights, state, x, y, phi = given
            with tf.GradientTape() as tape:
                tape.watch(weights)
                said, state, extra = self.model.stateless_call(
                    weights, state, x, training=True, return_losses=True
                )
                rows = self.loss.fixed(y, said) if warm else self.loss.value(phi, y, said)
                loss = tf.reduce_mean(rows) + tf.add_n([tf.zeros([]), *extra])
            gradient = tape.gradient(loss, weights, unconnected_gradients="zero")
            return loss, [tf.convert_to_tensor(g) for g in gradient], list(state)

        return self._mapped(of_one, (*self._values(), x, y, phi))

    def apply(self, gradients: list, state: list) -> None:
        """Applies the optimizer's step and the layers' new states."""
        self.optimizer.apply(gradients, self.trainable)
        for variable, value in zip(self.state, state, strict=True):
            variable.assign(value)

    def answers(self, x: Tensor) -> Tensor:
        """Predictions [P, B, ...] of the same inputs."""

        def of_one(given: tuple) -> Tensor:
            return self.model.stateless_call(*given, x, training=False)[0]

        return self._mapped(of_one, self._values())

    def write(self, child: int, model: keras.Model) -> None:
        for variables, stacks in (
            (model.trainable_variables, self.trainable),
            (model.non_trainable_variables, self.state),
        ):
            for variable, stack in zip(variables, stacks, strict=True):
                variable.assign(stack[child])

    def _values(self) -> tuple[list, list]:
        """The stacked weights and states, as tensors."""
        weights, state = (
            [tf.convert_to_tensor(v) for v in vs] for vs in (self.trainable, self.state)
        )
        return weights, state

    def _mapped(self, function: Callable[[Any], Any], given: tuple) -> Any:
        if self.mode == "vectorised":
            return tf.vectorized_map(function, given)
        rows = [
            function(tf.nest.map_structure(lambda a, i=i: a[i], given)) for i in range(self.count)
        ]
        return tf.nest.map_structure(lambda *parts: tf.stack(parts), *rows)


def _stacked(groups: Sequence[Sequence[keras.Variable]], trainable: bool) -> list[keras.Variable]:
    """One variable [P, ...] per variable of a model, under its name."""
    return [
        keras.Variable(
            np.stack([keras.ops.convert_to_numpy(v) for v in same]),
            trainable=trainable,
            dtype=same[0].dtype,
            name=same[0].name,
        )
        for same in zip(*groups, strict=True)
    ]

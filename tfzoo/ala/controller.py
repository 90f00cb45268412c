"""The controller: a policy over steps of a loss's parameters, learned by REINFORCE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.config import Count, NonNegative, Share
from tfzoo.environment import only_on
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor

if TYPE_CHECKING:
    import tensorflow_probability as tfp

HISTORY = 10
"""Past values of each statistic that a state holds."""

STATE = 2 * HISTORY + 4
"""Length of a decision's state, 24."""

KEPT = 64
"""Decisions of one experience that the memory keeps, drawn where there are more."""


def states(history: np.ndarray, seen: int, parameters: np.ndarray, progress: float) -> np.ndarray:
    """What the policy is told of each decision [..., n, 24] (arXiv:1905.05895, 3.2).

    The last ten values of its two statistics, (current - mean) / (mean + 1e-8) of both over
    those, its parameter, and how far the training is. What was not yet seen is zero.

    Args:
        history: statistics, the newest last [..., n, 2, 10].
        seen: how many of the ten there are.
        parameters: [..., n].
        progress: t / T.
    """
    values = np.clip(np.nan_to_num(history), -10.0, 10.0)
    mean = values.sum(-1) / max(min(seen, HISTORY), 1)
    change = np.clip((values[..., -1] - mean) / (mean + 1e-8), -10.0, 10.0)
    flat = values.reshape(*values.shape[:-2], 2 * HISTORY)
    rest = [change, parameters[..., None], np.full((*parameters.shape, 1), progress)]
    return np.concatenate([flat, *rest], -1).astype("float32")


def reward(before: ArrayLike, now: ArrayLike) -> np.ndarray:
    """sign(M_{t-1} - M_t) (Eq. 5): 1 where the cost fell, -1 where it rose."""
    return np.sign(np.asarray(before, "float64") - np.asarray(now, "float64")).astype("float32")


@serializable("ala")
class LossController(ZooModel):
    """pi(a | s): for each decision a step of -beta, 0 or +beta, by a network 24-32-32-3.

    One policy for all decisions, so it goes with any number of classes and to other losses.
    Everything that its learning depends on is in its weights (policy, Adam,
    memory, baseline, count of draws): a saved `controller.keras` goes on as if never stopped.

    Args:
        beta: size of a step.
        hidden: widths of the policy.
        learning_rate: of its Adam; 0 keeps it as it is.
        memory: decisions that are remembered.
        batch: experiences (states of all decisions at once) of an update.
        updates: REINFORCE steps after each action; the paper's is one.
        baseline: b <- baseline b + (1 - baseline) mean r.
        entropy: weight of the policy's entropy, without which one action takes over.
        gamma: of the metric's sum over a window (Eq. 4).
        uniform: whether the policy begins uniform, as a random controller is. A network's usual
            first weights prefer some action for a kind of state, in all windows alike, and so try
            out directions; independent draws cancel.
        seed: of actions and minibatches.
        **keywords: of `keras.Model`.

    Raises:
        InputError: a setting out of range.
    """

    def __init__(
        self,
        beta: NonNegative = 0.1,
        hidden: Sequence[Count] = (32, 32),
        learning_rate: NonNegative = 1e-3,
        memory: Count = 4000,
        batch: Count = 8,
        updates: Count = 1,
        baseline: Share = 0.9,
        entropy: NonNegative = 0.01,
        gamma: Share = 0.9,
        uniform: bool = False,
        seed: int = 0,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.beta, self.hidden, self.learning_rate = float(beta), tuple(hidden), learning_rate
        self.memory, self.batch, self.updates = int(memory), int(batch), int(updates)
        self.decay = float(baseline)
        self.entropy, self.gamma, self.seed = float(entropy), float(gamma), int(seed)
        self.uniform = bool(uniform)
        self.layers_ = [
            keras.layers.Dense(width, "relu", name=f"hidden_{i}", dtype=self.dtype_policy)
            for i, width in enumerate(hidden)
        ]
        first = "zeros" if uniform else "glorot_uniform"
        last = {"kernel_initializer": first, "name": "actions", "dtype": "float32"}
        self.layers_.append(keras.layers.Dense(3, **last))
        self._compiled: Callable[..., None] | None = None
        self.adam = keras.optimizers.Adam(learning_rate, global_clipnorm=1.0)
        self.build((None, STATE))

    def build(self, shape: Shape) -> None:
        """Makes the policy, the memory and Adam's variables."""
        width = STATE
        for layer in self.layers_:
            layer.build((None, width))
            width = layer.units
        make = {"initializer": "zeros", "trainable": False, "dtype": "float32"}
        self.memory_states = self.add_weight((self.memory, STATE), name="memory_states", **make)
        self.memory_actions = self.add_weight((self.memory,), name="memory_actions", **make)
        self.memory_rewards = self.add_weight((self.memory,), name="memory_rewards", **make)
        self.average = self.add_weight((), name="baseline", **make)
        whole = make | {"dtype": "int32"}
        self.written = self.add_weight((), name="written", **whole)
        self.draws = self.add_weight((), name="draws", **whole)
        self.adam.build(self.trainable_variables)
        self.built = True

    def call(self, states: Tensor) -> Tensor:
        """Logits of the three actions [B, 3] of states [B, 24]."""
        for layer in self.layers_:
            states = layer(states)
        return ops.cast(states, "float32")

    @property
    def state(self) -> list[keras.Variable]:
        """Every variable that learning goes on from."""
        return [*self.variables, *self.adam.variables]

    @only_on("tensorflow", why="whose policy is one of TensorFlow Probability")
    def act(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws actions of states [..., 24]: numbers 0, 1, 2 and their steps, both [...]."""
        flat = np.asarray(states, "float32").reshape(-1, STATE)
        draw = self._policy(flat).sample(seed=[self.seed, int(self.draws)])
        self.draws.assign_add(1)
        actions = np.asarray(draw).reshape(states.shape[:-1])
        return actions, self.steps(actions)

    def steps(self, actions: np.ndarray) -> np.ndarray:
        """Actions 0, 1, 2 as steps -beta, 0, +beta."""
        return (self.beta * (np.asarray(actions) - 1)).astype("float32")

    def remember(self, states: np.ndarray, actions: np.ndarray, rewards: np.ndarray) -> None:
        """Keeps experiences: states [P, n, 24], actions [P, n], one reward each [P]."""
        count = states.shape[1]
        rewards = np.repeat(np.asarray(rewards)[:, None], count, 1)
        if count > KEPT:
            drawn = [self._random(1, p).permutation(count)[:KEPT] for p in range(len(states))]
            kept = np.stack(drawn)
            states = np.take_along_axis(states, kept[..., None], 1)
            actions, rewards = (np.take_along_axis(a, kept, 1) for a in (actions, rewards))
        states = states.reshape(-1, STATE)[-self.memory :]
        rows = (int(self.written) + np.arange(len(states))) % self.memory
        flat = (np.reshape(a, -1)[-self.memory :] for a in (actions, rewards))
        held = (self.memory_states, self.memory_actions, self.memory_rewards)
        for variable, new in zip(held, (states, *flat), strict=True):
            value = ops.convert_to_numpy(variable).copy()
            value[rows] = new
            variable.assign(value)
        self.written.assign_add(len(states))

    @only_on("tensorflow", why="whose policy is one of TensorFlow Probability")
    def learn(self, rewards: np.ndarray, decisions: int) -> None:
        """REINFORCE on remembered experiences, then the baseline follows `rewards`.

        Args:
            rewards: the newest [P].
            decisions: n of an experience; `batch` times as many are drawn.
        """
        count = min(int(self.written), self.memory)
        if not count or not self.learning_rate:
            return
        random, size = self._random(2), self.batch * min(decisions, KEPT)
        memory = (self.memory_states, self.memory_actions, self.memory_rewards)
        held = [ops.convert_to_numpy(v)[:count] for v in memory]
        for _ in range(self.updates):
            rows = random.integers(0, count, size)
            states, actions, got = (v[rows] for v in held)
            self._update(states, actions, got - float(self.average), decisions)
        self.draws.assign_add(1)
        self.average.assign(self.decay * self.average + (1 - self.decay) * float(np.mean(rewards)))

    def gradient(
        self, states: Tensor, actions: Tensor, advantages: Tensor, decisions: int
    ) -> list[Tensor]:
        """The gradient of -sqrt(n) mean[(r - b) log pi(a|s)] - entropy mean H(pi(.|s)).

        The first term is the mean over experiences of -(r - b) sum_i log pi(a_i|s_i) / sqrt(n).
        """
        import tensorflow as tf

        with tf.GradientTape() as tape:
            policy = self._policy(states)
            gain = policy.log_prob(tf.cast(actions, tf.int32)) * tf.cast(advantages, tf.float32)
            loss = -(decisions**0.5) * tf.reduce_mean(gain)
            loss -= self.entropy * tf.reduce_mean(policy.entropy())
        return tape.gradient(loss, [v.value for v in self.trainable_variables])

    def _update(self, *given: Tensor) -> None:
        """Adam's step, compiled at the first."""
        import tensorflow as tf

        if self._compiled is None:
            dtypes = (tf.float32, tf.int32, tf.float32, tf.float32)
            shapes: tuple[list[int | None], ...] = ([None, STATE], [None], [None], [])
            signature = [tf.TensorSpec(s, d) for s, d in zip(shapes, dtypes, strict=True)]

            def step(*given: Tensor) -> None:
                self.adam.apply(self.gradient(*given), self.trainable_variables)

            self._compiled = tf.function(step, input_signature=signature, autograph=False)
        states, actions, advantages, decisions = given
        self._compiled(
            states,
            np.asarray(actions, "int32"),
            np.asarray(advantages, "float32"),
            float(decisions),
        )

    def probabilities(self, states: ArrayLike) -> np.ndarray:
        """pi(. | s) of states [..., 24] -> [..., 3]."""
        flat = np.asarray(states, "float32").reshape(-1, STATE)
        found = ops.convert_to_numpy(ops.softmax(self(flat)))
        return found.reshape(*np.shape(states)[:-1], 3)

    def _policy(self, states: Tensor) -> tfp.distributions.Categorical:
        import tensorflow_probability as tfp

        return tfp.distributions.Categorical(logits=self(ops.cast(states, "float32")))

    def _random(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(self.draws), *purpose])

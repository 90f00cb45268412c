"""The controller: a policy over steps of a loss's parameters, learned by REINFORCE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.config import Count, NonNegative, OneOf, Share
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

CREDITS = ("level", "window")

PAPER = {
    "credit": "window",
    "standardised": False,
    "uniform": False,
    "learning_rate": 1e-3,
    "memory": 4000,
    "batch": 8,
    "entropy": 0.01,
}
"""Arguments of a `LossController` of the paper's form, as far as it is known."""


def states(
    history: np.ndarray,
    seen: int,
    parameters: np.ndarray,
    progress: float,
    standardised: bool = False,
) -> np.ndarray:
    """What the policy is told of each decision [..., n, 24] (arXiv:1905.05895, 3.2).

    The last ten values of its two statistics, (current - mean) / (mean + 1e-8) of both over
    those, its parameter, and how far the training is. What was not yet seen is zero.

    Args:
        history: statistics, the newest last [..., n, 2, 10].
        seen: how many of the ten there are.
        parameters: [..., n].
        progress: t / T.
        standardised: whether the values are told as deviations from their mean over the decisions,
            in parts of their standard deviation: a policy then reads which class is worse off than
            the others, wherever the losses of all are.
    """
    values = np.clip(np.nan_to_num(history), -10.0, 10.0)
    mean = values.sum(-1) / max(min(seen, HISTORY), 1)
    change = np.clip((values[..., -1] - mean) / (mean + 1e-8), -10.0, 10.0)
    if standardised:
        center, spread = (f(values, axis=-3, keepdims=True) for f in (np.mean, np.std))
        values = (values - center) / (spread + 1e-3)
    flat = values.reshape(*values.shape[:-2], 2 * HISTORY)
    rest = [change, parameters[..., None], np.full((*parameters.shape, 1), progress)]
    return np.concatenate([flat, *rest], -1).astype("float32")


def reward(before: ArrayLike, now: ArrayLike) -> np.ndarray:
    """sign(M_{t-1} - M_t) (Eq. 5): 1 where the cost fell, -1 where it rose."""
    return np.sign(np.asarray(before, "float64") - np.asarray(now, "float64")).astype("float32")


class _OfFiles(ZooModel):
    """A controller of a file written before credit by level is the paper's, as it then was."""

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return super().from_config(PAPER | config, custom_objects)


@serializable("ala")
class LossController(_OfFiles):
    """pi(a | s): for each decision a step of -beta, 0 or +beta, by a network 24-32-32-3.

    One policy for all decisions, so it goes with any number of classes and to other losses.
    Everything that its learning depends on is in its weights (policy, Adam, memory, baseline,
    count of draws): a saved `controller.keras` goes on as if never stopped.

    It learns by REINFORCE from a memory of decisions, each with its advantage. `credit` says what
    that is. `window`, the paper's: the sign of the metric's change over the window after the
    decision, less the moving average of such signs at that time. `level`, ours: where the metric
    of the decision's child stands *now* among the children, in their standard deviations; it is
    credited to all that the child did so far, `trace`^age to what is `age` windows old. One window
    says next to nothing of one decision, while children that have turned their losses one way
    for long differ in level. See `tfzoo.ala.Alignment` for a single child. `PAPER` holds the
    arguments of the paper's form: `LossController(**PAPER)`.

    Args:
        beta: size of a step.
        hidden: widths of the policy.
        learning_rate: of its Adam; 0 keeps it as it is.
        memory: decisions that are remembered.
        batch: experiences (states of all decisions at once) of an update; all that are remembered
            where there are fewer.
        updates: REINFORCE steps after each action; the paper's is one.
        baseline: of `window`: b <- baseline b + (1 - baseline) mean r.
        entropy: weight of the policy's entropy.
        gamma: of the metric's sum over a window (Eq. 4).
        uniform: whether the policy begins uniform. A network's usual first weights prefer some
            action for a kind of state, in all windows alike, and that preference is what a short
            training ends with.
        seed: of actions and minibatches.
        credit: `level` or `window`.
        trace: of `level`; 1 credits the whole past alike.
        standardised: whether states are, see `states`.
        exploration: standard deviation by which each child's policy is moved away from the shared
            one, in pairs, one this way and one the other (a last one without a partner acts by the
            shared one). Independent draws of actions cancel over windows; this does not.
        hold: windows for which a child keeps such a policy.
        **keywords: of `keras.Model`.

    Raises:
        InputError: a setting out of range.
    """

    def __init__(
        self,
        beta: NonNegative = 0.1,
        hidden: Sequence[Count] = (32, 32),
        learning_rate: NonNegative = 3e-3,
        memory: Count = 10_000,
        batch: Count = 120,
        updates: Count = 1,
        baseline: Share = 0.9,
        entropy: NonNegative = 0.0,
        gamma: Share = 0.9,
        uniform: bool = True,
        seed: int = 0,
        credit: Annotated[str, OneOf(*CREDITS)] = "level",
        trace: Share = 1.0,
        standardised: bool = True,
        exploration: NonNegative = 0.0,
        hold: Count = 20,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.beta, self.hidden, self.learning_rate = float(beta), tuple(hidden), learning_rate
        self.memory, self.batch, self.updates = int(memory), int(batch), int(updates)
        self.decay = float(baseline)
        self.entropy, self.gamma, self.seed = float(entropy), float(gamma), int(seed)
        self.uniform, self.standardised = bool(uniform), bool(standardised)
        self.credit, self.trace = credit, float(trace)
        self.exploration, self.hold = float(exploration), int(hold)
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
        self.memory_advantages = self.add_weight((self.memory,), name="memory_advantages", **make)
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

    def act(self, states: np.ndarray, window: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draws actions of states [..., 24]: numbers 0, 1, 2 and their steps, both [...].

        Args:
            states: with `exploration`, of the children [P, n, 24].
            window: how many came before, which says whether `hold` is over.
        """
        logits = self._logits(np.asarray(states, "float32"), window)
        # the greatest of logits plus Gumbel noise is a draw of their softmax
        actions = np.argmax(logits + self._random(4).gumbel(size=logits.shape), -1)
        self.draws.assign_add(1)
        return actions, self.steps(actions)

    def _logits(self, states: np.ndarray, window: int) -> np.ndarray:
        """As `call` [..., 3], each child's by a policy of its own with `exploration`."""
        random, h = np.random.default_rng([self.seed, 3, window // self.hold]), states
        for layer in self.layers_:
            kernel, bias = (ops.convert_to_numpy(v) for v in (layer.kernel, layer.bias))
            if self.exploration:  # [P, i, o], [P, 1, o]
                kernel, bias = (
                    self._around(kernel, len(h), random),
                    self._around(bias[None], len(h), random),
                )
            h = h @ kernel + bias
            if layer is not self.layers_[-1]:
                h = np.maximum(h, 0.0)
        return h

    def _around(self, value: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """An array moved for each child, in pairs [P, ...]."""
        away = self.exploration * random.normal(size=(count // 2, *value.shape))
        rest = np.zeros((count % 2, *value.shape))
        return value + np.concatenate([away, -away, rest])

    def steps(self, actions: np.ndarray) -> np.ndarray:
        """Actions 0, 1, 2 as steps -beta, 0, +beta."""
        return (self.beta * (np.asarray(actions) - 1)).astype("float32")

    def remember(
        self, states: np.ndarray, actions: np.ndarray, credit: ArrayLike, earlier: int = 0
    ) -> None:
        """Keeps experiences with their advantages.

        Args:
            states: of the children [P, n, 24].
            actions: [P, n].
            credit: of each child [P]: with `window` its reward, whose advantage over the present
                baseline is kept; with `level` the advantage itself.
            earlier: with `level`, how many experiences before this one are of the same children;
                they share the credit.
        """
        children, count = states.shape[0], states.shape[1]
        advantages = np.asarray(credit, "float32")
        if self.credit == "window":
            advantages = advantages - float(self.average)
        if count > KEPT:
            drawn = [self._random(1, p).permutation(count)[:KEPT] for p in range(children)]
            kept = np.stack(drawn)
            states = np.take_along_axis(states, kept[..., None], 1)
            actions, count = np.take_along_axis(actions, kept, 1), KEPT
        states = states.reshape(-1, STATE)[-self.memory :]
        rows = (int(self.written) + np.arange(len(states))) % self.memory
        new = (states, np.reshape(actions, -1)[-self.memory :])
        for variable, part in zip((self.memory_states, self.memory_actions), new, strict=True):
            value = ops.convert_to_numpy(variable).copy()
            value[rows] = part
            variable.assign(value)
        self.written.assign_add(len(states))
        # from the newest row backwards: which child's it is, and how many windows old
        size = children * count
        shared = earlier + 1 if self.credit == "level" else 1
        back = np.arange(min(shared * size, self.memory, int(self.written)))
        child, age = children - 1 - back % size // count, back // size
        value = ops.convert_to_numpy(self.memory_advantages).copy()
        value[(int(self.written) - 1 - back) % self.memory] = advantages[child] * self.trace**age
        self.memory_advantages.assign(value)

    @only_on("tensorflow", why="whose policy is one of TensorFlow Probability")
    def learn(self, credit: ArrayLike, decisions: int) -> None:
        """REINFORCE on remembered experiences; with `window` the baseline follows the rewards.

        Args:
            credit: the newest [P].
            decisions: n of an experience; `batch` times as many are drawn.
        """
        count = min(int(self.written), self.memory)
        if not count or not self.learning_rate:
            return
        random, size = self._random(2), self.batch * min(decisions, KEPT)
        memory = (self.memory_states, self.memory_actions, self.memory_advantages)
        held = [ops.convert_to_numpy(v)[:count] for v in memory]
        for _ in range(self.updates):
            rows = random.integers(0, count, size) if count > size else np.arange(count)
            self._update(*(v[rows] for v in held), decisions)
        self.draws.assign_add(1)
        if self.credit == "window":
            mean = float(np.mean(np.asarray(credit)))
            self.average.assign(self.decay * self.average + (1 - self.decay) * mean)

    def gradient(
        self, states: Tensor, actions: Tensor, advantages: Tensor, decisions: int
    ) -> list[Tensor]:
        """The gradient of -sqrt(n) mean[A log pi(a|s)] - entropy mean H(pi(.|s)).

        The first term is the mean over experiences of -A sum_i log pi(a_i|s_i) / sqrt(n).
        """
        import tensorflow as tf

        with tf.GradientTape() as tape:
            policy = _categorical(self(ops.cast(states, "float32")))
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
        p = ops.convert_to_numpy(ops.softmax(self(flat)))
        return p.reshape(*np.shape(states)[:-1], 3)

    def _random(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(self.draws), *purpose])


def _categorical(logits: Tensor) -> tfp.distributions.Categorical:
    import tensorflow_probability as tfp

    return tfp.distributions.Categorical(logits=logits)

"""The controller: a policy over steps of a loss's parameters, learned by REINFORCE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike
from typing_extensions import override

from tfzoo.config import Count, NonNegative, OneOf, Share, check
from tfzoo.environment import only_on
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor

if TYPE_CHECKING:
    import tensorflow_probability as tfp

HISTORY = 10
"""Number of past values of each statistic in a state."""

STATE = 2 * HISTORY + 4
"""Length of a decision's state: 24."""

KEPT = 64
"""Maximum decisions kept per experience in the memory; drawn at random if there are more."""

CREDITS = ("level", "window")

PAPER = {
    "credit": "window",
    "standardised": False,
    "uniform": False,
    "centred": False,
    "learning_rate": 1e-3,
    "memory": 4000,
    "batch": 8,
    "entropy": 0.01,
}
"""Arguments of a `LossController` in the paper's form, as far as it is known."""


def states(
    history: np.ndarray,
    seen: int,
    parameters: np.ndarray,
    progress: float,
    standardised: bool = False,
) -> np.ndarray:
    """The policy's input for each decision [..., n, 24] (arXiv:1905.05895, 3.2).

    It contains the last ten values of the decision's two statistics, (current - mean) / (mean +
    1e-8) of both, its parameter, and the progress of the training. Values not yet seen are zero.

    Args:
        history: statistics, newest last [..., n, 2, 10].
        seen: how many of the ten values exist.
        parameters: [..., n].
        progress: t / T.
        standardised: whether the values are standardised over the decisions: a policy then sees
            which class is worse off than the others, whatever the level of all losses.
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
    """sign(M_{t-1} - M_t) (Eq. 5): 1 if the cost fell, -1 if it rose."""
    return np.sign(np.asarray(before, "float64") - np.asarray(now, "float64")).astype("float32")


class _OfFiles(ZooModel):
    """The config of a file from before credit by level, when the controller was the paper's."""

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return super().from_config(PAPER | config, custom_objects)


@serializable("ala")
class LossController(_OfFiles):
    """pi(a | s): for each decision a step of -beta, 0 or +beta, from a network 24-32-32-3.

    All decisions share one policy, so it works for any number of classes and transfers to other
    losses. Everything that its learning depends on is in its weights (policy, Adam, memory,
    baseline, count of draws): a saved `controller.keras` continues as if never interrupted.

    It learns by REINFORCE from a memory of experiences (the decisions of one child at one time),
    each with its advantage. `credit` selects the
    advantage. `window`, the paper's: the sign of the metric's change over the window after the
    decision, minus the moving average of such signs at that time. `level`, ours: the *current*
    metric of the decision's child relative to the other children, in standard deviations; it is
    credited to all of the child's decisions so far, with weight `trace`^age for one that is `age`
    windows old. A single window says little about a single decision, whereas children that have
    moved their losses in one direction for long differ in level. See `tfzoo.ala.Alignment` for a
    single child. `PAPER` holds the
    arguments of the paper's form: `LossController(**PAPER)`.

    Args:
        beta: size of a step.
        hidden: widths of the policy's hidden layers.
        learning_rate: learning rate of its Adam; 0 keeps the policy fixed.
        memory: number of decisions that are remembered, as complete experiences. Experiences of
            another number of decisions, e.g. of another task's classes, are forgotten.
        batch: experiences per update, at most all those remembered.
        updates: REINFORCE steps after each action; one in the paper.
        baseline: decay of the baseline of `window`: b <- baseline b + (1 - baseline) mean r.
        entropy: weight of the policy's entropy.
        gamma: discount in the metric's sum over a window (Eq. 4).
        uniform: whether the policy starts uniform. With usual initial weights a network prefers
            some action for a kind of state in all windows, and a short training ends with that
            preference.
        centred: whether logits are centred over the decisions of an experience if only differences
            of decisions matter to the loss (`ParametricLoss.relative`). A policy that wants the
            same action for all classes changes nothing; uncentred, short trainings often end there.
        seed: seed of actions and minibatches.
        credit: `level` or `window`.
        trace: decay of credit with age for `level`; 1 credits the whole past equally.
        standardised: whether states are standardised; see `states`.
        exploration: standard deviation of perturbations of each child's policy, in antithetic pairs
            (a last child without a partner uses the shared policy). Unlike independent draws of
            actions, they do not cancel over windows.
        hold: number of windows for which a child keeps such a policy.
        **keywords: arguments of `keras.Model`.

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
        centred: bool = True,
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
        self.centred = bool(centred)
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
        """Creates the policy, the memory and Adam's variables."""
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
        self.decisions = self.add_weight((), name="decisions", **whole)
        self.adam.build(self.trainable_variables)
        self.built = True

    @override
    def input_specs(self) -> list[keras.InputSpec]:
        return [keras.InputSpec("float32", (None, STATE))]

    def load_own_variables(self, store: Any) -> None:
        """Restores the memory; one from before its experiences were complete is left out."""
        names = list(store.keys())  # a group of a file, not a dict
        saved = {name: store[name] for name in names}
        super().load_own_variables({str(len(saved)): 0} | saved if len(saved) == 6 else saved)

    def call(self, states: Tensor) -> Tensor:
        """Logits of the three actions [..., 3] of states [..., 24], not centred."""
        for layer in self.layers_:
            states = layer(states)
        return ops.cast(states, "float32")

    @property
    def state(self) -> list[keras.Variable]:
        """All variables that learning depends on."""
        return [*self.variables, *self.adam.variables]

    def act(
        self, states: np.ndarray, window: int = 0, relative: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws actions of states [P, n, 24]: numbers 0, 1, 2 and their steps, both [P, n].

        Args:
            states: states of the children's decisions.
            window: number of previous windows, which decides whether `hold` has ended.
            relative: whether only differences of the decisions matter; see `centred`.
        """
        logits = self._logits(np.asarray(states, "float32"), window)
        if relative and self.centred:
            logits = logits - logits.mean(-2, keepdims=True)
        # the argmax of logits plus Gumbel noise is a draw from their softmax
        actions = np.argmax(logits + self._random(4).gumbel(size=logits.shape), -1)
        self.draws.assign_add(1)
        return actions, self.steps(actions)

    def _logits(self, states: np.ndarray, window: int) -> np.ndarray:
        """Like `call` [P, n, 3], but with `exploration` each child has its own policy."""
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
        """An array perturbed for each child, in antithetic pairs [P, ...]."""
        away = self.exploration * random.normal(size=(count // 2, *value.shape))
        rest = np.zeros((count % 2, *value.shape))
        return value + np.concatenate([away, -away, rest])

    def steps(self, actions: np.ndarray) -> np.ndarray:
        """Actions 0, 1, 2 as steps -beta, 0, +beta."""
        return (self.beta * (np.asarray(actions) - 1)).astype("float32")

    def remember(
        self, states: np.ndarray, actions: np.ndarray, credit: ArrayLike, earlier: int = 0
    ) -> None:
        """Stores experiences with their advantages.

        Args:
            states: states of the children [P, n, 24].
            actions: [P, n].
            credit: credit of each child [P]: with `window` its reward, whose advantage over the
                current baseline is stored; with `level` the advantage itself.
            earlier: with `level`, how many previous experiences belong to the same children; they
                share the credit.
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
        if int(self.decisions) != count:
            self.written.assign(0)
            self.decisions.assign(count)
        capacity = self.capacity(count)
        states = states.reshape(-1, STATE)[-capacity:]
        rows = (int(self.written) + np.arange(len(states))) % capacity
        new = (states, np.reshape(actions, -1)[-capacity:])
        for variable, part in zip((self.memory_states, self.memory_actions), new, strict=True):
            value = ops.convert_to_numpy(variable).copy()
            value[rows] = part
            variable.assign(value)
        self.written.assign_add(len(states))
        # from the newest row backwards: its child, and its age in windows
        size = children * count
        shared = earlier + 1 if self.credit == "level" else 1
        back = np.arange(min(shared * size, capacity, int(self.written)))
        child, age = children - 1 - back % size // count, back // size
        value = ops.convert_to_numpy(self.memory_advantages).copy()
        value[(int(self.written) - 1 - back) % capacity] = advantages[child] * self.trace**age
        self.memory_advantages.assign(value)

    def capacity(self, decisions: int) -> int:
        """How many rows the memory uses for complete experiences of a number of decisions.

        Raises:
            InputError: not even one experience fits.
        """
        count = min(decisions, KEPT)
        check(self.memory >= count, "memory", self.memory, f"at least {count}, one experience")
        return self.memory // count * count

    @only_on("tensorflow", why="whose policy is a distribution of TensorFlow Probability")
    def learn(self, credit: ArrayLike, decisions: int, relative: bool = False) -> None:
        """REINFORCE on remembered experiences; with `window` the baseline follows the rewards.

        Args:
            credit: the newest credit [P].
            decisions: number n of decisions of an experience.
            relative: see `act`.
        """
        rows = min(int(self.written), self.capacity(decisions))
        if not rows or not self.learning_rate:
            return
        random, n = self._random(2), int(self.decisions)
        memory = (self.memory_states, self.memory_actions, self.memory_advantages)
        held = [ops.convert_to_numpy(v)[:rows] for v in memory]
        held = [v.reshape(-1, n, *v.shape[1:]) for v in held]
        count = len(held[0])
        for _ in range(self.updates):
            drawn = random.integers(0, count, self.batch) if count > self.batch else slice(None)
            self._update(*(v[drawn] for v in held), decisions, relative)
        self.draws.assign_add(1)
        if self.credit == "window":
            mean = float(np.mean(np.asarray(credit)))
            self.average.assign(self.decay * self.average + (1 - self.decay) * mean)

    def gradient(
        self,
        states: Tensor,
        actions: Tensor,
        advantages: Tensor,
        decisions: int,
        relative: Tensor | bool = False,
    ) -> list[Tensor]:
        """The gradient of -sqrt(n) mean[A log pi(a|s)] - entropy mean H(pi(.|s)).

        The first term is the mean over experiences of -A sum_i log pi(a_i|s_i) / sqrt(n).

        Args:
            states: states of experiences [E, m, 24], m = n or a sample of n decisions.
            actions: [E, m].
            advantages: [E, m].
            decisions: number n of decisions of a complete experience.
            relative: see `act`.
        """
        import tensorflow as tf

        with tf.GradientTape() as tape:
            logits = self(ops.cast(states, "float32"))
            if self.centred:
                share = tf.cast(relative, tf.float32)
                logits -= share * tf.reduce_mean(logits, -2, keepdims=True)
            policy = _categorical(logits)
            gain = policy.log_prob(tf.cast(actions, tf.int32)) * tf.cast(advantages, tf.float32)
            loss = -(decisions**0.5) * tf.reduce_mean(gain)
            loss -= self.entropy * tf.reduce_mean(policy.entropy())
        return tape.gradient(loss, [v.value for v in self.trainable_variables])

    def _update(self, *given: Tensor) -> None:
        """Adam's step, compiled on first use."""
        import tensorflow as tf

        if self._compiled is None:
            dtypes = (tf.float32, tf.int32, tf.float32, tf.float32, tf.bool)
            pair: list[int | None] = [None, None]
            shapes: tuple[list[int | None], ...] = ([*pair, STATE], pair, pair, [], [])
            signature = [tf.TensorSpec(s, d) for s, d in zip(shapes, dtypes, strict=True)]

            def step(*given: Tensor) -> None:
                self.adam.apply(self.gradient(*given), self.trainable_variables)

            self._compiled = tf.function(step, input_signature=signature, autograph=False)
        states, actions, advantages, decisions, relative = given
        self._compiled(
            states,
            np.asarray(actions, "int32"),
            np.asarray(advantages, "float32"),
            float(decisions),
            bool(relative),
        )

    def probabilities(self, states: ArrayLike, relative: bool = False) -> np.ndarray:
        """pi(. | s) of the states of experiences [..., n, 24] -> [..., n, 3]."""
        logits = ops.convert_to_numpy(self(np.asarray(states, "float32")))
        if relative and self.centred:
            logits = logits - logits.mean(-2, keepdims=True)
        return ops.convert_to_numpy(ops.softmax(logits))

    def _random(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(self.draws), *purpose])


def _categorical(logits: Tensor) -> tfp.distributions.Categorical:
    import tensorflow_probability as tfp

    return tfp.distributions.Categorical(logits=logits)

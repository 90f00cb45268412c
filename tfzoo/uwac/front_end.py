"""A front end similar to d3rlpy's: a config that creates a learner with `fit` and `predict`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from keras import ops

from tfzoo import zoo
from tfzoo.config import Config, Count, OneOf, check, key
from tfzoo.data import Transitions, train_stream
from tfzoo.environment import only_on
from tfzoo.errors import InputError
from tfzoo.files import expanded, replacing
from tfzoo.typing import Tensor
from tfzoo.uwac import extras, training
from tfzoo.uwac.inputs import limited, rows_of, transitions_of
from tfzoo.uwac.model import ActorCritic
from tfzoo.uwac.settings import ALGORITHMS, AgentSettings

_CONFIG, _STATE = "learner.json", "learner.npz"
"""Members of a learner's `.keras` file besides Keras's."""


@dataclass(frozen=True)
class UWACConfig(Config):
    """The settings of a learner."""

    batch_size: Count = key(256, "transitions per step")
    algorithm: Annotated[str, OneOf(*ALGORITHMS)] = key("uwac", "`uwac`, `bear` or `bc`")
    settings: AgentSettings = key(
        AgentSettings(), "further settings, named as in d3rlpy where it has them"
    )
    action_low: float | list[float] = key(-1.0, "smallest action, one number or one per dimension")
    action_high: float | list[float] = key(1.0, "largest action, likewise")
    clip_actions: bool = key(
        False, "clip the data's actions to the limits; otherwise an action outside is an error"
    )
    seed: int = key(0, "seed of initialisation, data order and all random draws")

    @classmethod
    def paper(cls, **changes: Any) -> UWACConfig:
        """Settings with the paper's weights; `changes`: fields of this class or `AgentSettings`."""
        return cls._of(AgentSettings.paper(), changes)

    @classmethod
    def official_code(cls, **changes: Any) -> UWACConfig:
        """Settings with the official code's weights."""
        return cls._of(AgentSettings.official_code(), changes)

    @classmethod
    def _of(cls, settings: AgentSettings, changes: dict[str, Any]) -> UWACConfig:
        mine = {k: changes.pop(k) for k in list(changes) if k in cls.__dataclass_fields__}
        unknown = sorted(set(changes) - set(AgentSettings.__dataclass_fields__))
        if unknown:
            raise InputError(f"{unknown[0]}: no such setting of UWACConfig or AgentSettings")
        return cls(**{"settings": replace(settings, **changes)} | mine)

    def create(self) -> UWAC:
        """A learner without networks, which `fit` creates for its data."""
        return UWAC(self)


class UWAC:
    """Learns a policy from a data set.

    Attributes:
        config: see `UWACConfig`.
        model: the `ActorCritic`, None before `fit`.
    """

    def __init__(self, config: UWACConfig):
        self.config = config
        self.model: ActorCritic | None = None
        self._agent: Any = None

    @only_on("tensorflow", why="which TF-Agents trains")
    def fit(
        self,
        dataset: Transitions | Mapping[str, Any],
        n_steps: int,
        n_steps_per_epoch: int = 1000,
        evaluators: Mapping[str, Callable[[UWAC], float]] | None = None,
        log_dir: str | Path | None = None,
    ) -> list[dict[str, float]]:
        """Takes gradient steps; when called again, continues with the same networks.

        Args:
            dataset: transitions, or their five arrays by name; also under the names of gymnasium's
                and D4RL's buffers (`observations`, `next_observations`, `terminations`, ...).
                For Minari, see `tfzoo.data.minari_transitions`.
            n_steps: total number of gradient steps.
            n_steps_per_epoch: steps between rows of the result.
            evaluators: functions of this learner, called after each epoch.
            log_dir: folder for TensorBoard, which gets each row; None: no log.

        Returns:
            A row for each epoch: its number, mean losses, and the evaluators' results.

        Raises:
            InputError: numbers of steps below 1, or a data set of another form or size: actions
                that are discrete or outside the limits, discounts outside [0, 1], NaN, ...
        """
        import tensorflow as tf  # its tensors hold the rows

        check(n_steps >= 1, "n_steps", n_steps, "at least 1")
        check(n_steps_per_epoch >= 1, "n_steps_per_epoch", n_steps_per_epoch, "at least 1")
        arrays = self._checked(dataset)
        rows = {name: tf.constant(array) for name, array in arrays.items()}
        stream = train_stream(rows, batch_size=self.config.batch_size, seed=self.config.seed)
        start = int(self._agent.train_step_counter.numpy())
        learner = training.Learner(self._agent, stream.from_step(start))
        board = _board(log_dir)
        history: list[dict[str, float]] = []
        for done in range(0, n_steps, n_steps_per_epoch):
            count = min(n_steps_per_epoch, n_steps - done)
            sums = learner.steps(count)
            step = start + done + count
            history.append(self._row(len(history) + 1, step, count, sums, evaluators, board))
        return history

    def predict(self, observation: Tensor) -> np.ndarray:
        """The actions [B, A] to take at [B, D]: those of `n_action_samples` with the largest Q."""
        import tensorflow as tf  # draws from the plain seed, which Keras would fold

        model = self.fitted()
        x = rows_of("observation", observation, model.space.observation_dim)
        shape = (len(x), model.settings.n_action_samples, model.space.action_dim)
        noise = tf.random.stateless_normal(shape, [self.config.seed, 0])
        return np.asarray(model.best_action(ops.convert_to_tensor(x), noise))

    def predict_value(self, observation: Tensor, action: Tensor) -> np.ndarray:
        """Mean Q1 [B] over dropout masks at [B, D] and [B, A]."""
        return self.predict_uncertainty(observation, action)[0]

    def predict_uncertainty(
        self, observation: Tensor, action: Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [B] of Q1 over dropout masks."""
        model = self.fitted()
        x = rows_of("observation", observation, model.space.observation_dim)
        a = rows_of("action", action, model.space.action_dim)
        check(len(x) == len(a), "action", list(a.shape), f"of {len(x)} rows, as observation is")
        x, a = ops.convert_to_tensor(x), ops.convert_to_tensor(a)
        samples = model.settings.n_mc_samples
        mean, variance = model.q1.moments(x, a, samples, 0, "conditional", True)
        return np.asarray(mean), np.sqrt(np.asarray(variance))

    def sample_action(self, observation: Tensor) -> np.ndarray:
        """Actions [B, A] drawn from the actor."""
        model = self.fitted()
        x = ops.convert_to_tensor(rows_of("observation", observation, model.space.observation_dim))
        return np.asarray(model.actor.sample(x, 1, model.seed_generator)[0][:, 0])

    def save(self, path: str | Path) -> None:
        """Writes the model as `.keras`, which `keras.models.load_model` reads after `import tfzoo`.

        The file also holds the learner's config, optimizers and steps, for `load`.
        """
        check(Path(path).suffix == ".keras", "path", str(path), "a name that ends in .keras")
        model, agent = self.fitted(), self._agent
        arrays: dict[str, Any] = {
            f"{name}/{i}": np.asarray(variable)
            for name, (optimizer, _) in agent.optimizers.items()
            for i, variable in enumerate(optimizer.variables)
        }
        arrays["step"] = agent.train_step_counter.numpy()
        arrays["seed_generator"] = np.asarray(model.seed_generator.state)
        held = io.BytesIO()
        np.savez(held, **arrays)
        with replacing(path) as aside:
            model.save(aside)
            with zipfile.ZipFile(aside, "a") as archive:
                archive.writestr(_CONFIG, json.dumps(asdict(self.config)))
                archive.writestr(_STATE, held.getvalue())

    @classmethod
    @only_on("tensorflow", why="which TF-Agents trains")
    def load(cls, path: str | Path) -> UWAC:
        """Loads a learner written by `save`; `fit` continues as if it had never stopped.

        Raises:
            InputError: no such file, or one without a learner.
        """
        model = zoo.load(str(path))
        names: list[str] = []
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        if not isinstance(model, ActorCritic) or not {_CONFIG, _STATE} <= set(names):
            raise InputError(f"path={str(path)!r}: holds no learner, must be from UWAC.save")
        with zipfile.ZipFile(path) as archive:
            values = json.loads(archive.read(_CONFIG))
            with np.load(io.BytesIO(archive.read(_STATE)), allow_pickle=False) as held:
                arrays = {name: held[name] for name in held.files}
        learner = cls(UWACConfig(**values | {"settings": AgentSettings(**values["settings"])}))
        learner.model, learner._agent = model, training.make_agent(model)
        for name, (optimizer, _) in learner._agent.optimizers.items():
            for i, variable in enumerate(optimizer.variables):
                variable.assign(arrays[f"{name}/{i}"])
        learner._agent.train_step_counter.assign(arrays["step"])
        model.seed_generator.state.assign(arrays["seed_generator"])
        return learner

    @only_on("tensorflow", why="which TF-Agents runs")
    def collect(self, environment: str, n_steps: int, seed: int = 0) -> Transitions:
        """Takes steps in an environment with the actor's draws, in complete and truncated episodes.

        Args:
            environment: gymnasium's id.
            n_steps: at least 1; steps between one episode's end and the next start are left out.
            seed: seed of the starts.

        Raises:
            InputError: no such environment, or one of other sizes or limits than the model's.
        """
        check(n_steps >= 1, "n_steps", n_steps, "at least 1")
        self.fitted()
        collector = extras.load("tfzoo.uwac.online").Collector(
            self._agent, environment, n_steps + 1, seed
        )
        try:
            collector.steps(n_steps + 1)  # a transition consists of two frames
            return collector.transitions()
        finally:
            collector.close()

    @only_on("tensorflow", why="which TF-Agents trains")
    def fit_online(
        self,
        environment: str,
        n_steps: int,
        n_steps_per_epoch: int = 1000,
        *,
        dataset: Transitions | Mapping[str, Any] | None = None,
        n_first: int = 1000,
        capacity: int = 100_000,
        evaluators: Mapping[str, Callable[[UWAC], float]] | None = None,
        log_dir: str | Path | None = None,
    ) -> list[dict[str, float]]:
        """Continues training in an environment, alternating environment and gradient steps.

        Batches come from a replay buffer of the steps taken; with `dataset`, half of each batch
        consists of recorded transitions. Gradient steps and losses are those of offline training.

        Args:
            environment: gymnasium's id.
            n_steps: number of environment steps and of gradient steps.
            n_steps_per_epoch: steps between rows of the result.
            dataset: as for `fit`.
            n_first: environment steps before the first gradient step.
            capacity: capacity of the buffer.
            evaluators: as for `fit`.
            log_dir: as for `fit`.

        Returns: Rows as from `fit`.

        Raises:
            InputError: not fitted, `algorithm` `bc`, an environment or data set with other sizes or
                limits, or numbers below 1.
        """
        import tensorflow as tf  # its tensors hold the rows

        for name, value in (
            ("n_steps", n_steps),
            ("n_steps_per_epoch", n_steps_per_epoch),
            ("n_first", n_first),
        ):
            check(value >= 1, name, value, "at least 1")
        check(capacity > n_first, "capacity", capacity, f"above n_first={n_first}")
        model = self.fitted()
        check(model.algorithm != "bc", "algorithm", model.algorithm, "uwac or bear, online")
        size, start = self.config.batch_size, int(self._agent.train_step_counter.numpy())
        recorded = None
        if dataset is not None:
            check(size >= 2, "batch_size", size, "at least 2, to be shared with a data set")
            arrays = self._checked(dataset)
            stream = train_stream(
                {name: tf.constant(array) for name, array in arrays.items()},
                batch_size=size // 2,
                seed=self.config.seed,
            )
            recorded, size = stream.from_step(start), size - size // 2
        online = extras.load("tfzoo.uwac.online")
        collector = online.Collector(self._agent, environment, capacity, self.config.seed)
        try:
            collector.steps(max(n_first, 2))
            learner = online.OnlineLearner(self._agent, collector, size, recorded)
            board = _board(log_dir)
            rows: list[dict[str, float]] = []
            for done in range(0, n_steps, n_steps_per_epoch):
                count = min(n_steps_per_epoch, n_steps - done)
                sums: dict[str, float] = {}
                for _ in range(count):
                    collector.steps(1)
                    sums = training.add(sums, learner.step())
                step = start + done + count
                rows.append(self._row(len(rows) + 1, step, count, sums, evaluators, board))
            return rows
        finally:
            collector.close()

    def save_policy(self, path: str | Path) -> None:
        """Writes TF-Agents' form of the policy to a new folder, with `PolicySaver`."""
        self.fitted()
        extras.load("tfzoo.uwac.agent").save_policy(self._agent, path)

    def fitted(self) -> ActorCritic:
        """The model.

        Raises:
            InputError: the learner is not fitted.
        """
        if self.model is None:
            raise InputError("UWAC: must be fitted first, by fit(dataset, n_steps)")
        return self.model

    def _row(
        self,
        epoch: int,
        step: int,
        count: int,
        sums: dict[str, float],
        evaluators: Mapping[str, Callable[[UWAC], float]] | None,
        board: Any,
    ) -> dict[str, float]:
        row: dict[str, float] = {"epoch": epoch, "step": step}
        row |= {k: v if k == "target_max" else v / count for k, v in sums.items()}
        row |= {name: float(ask(self)) for name, ask in (evaluators or {}).items()}
        if board is not None:
            training.write(board, row)
            board.flush()
        return row

    def _checked(self, dataset: Transitions | Mapping[str, Any]) -> dict[str, np.ndarray]:
        """A data set's arrays, checked against the networks' sizes."""
        given = transitions_of(dataset)
        arrays = given.arrays() | {"action": self._limited(given.action)}
        self._prepare((given.observation.shape[1], given.action.shape[1]))
        return arrays

    def _limited(self, action: np.ndarray) -> np.ndarray:
        limits = []
        for name in ("action_low", "action_high"):
            value = np.ravel(getattr(self.config, name))
            fits = len(value) in (1, action.shape[1])
            check(fits, name, getattr(self.config, name), f"1 or {action.shape[1]} numbers")
            limits.append(np.broadcast_to(value, action.shape[1]))
        return limited(action, (limits[0], limits[1]), "dataset", self.config.clip_actions)

    def _prepare(self, sizes: tuple[int, int]) -> None:
        if self.model is None:
            c = self.config
            self.model = ActorCritic(
                c.settings,
                c.algorithm,
                c.seed,
                observation_dim=sizes[0],
                action_dim=sizes[1],
                action_low=c.action_low,
                action_high=c.action_high,
            )
            self._agent = training.make_agent(self.model)
        mine = self.model.space.observation_dim, self.model.space.action_dim
        if mine != sizes:
            raise InputError(f"dataset: sizes {sizes} of observations and actions must be {mine}")


def _board(log_dir: str | Path | None) -> Any:
    """A TensorBoard writer; None without a folder."""
    import tensorflow as tf  # writes the file

    return None if log_dir is None else tf.summary.create_file_writer(str(expanded(log_dir)))

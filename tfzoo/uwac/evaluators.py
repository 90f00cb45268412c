"""Evaluators for `UWAC.fit(evaluators=...)`: each maps a learner to a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfzoo.config import check
from tfzoo.data import Transitions
from tfzoo.errors import InputError
from tfzoo.uwac.evaluation import ASKED, Evaluation
from tfzoo.uwac.inputs import transitions_of

if TYPE_CHECKING:
    from tfzoo.uwac.front_end import UWAC

Evaluator = Callable[["UWAC"], float]


def environment_return(environment: str, episodes: int = 10, parallel: bool = False) -> Evaluator:
    """The mean return of whole episodes, always from the same starts.

    Args:
        environment: gymnasium's id.
        episodes: number of parallel episodes, at least 1.
        parallel: each in a process of its own.

    Raises:
        InputError: on evaluation: no such environment, or one that does not match the data.
    """
    check(episodes >= 1, "episodes", episodes, "at least 1")
    kept: dict[int, Evaluation] = {}

    def ask(learner: UWAC) -> float:
        model = learner.fitted()
        if id(model) not in kept:
            kept.clear()
            kept[id(model)] = Evaluation(model, environment, episodes, parallel)
        return float(kept[id(model)].returns().mean())

    return ask


def td_error(dataset: Transitions | Mapping[str, Any], seed: int = 0) -> Evaluator:
    """The mean of (r + gamma discount Q1(s', a') - Q1(s, a))^2, a' the learner's action at s'.

    Args:
        dataset: as for `fit`; a sample is drawn from large data sets.
        seed: seed of the sample.
    """
    some = _some(dataset, seed)

    def ask(learner: UWAC) -> float:
        gamma = _critic(learner).settings.gamma
        following = learner.predict_value(
            some.next_observation, learner.predict(some.next_observation)
        )
        target = some.reward + gamma * some.discount * following
        error = target - learner.predict_value(some.observation, some.action)
        return float(np.mean(np.square(error)))

    return ask


def value_scale(dataset: Transitions | Mapping[str, Any], seed: int = 0) -> Evaluator:
    """The mean of Q1 at the learner's own actions: its own estimate of its value.

    Args:
        dataset: see `td_error`.
        seed: see `td_error`.
    """
    some = _some(dataset, seed)

    def ask(learner: UWAC) -> float:
        _critic(learner)
        actions = learner.predict(some.observation)
        return float(learner.predict_value(some.observation, actions).mean())

    return ask


def _some(dataset: Transitions | Mapping[str, Any], seed: int) -> Transitions:
    whole = transitions_of(dataset)
    rows = np.random.RandomState(seed).permutation(len(whole))[:ASKED]
    some: dict[str, Any] = {name: array[rows] for name, array in whole.arrays().items()}
    return Transitions(**some)


def _critic(learner: UWAC) -> Any:
    model = learner.fitted()
    if model.algorithm == "bc":
        raise InputError("algorithm='bc': has no critic, must be uwac or bear for this evaluator")
    return model

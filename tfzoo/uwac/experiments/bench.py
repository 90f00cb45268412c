"""`tfzoo bench uwac`: gradient steps of BC, BEAR and UWAC, their parts, and the two estimators.

Networks, batch and action counts are the paper's, on random transitions of HalfCheetah's sizes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfzoo.config import check
from tfzoo.errors import InputError
from tfzoo.experiments import bench
from tfzoo.experiments.bench import Target, Times
from tfzoo.typing import Tensor

if TYPE_CHECKING:
    import keras

    from tfzoo.uwac.critic import DropoutCritic
    from tfzoo.uwac.model import ActorCritic

PARTS = ("accuracy", "steps", "shares")
OBSERVATIONS, ACTIONS, BATCH = 17, 6, 256
OFFICIAL = 100
"""The official code's T."""
SAMPLES = (2, 4, 8, 16)
"""Numbers of samples of the conditional estimator in the comparison of accuracies."""
TRAINED = "uwac/pointmass"
STEPS = ("bc", "bear", "uwac_conditional", "uwac_official")
PEER = "d3rlpy_bear"
"""The step of d3rlpy's BEAR, in an environment of its own."""
SHARES = ("data", "vae", "target", "critics", "actor", "whole")
REPEATS = 200
"""Number of draws whose spread is an estimator's error."""
MOST_BEAR_STEPS, LEAST_STEP_SHARE, LEAST_OF_PEER = 2.5, 0.9, 1.5


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench uwac` with the arguments `argv`."""
    parser = bench.parser("uwac", __doc__, 3, PARTS)
    parser.add_argument("--width", type=int, default=256, help="width of actor and critics")
    parser.add_argument("--batch-size", type=int, default=BATCH, help="default %(default)s")
    parser.add_argument(
        "--official-samples", type=int, default=OFFICIAL, help="the official estimator's T"
    )
    parser.add_argument(
        "--samples", type=int, help="samples of the conditional estimator; default: by accuracy"
    )
    parser.add_argument(
        "--d3rlpy",
        default="",
        metavar="PYTHON",
        help="Python of an environment with d3rlpy: adds the step of its BEAR",
    )
    words = bench.parse(parser, argv, PARTS)
    for name, least in (("width", 1), ("batch_size", 1), ("official_samples", 2)):
        value = getattr(words, name)
        check(value >= least, f"--{name.replace('_', '-')}", value, f"at least {least}")
    asked = words.samples
    check(asked is None or asked >= 2, "--samples", asked, "at least 2")
    needed = "accuracy" in words.parts or words.samples is not None
    check(needed, "--samples", words.samples, "given if accuracy is not measured")
    size = {"width": words.width, "batch": words.batch_size}
    rows, samples, official = [], words.samples, words.official_samples
    if "accuracy" in words.parts:
        rows += accuracies(words.width, official)
        samples = samples or enough(rows)
    if "steps" in words.parts:
        counts = {"uwac_official": official, "uwac_conditional": samples}
        keywords = {n: {"name": n, "samples": counts.get(n, 2), **size} for n in STEPS}
        if words.d3rlpy:
            keywords[PEER] = {"name": PEER, "samples": 2, "python": words.d3rlpy, **size}
        rows += _compare("steps", "build_step", keywords, words.rounds)
    if "shares" in words.parts:
        keywords = {n: {"name": n, "samples": samples, **size} for n in SHARES}
        rows += _compare("shares", "build_part", keywords, words.rounds)
    bench.report("uwac", rows, targets(rows), words.output)


def _compare(
    kind: str, function: str, keywords: dict[str, dict[str, Any]], rounds: int
) -> list[dict[str, Any]]:
    with bench.workers(list(keywords), time_limit=900) as workers:
        target = f"tfzoo.uwac.experiments.bench:{function}"
        results = bench.compare(workers, target, keywords, rounds, memory=kind == "steps")
    rows = []
    for name, result in results.items():
        count = {"samples": keywords[name]["samples"]}
        rows += bench.table({name: result}, {"data": bench.BATCHES}, kind=kind, **count)
    return rows


def enough(rows: Sequence[dict[str, Any]]) -> int:
    """The smallest number of conditional samples with at most the official error.

    On every critic; the largest number tried if none is enough.
    """
    means = []
    for critic in dict.fromkeys(r["critic"] for r in rows):
        mine = [r for r in rows if r["critic"] == critic]
        bound = next(r for r in mine if r["alternative"] == "monte_carlo")["error_of_variance"]
        fits = [r["samples"] for r in mine if r["error_of_variance"] <= bound]
        kept = [n for n in fits if n in SAMPLES]
        means.append(min(kept, default=SAMPLES[-1]))
    return max(means)


def accuracies(width: int, official: int, rows: int = 64) -> list[dict[str, Any]]:
    """Spread of both estimators' variances over draws, relative to the variance, and their means.

    Uses an untrained critic of the bench's size, and a trained one with 64 units, the package
    weight `uwac/pointmass`.

    Returns:
        A row for each critic, estimator and number of samples; `error_of_variance` is the root
        mean square over observations of the relative deviation, `variance` its mean.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from tfzoo import zoo

    errors = []
    for kind, model in (("fresh", _model("uwac", width, 2)), ("trained", zoo.load(TRAINED))):
        rng, space, critic = np.random.default_rng(0), model.space, model.q1
        x = rng.normal(size=(rows, space.observation_dim)).astype("float32")
        a = rng.uniform(-1, 1, (rows, space.action_dim)).astype("float32")
        for name, samples in [("monte_carlo", official), *(("conditional", n) for n in SAMPLES)]:
            seeds = keras.random.SeedGenerator(0)

            @tf.function
            def draw(
                samples: int = samples,
                name: str = name,
                seeds: keras.random.SeedGenerator = seeds,
                critic: DropoutCritic = critic,
                x: Tensor = x,
                a: Tensor = a,
            ) -> Tensor:
                return critic.moments(x, a, samples, seeds, name)[1]

            drawn = np.stack([draw().numpy() for _ in range(REPEATS)])
            mean = drawn.mean(0)
            error = float(np.sqrt(np.mean((drawn / mean - 1) ** 2)))
            errors.append(
                {
                    "kind": "accuracy",
                    "critic": kind,
                    "samples": samples,
                    "alternative": name,
                    "seconds": "",
                    "error_of_variance": round(error, 4),
                    "variance": float(f"{mean.mean():.4g}"),
                }
            )
            print(f"{kind:8} {name:12} {samples:4} samples: error {error:.3f}", flush=True)
    return errors


def build_step(
    name: str, samples: int, width: int, batch: int, python: str = ""
) -> Callable[[], None]:
    """One gradient step of an agent on a fixed batch.

    Args:
        name: one of `STEPS`, or `PEER`.
        samples: number of dropout masks.
        width: width of actor and critics.
        batch: transitions per batch.
        python: Python of the peer's environment.
    """
    if name == PEER:
        return _peer_step(python, width, batch)
    import tensorflow as tf

    from tfzoo.uwac import extras, training

    estimator = "monte_carlo" if name == "uwac_official" else "conditional"
    agent = training.make_agent(_model(name.split("_")[0], width, samples, estimator))
    experience = extras.load("tfzoo.uwac.agent").as_experience(_batch(batch), agent)
    step = tf.function(lambda: agent._train(experience).loss)
    return lambda: step().numpy() and None


def _peer_step(python: str, width: int, batch: int) -> Callable[[], None]:
    """A step of d3rlpy's BEAR, in a process that ends with this one.

    Raises:
        InputError: d3rlpy cannot run there.
    """
    script = Path(__file__).with_name("d3rlpy_step.py")
    threads = int(os.environ.get("OMP_NUM_THREADS", 0)) or len(os.sched_getaffinity(0))
    sizes = (OBSERVATIONS, ACTIONS, width, _vae_units(width), batch, threads)
    command = [python, str(script), *map(str, sizes)]
    # not tfzoo's own packages
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    try:
        process = subprocess.Popen(command, text=True, env=environment, **pipes)
    except OSError as error:
        raise InputError(f"--d3rlpy={python!r}: {error.strerror}") from error
    asked, answers = process.stdin, process.stdout
    assert asked is not None and answers is not None
    while not (line := answers.readline()).startswith("ready"):
        if not line:
            raise InputError(f"--d3rlpy={python!r}: must be a Python with d3rlpy and PyTorch")

    def step() -> None:
        asked.write("\n")
        asked.flush()
        while answers.readline().strip() != "done":
            if process.poll() is not None:
                raise RuntimeError("d3rlpy's process ended")

    return step


def build_part(name: str, samples: int, width: int, batch: int) -> Callable[[], object]:
    """One part of UWAC's step: batches of data, a loss with its gradient, or the whole.

    Args:
        name: one of `SHARES`.
        samples: samples of the conditional estimator.
        width: width of actor and critics.
        batch: transitions per batch.
    """
    import tensorflow as tf

    from tfzoo.data import train_stream

    if name == "data":
        rows = tf.data.Dataset.from_tensor_slices(_batch(20_000))
        return bench.Pulling(train_stream(rows, batch_size=batch, seed=0).from_step(0))
    if name == "whole":
        return build_step("uwac_conditional", samples, width, batch)
    return _loss(name, samples, width, batch)


def _loss(name: str, samples: int, width: int, batch: int) -> Callable[[], object]:
    import tensorflow as tf

    from tfzoo.uwac import training

    agent = training.make_agent(_model("uwac", width, samples))
    n, data = agent.networks, _batch(batch)
    s, a, after = (data[k] for k in ("observation", "action", "next_observation"))
    zeros = tf.zeros([batch])
    losses = {
        "vae": lambda: tf.reduce_mean(agent.behaviour_loss(s, a)),
        "critics": lambda: tf.reduce_sum(agent.critic_losses(s, a, zeros, zeros)[0]),
        "actor": lambda: tf.reduce_sum(agent.actor_loss(s)[0]),
    }
    variables = {
        "vae": n.vae.trainable_variables,
        "critics": n.q1.trainable_variables + n.q2.trainable_variables,
        "actor": n.actor.trainable_variables,
    }

    @tf.function
    def part() -> Any:
        if name == "target":
            return agent.target(data["reward"], data["discount"], after)[0]
        with tf.GradientTape() as tape:
            loss = losses[name]()
        return tape.gradient(loss, [v.value for v in variables[name]])[0]

    return lambda: part().numpy() is None


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The targets that can be computed from the rows."""
    times = Times(rows, "kind", "alternative")
    says = "UWAC's step at the official accuracy, in BEAR steps"
    over, under = ("steps", "uwac_conditional"), ("steps", "bear")
    reached = times.ratio(says, over, under, MOST_BEAR_STEPS, False)
    says = "BEAR's step, times as fast as d3rlpy's"
    reached += times.ratio(says, ("steps", PEER), ("steps", "bear"), LEAST_OF_PEER, True)
    data, whole = ("shares", "data"), ("shares", "whole")
    if data in times.seconds and whole in times.seconds:
        share = times.seconds[whole] / (times.seconds[whole] + times.seconds[data])
        says = "share of the step in step and input pipeline, one after the other"
        reached.append(Target(says, share, LEAST_STEP_SHARE, True))
    return reached


def _model(algorithm: str, width: int, samples: int, estimator: str = "conditional") -> ActorCritic:
    from tfzoo.uwac import ActorCritic, AgentSettings

    settings = AgentSettings(
        hidden=[width, width],
        vae_units=_vae_units(width),
        dropout_rate=0.1 if algorithm == "uwac" else 0.0,
        n_mc_samples=samples,
        estimator=estimator,
        warmup_steps=0,
    )
    return ActorCritic(settings, algorithm, observation_dim=OBSERVATIONS, action_dim=ACTIONS)


def _vae_units(width: int) -> int:
    """Units of the behaviour model, in the paper's proportion."""
    return max(1, round(width * 750 / 256))


def _batch(count: int) -> dict[str, Any]:
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shape: dict[str, tuple[int, ...]]
    shape = {"observation": (count, OBSERVATIONS), "action": (count, ACTIONS)}
    shape |= {"next_observation": (count, OBSERVATIONS), "reward": (count,)}
    arrays = {k: tf.constant(rng.uniform(-1, 1, s), tf.float32) for k, s in shape.items()}
    return arrays | {"discount": tf.ones([count])}

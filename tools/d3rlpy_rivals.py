"""Runs d3rlpy's algorithms on the files of `tfzoo study uwac --mujoco`, as rivals of UWAC:

    python tools/d3rlpy_rivals.py hopper_medium_replay FOLDER --python D3RLPY/bin/python

`D3RLPY` is an environment of its own with `pip install d3rlpy==2.8.1 'gymnasium[mujoco]'`, whose
gym is newer than the one that TF-Agents accepts. Settings are d3rlpy's defaults (256-256, batch
256), with standardised observations. The return is that of the study: the mean of 10 episodes after
the last step, from the same starts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ALGORITHMS = {"IQL": "IQLConfig", "TD3+BC": "TD3PlusBCConfig", "BEAR": "BEARConfig"}
TASKS = {"hopper": "Hopper-v5", "halfcheetah": "HalfCheetah-v5"}
EPISODES, FIRST = 10, 10_000
"""Episodes of an evaluation and the seed of the first start, as of `tfzoo.uwac.evaluation`."""


def files(name: str, folder: Path) -> list[Path]:
    """The files of a data set; `medium_expert` has those of `medium` and of `expert`."""
    task, kind = name.split("_", 1)
    kinds = kind.split("_") if kind == "medium_expert" else [kind]
    return [folder / f"{task}_{k}.npz" for k in kinds]


def train(algorithm: str, paths: list[Path], environment: str, seed: int, steps: int) -> dict:
    """Trains with d3rlpy; returns return, seconds and versions."""
    import d3rlpy
    import gymnasium
    import torch

    arrays = []
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            arrays.append({name: file[name] for name in file.files})
    keys = ("observations", "actions", "rewards", "terminals", "timeouts")
    joined = {key: np.concatenate([a[key] for a in arrays]) for key in keys}
    data = d3rlpy.dataset.MDPDataset(**joined)
    d3rlpy.seed(seed)
    make = getattr(d3rlpy.algos, ALGORITHMS[algorithm])
    scaler = d3rlpy.preprocessing.StandardObservationScaler()
    learner = make(observation_scaler=scaler).create(device="cpu:0")
    start = time.monotonic()
    learner.fit(
        data,
        n_steps=steps,
        n_steps_per_epoch=min(steps, 10_000),
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )
    seconds, returns = time.monotonic() - start, []
    task = gymnasium.make(environment)
    for episode in range(EPISODES):
        observation, ended, total = task.reset(seed=FIRST + episode)[0], False, 0.0
        while not ended:
            action = learner.predict(observation[None].astype("float32"))[0]
            observation, reward, terminal, timeout, _ = task.step(action)
            total, ended = total + float(reward), terminal or timeout
        returns.append(total)
    versions = {"d3rlpy": d3rlpy.__version__, "torch": torch.__version__}
    values = {"return": float(np.mean(returns)), "return_std": float(np.std(returns))}
    return {"metrics": values, "seconds": seconds, "versions": versions}


def asked(python: str, *words: Any) -> dict:
    """Runs `train` in the other environment.

    Raises:
        RuntimeError: it failed; with the end of its messages.
    """
    command = [python, str(Path(__file__).resolve()), "--train", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(argv: list[str]) -> None:
    """The command; `--train` is for the process in the other environment."""
    if argv[:1] == ["--train"]:
        algorithm, environment, seed, steps, *paths = argv[1:]
        result = train(algorithm, [Path(p) for p in paths], environment, int(seed), int(steps))
        print(json.dumps(result))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="e.g. hopper_medium_replay")
    parser.add_argument("folder", type=Path, help="of the .npz files of tools/mujoco_sets.py")
    parser.add_argument("--python", required=True, help="Python of d3rlpy's environment")
    parser.add_argument("--algorithms", default=",".join(ALGORITHMS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--output", type=Path, default=Path("studies/uwac-rivals"))
    words = parser.parse_args(argv)
    run(words)


def run(words: argparse.Namespace) -> None:
    """Every algorithm with every seed; finished ones are not repeated.

    Raises:
        InputError: an unknown algorithm or task, or a missing file.
    """
    from tfzoo.config import check
    from tfzoo.errors import InputError
    from tfzoo.experiments import study
    from tfzoo.experiments.keeping import kept
    from tfzoo.experiments.statistics import Row
    from tfzoo.uwac.references import normalised

    task, chosen = words.data.split("_", 1)[0], words.algorithms.split(",")
    check(task in TASKS, "data", words.data, f"of {', '.join(TASKS)}, e.g. hopper_medium_replay")
    for name in chosen:
        check(name in ALGORITHMS, "--algorithms", name, f"one of {', '.join(ALGORITHMS)}")
    check(words.steps >= 1, "--steps", words.steps, "at least 1")
    paths, environment = files(words.data, words.folder), TASKS[task]
    for path in paths:
        if not path.is_file():
            raise InputError(f"folder={str(words.folder)!r}: has no file {path.name}")
    output, rows, versions = words.output / words.data, [], {}
    for algorithm in chosen:
        for seed in study.parse_seeds(words.seeds):
            given = (words.python, algorithm, environment, seed, words.steps, *paths)
            part = f"{algorithm}, seed {seed}"
            result = kept(output, part, (words.data, words.steps), asked, *given)
            versions = result["versions"]
            metrics = dict(result["metrics"])
            metrics["score"] = normalised(environment, metrics["return"], "tfzoo")
            metrics["cost"] = -metrics["return"]
            rows.append(Row(f"d3rlpy's {algorithm}", seed, None, metrics, result["seconds"]))
            print(f"{part}: return {metrics['return']:.0f}, {result['seconds']:.0f} s", flush=True)
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    note = f"tfzoo/{words.data}-v0; {words.steps} steps; {named}; their defaults, not tuned"
    title = f"d3rlpy on {words.data}"
    print(study.report(title, rows, "cost", output, (), [note]))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Runs a recipe: data -> model -> fit -> evaluate -> save -> export; resumes interrupted runs."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

import keras
import tensorflow as tf

from tfzoo import config as configs
from tfzoo import registry, zoo
from tfzoo.data import Datasets, Info
from tfzoo.environment import environment, only_on
from tfzoo.errors import InputError
from tfzoo.files import expanded, locked, replacing, write_text
from tfzoo.recipe import Recipe
from tfzoo.training.config import C, RunConfig
from tfzoo.training.distribute import make_strategy
from tfzoo.training.run import Run


@dataclass(frozen=True)
class Resolved(Generic[C]):
    """A recipe that is ready to run: its name, task and checked config.

    Attributes:
        name: the recipe's name, or its file's without the suffix.
        recipe: its task's `Recipe`.
        config: the checked config.
        left_out: keys specific to the recipe's own data that were dropped for other data.
        info: properties of the training data, for a trained model that records them.
    """

    name: str
    recipe: Recipe[C, Any]
    config: C
    left_out: tuple[str, ...] = ()
    info: Info | None = None


def resolve(name_or_path: str, overrides: Sequence[str] = ()) -> Resolved:
    """Finds a recipe by name (`aft/digits`) or YAML path and checks its config.

    Raises:
        InputError: no such recipe, or an invalid config.
    """
    name_or_path = expanded(name_or_path)
    path = zoo.find_recipe(name_or_path)
    name = name_or_path if not Path(name_or_path).is_file() else Path(name_or_path).stem
    return _resolved(name, path, configs.read_yaml(path), overrides)


@only_on(
    "tensorflow",
    why="whose checkpoints and exports use TensorFlow; layers and losses work with Keras's fit",
    name="recipes",
)
def _resolved(name: str, source: Any, own: Any, overrides: Sequence[str]) -> Resolved:
    """A recipe's own values with overrides applied, checked."""
    values = configs.parse(own, overrides)
    task = configs.peek(values, "task")
    if not isinstance(task, str) or not task:
        raise InputError(f"{source}: task must be set, to one of {', '.join(registry.tasks())}")
    recipe = registry.get_task(task)()
    kept, left_out = configs.for_other_data(recipe.config_class, own, overrides)
    config = configs.resolve(recipe.config_class, configs.parse(kept, overrides))
    reason = recipe.one_device(config)
    fits = config.distribute == "none" or not reason
    configs.check(fits, "distribute", config.distribute, f"none, {reason}")
    return Resolved(name, recipe, config, tuple(left_out))


def open_trained(
    target: str, recipe: str | None = None, overrides: Sequence[str] = ()
) -> tuple[keras.Model, Resolved]:
    """A trained model together with its recipe.

    Args:
        target: a run directory, the name of a package weight, or a `.keras` file.
        recipe: name or YAML path of the recipe; needed for a `.keras` file that does not record it.
        overrides: applied to the recipe's config, e.g. another `data.path`.

    Raises:
        InputError: there is no such model, or its recipe is unknown.
    """
    target = expanded(target)
    about = zoo.metadata(target)
    if (Path(target) / "config.yaml").is_file():
        recipe = recipe or str(Path(target) / "config.yaml")
    elif target in zoo.index():
        recipe = recipe or zoo.index()[target]["recipe"]
    model = zoo.load(target)
    name = target if target in zoo.index() else Path(target).stem
    if recipe is not None:
        resolved = resolve(recipe, overrides)
    elif "config" in about:
        resolved = _resolved(name, target, configs.parse_yaml(about["config"]), overrides)
    else:
        raise InputError(f"model {target!r}: its recipe is unknown, must be given by --recipe")
    info = Info.from_dict(about["info"]) if "info" in about else None
    return model, replace(resolved, name=name, info=info)


def run_directory(resolved: Resolved, root: str | Path = "runs") -> Path:
    """`runs/<recipe>-<hash of the config>`: the same command finds the same directory."""
    text = configs.to_yaml(resolved.config)
    return Path(expanded(root)) / f"{resolved.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def run_recipe(
    resolved: Resolved,
    directory: str | Path,
    *,
    export: bool = True,
    report: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> dict[str, float]:
    """Trains, evaluates, saves and exports a recipe in a run directory; resumes if necessary.

    Writes `config.yaml`, `environment.json`, `log.csv`, `tensorboard/`, `backup/`, `model.keras`,
    `export/<name>/<version>/` and, last, `metrics.json` there.

    Returns:
        The test metrics, and the values that only the training knows.

    Raises:
        InputError: the directory holds a run with another config or is in use by another process,
            or the data are not suitable.
        TrainingInterrupted: on SIGINT or SIGTERM; the same call resumes.
        TrainingDiverged: the loss became NaN or infinite.
    """
    config, directory = resolved.config, Path(expanded(directory))
    finished = directory / "metrics.json"
    _claim(directory, config)
    if finished.is_file():
        report(f"{directory}: already finished")
        return read_metrics(directory)
    for line in remarks(resolved):
        report(line)
    run = Run(directory, config, prepare(config))
    if not run.chief:
        _train(resolved, run)
        return {}
    with _alone(directory), _disk_errors(directory):
        return _carry_out(resolved, run, export)


def remarks(resolved: Resolved) -> list[str]:
    """What a user should know about a resolved recipe before it runs."""
    lines = []
    if resolved.left_out:
        keys = ", ".join(resolved.left_out)
        lines.append(f"{resolved.name}: {keys} apply to its own data and are ignored for yours")
    rare = getattr(resolved.config, "rare", None)
    if rare is not None and rare.classes:
        lines.append(
            f"rare.classes={rare.classes}: as many classes keep {rare.examples} training examples "
            "each; rare.classes=0 keeps all"
        )
    if rare is not None and rare.ratio > 1:
        lines.append(
            f"rare.ratio={rare.ratio:g}: the training split becomes long-tailed; rare.ratio=1 "
            "keeps all"
        )
    return lines


@contextlib.contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    """Turns whatever a full disk raises into one `OSError` that names the directory.

    TensorFlow's writers raise their own errors, and Python's do not name a file once it is open.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            said = str(directory) in str(error) and os.strerror(number) in str(error)
            if getattr(error, "errno", None) == number or said:
                raise OSError(number, os.strerror(number), str(directory)) from error
        raise


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(directory / ".lock"))
        except BlockingIOError:
            raise InputError(
                f"run directory {str(directory)!r}: in use by another process"
            ) from None
        yield


def _train(resolved: Resolved, run: Run) -> tuple[keras.Model, Datasets, dict[str, float]]:
    config, recipe = run.config, resolved.recipe
    with run.stop.watching():
        datasets = recipe.datasets(config)
        # preparing data, which happens only the first time, also draws random numbers
        keras.utils.set_random_seed(config.seed)
        with run.scope():
            model = _build(resolved, datasets.info)
        training = recipe.train(model, datasets, run)
    return model, datasets, training


def _carry_out(resolved: Resolved, run: Run, export: bool) -> dict[str, float]:
    config, recipe, directory = run.config, resolved.recipe, run.directory
    write_text(directory / "config.yaml", configs.to_yaml(config))
    write_text(directory / "environment.json", json.dumps(environment(config.seed), indent=2))
    model, datasets, training = _train(resolved, run)
    with replacing(directory / "model.keras") as aside:
        model.save(aside)
        zoo.write_metadata(aside, about(resolved, datasets.info))
    if run.strategy:  # evaluate and export the model that a user will load, on one device
        model = keras.models.load_model(directory / "model.keras")
    metrics = recipe.evaluate(model, datasets, config)
    if export:
        target = directory / "export" / resolved.name.split("/")[-1]
        if not any(target.glob("[0-9]*")):
            write_export(model, replace(resolved, info=datasets.info), target)
    result = {"test": metrics, "training": training, "parameters": model.count_params()}
    write_text(directory / "metrics.json", json.dumps(result, indent=2))
    return metrics | training


def about(resolved: Resolved, info: Info) -> dict[str, Any]:
    """The origin recorded in a trained model's file; see `tfzoo.zoo.metadata`."""
    config = configs.to_yaml(resolved.config)
    return {"recipe": resolved.name, "config": config, "info": dataclasses.asdict(info)}


def write_export(
    model: keras.Model, resolved: Resolved, directory: str | Path, version: int | None = None
) -> Path:
    """Writes a trained model as a SavedModel: see `tfzoo.serving.write`.

    Args:
        model: a trained model.
        resolved: its recipe; its `info`, if any, gives ranges of inputs and names of classes.
        directory: the model's folder.
        version: an unused number; default: the next one.
    """
    from tfzoo import serving

    info = resolved.info
    return serving.write(
        model,
        resolved.recipe.signatures(model, info),
        directory,
        version=version,
        config_yaml=configs.to_yaml(resolved.config),
        labels=info.classes if info is not None else (),
        metadata={"data": dataclasses.asdict(info)} if info is not None else {},
    )


def write_portable(
    model: keras.Model, resolved: Resolved, directory: str | Path, format: str
) -> dict[str, str]:
    """Writes a trained model for another runtime: see `tfzoo.serving.write_portable`.

    Args:
        model: a trained model.
        resolved: its recipe.
        directory: a new folder.
        format: `litert` or `onnx`.

    Returns:
        For each signature that the format cannot express, the reason, by name.
    """
    from tfzoo import serving

    info = resolved.info
    labels = info.classes if info is not None else ()
    signatures = resolved.recipe.signatures(model, info)
    return serving.write_portable(model, signatures, directory, format, labels=labels)


def read_metrics(directory: str | Path) -> dict[str, float]:
    """The test metrics of a finished run, and the values that only its training knew."""
    result = json.loads((Path(directory) / "metrics.json").read_text(encoding="utf-8"))
    return result["test"] | result.get("training", {})  # older runs lack this part


def evaluate(model: keras.Model, resolved: Resolved, target: str = "") -> dict[str, float]:
    """Metrics of a trained model on its recipe's test data.

    Args:
        model: from `open_trained`.
        resolved: from `open_trained`.
        target: a run directory, which adds the values that only its training knew.

    Raises:
        InputError: the data are not suitable.
    """
    config = resolved.config
    metrics = resolved.recipe.evaluate(model, resolved.recipe.datasets(config), config)
    finished = Path(target) / "metrics.json"
    if not target or not finished.is_file():
        return metrics
    return metrics | json.loads(finished.read_text(encoding="utf-8")).get("training", {})


def dry_run(resolved: Resolved) -> keras.Model:
    """Builds the model from the data's description alone; trains nothing, downloads nothing."""
    config = resolved.config
    prepare(config)
    return _build(resolved, resolved.recipe.data_info(config))


def _build(resolved: Resolved, info: Any) -> keras.Model:
    """Builds the model of a config.

    Raises:
        InputError: its sizes do not match, or exceed memory.
    """
    try:
        return resolved.recipe.build(resolved.config, info)
    except InputError:
        raise
    except (ValueError, OverflowError, MemoryError, tf.errors.ResourceExhaustedError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{resolved.name}: cannot build a model: {first}") from error


def prepare(config: RunConfig) -> tf.distribute.Strategy | None:
    """Sets the strategy, seed, determinism and precision of this process, in that order.

    Raises:
        InputError: the strategy is not available.
    """
    keras.utils.clear_session()  # layer names count from 1, as in a fresh process
    strategy = make_strategy(config.distribute)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(config.precision)
    return strategy


def _claim(directory: Path, config: RunConfig) -> None:
    """Refuses a directory that holds a run with another config.

    Keys added since the run began take their defaults.
    """
    path = directory / "config.yaml"
    if not path.is_file():
        return
    try:
        theirs = configs.load(type(config), path)
        lines = [configs.to_yaml(c).splitlines() for c in (theirs, config)]
        pairs = ((a.strip(), b.strip()) for a, b in zip(*lines, strict=False) if a != b)
        changed = "{} there, {} here".format(*next(pairs, ("fewer or more values",) * 2))
    except InputError as error:  # a removed key, or an edited file
        theirs, changed = None, str(error)
    if theirs != config:
        raise InputError(
            f"run directory {str(directory)!r}: holds a run with another config ({changed}); "
            "must be another directory"
        )

"""Runs a recipe: data -> model -> fit -> evaluate -> save -> export; resumes what was cut off."""

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
    """A recipe ready to run: its name, task and checked config.

    Attributes:
        name: of the recipe, or of its file without the suffix.
        recipe: of its task.
        config: checked.
        left_out: keys that hold for the recipe's own data and were left out for others.
        info: of the data that the model was trained on, for a trained one that knows.
    """

    name: str
    recipe: Recipe[C, Any]
    config: C
    left_out: tuple[str, ...] = ()
    info: Info | None = None


def resolve(name_or_path: str, overrides: Sequence[str] = ()) -> Resolved:
    """Finds a recipe by name (`aft/digits`) or YAML path and checks its config.

    Raises:
        InputError: no such recipe, or the config is wrong.
    """
    name_or_path = expanded(name_or_path)
    path = zoo.find_recipe(name_or_path)
    name = name_or_path if not Path(name_or_path).is_file() else Path(name_or_path).stem
    return _resolved(name, path, configs.read_yaml(path), overrides)


@only_on(
    "tensorflow",
    why="whose checkpoints and exports are TensorFlow's; layers and losses work with Keras's fit",
    name="recipes",
)
def _resolved(name: str, source: Any, own: Any, overrides: Sequence[str]) -> Resolved:
    """A recipe's own values with overrides laid over them, checked."""
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
    """A trained model together with the recipe that made it.

    Args:
        target: a run directory, the name of a package weight, or a `.keras` file.
        recipe: name or YAML path of the recipe; needed for a `.keras` file that does not know.
        overrides: laid over the recipe's config, e.g. another `data.path`.

    Raises:
        InputError: there is no such model, or its recipe is not known.
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
        raise InputError(f"model {target!r}: give the recipe that made it by --recipe")
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
    """Trains, evaluates, saves and exports a recipe in a run directory; resumes if it must.

    Leaves `config.yaml`, `environment.json`, `log.csv`, `tensorboard/`, `backup/`, `model.keras`,
    `export/<name>/<version>/` and, last, `metrics.json` there.

    Returns:
        The test metrics, and what only the training knows.

    Raises:
        InputError: the directory holds a run of another config, another process is at work in it,
            or the data are not as needed.
        TrainingInterrupted: SIGINT or SIGTERM came; the same call goes on.
        TrainingDiverged: the loss became NaN or infinite.
    """
    config, directory = resolved.config, Path(expanded(directory))
    finished = directory / "metrics.json"
    _claim(directory, config)
    if finished.is_file():
        report(f"{directory}: finished already")
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
    """What a user should know of a resolved recipe before it runs."""
    lines = []
    if resolved.left_out:
        keys = ", ".join(resolved.left_out)
        lines.append(f"{resolved.name}: {keys} hold for its own data and are left out for yours")
    rare = getattr(resolved.config, "rare", None)
    if rare is not None and rare.classes:
        lines.append(
            f"rare.classes={rare.classes}: so many classes keep {rare.examples} training examples "
            "each; rare.classes=0 keeps all"
        )
    if rare is not None and rare.ratio > 1:
        lines.append(
            f"rare.ratio={rare.ratio:g}: the training split is cut to a long tail; rare.ratio=1 "
            "keeps all"
        )
    return lines


@contextlib.contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    """Makes whatever a disk that takes no more raises one `OSError` that names the directory.

    TensorFlow's writers raise errors of their own, and Python's name no file once it is open.
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
                f"run directory {str(directory)!r}: another process is at work in it"
            ) from None
        yield


def _train(resolved: Resolved, run: Run) -> tuple[keras.Model, Datasets, dict[str, float]]:
    config, recipe = run.config, resolved.recipe
    with run.stop.watching():
        datasets = recipe.datasets(config)
        # preparing data, which happens the first time only, draws random numbers too
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
    if run.strategy:  # evaluate and export what a user will load, on one device
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
    """What a trained model's file says of its origin: see `tfzoo.zoo.metadata`."""
    config = configs.to_yaml(resolved.config)
    return {"recipe": resolved.name, "config": config, "info": dataclasses.asdict(info)}


def write_export(
    model: keras.Model, resolved: Resolved, directory: str | Path, version: int | None = None
) -> Path:
    """Writes a trained model as a SavedModel: see `tfzoo.serving.write`.

    Args:
        model: trained.
        resolved: its recipe; what `info` it has gives ranges of inputs and names of classes.
        directory: the model's folder.
        version: a free number; default: the next one.
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
        model: trained.
        resolved: its recipe.
        directory: a new folder.
        format: `litert` or `onnx`.

    Returns:
        Reasons by name of the signatures that the format cannot express.
    """
    from tfzoo import serving

    info = resolved.info
    labels = info.classes if info is not None else ()
    signatures = resolved.recipe.signatures(model, info)
    return serving.write_portable(model, signatures, directory, format, labels=labels)


def read_metrics(directory: str | Path) -> dict[str, float]:
    """The test metrics of a finished run, and what only its training knew."""
    result = json.loads((Path(directory) / "metrics.json").read_text(encoding="utf-8"))
    return result["test"] | result.get("training", {})  # older runs have no such part


def evaluate(model: keras.Model, resolved: Resolved, target: str = "") -> dict[str, float]:
    """Metrics of a trained model on its recipe's test data.

    Args:
        model: of `open_trained`.
        resolved: likewise.
        target: a run directory, which adds what only its training knew.

    Raises:
        InputError: the data are not as needed.
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
    """The model of a config.

    Raises:
        InputError: its sizes do not go together, or no memory holds them.
    """
    try:
        return resolved.recipe.build(resolved.config, info)
    except InputError:
        raise
    except (ValueError, OverflowError, MemoryError, tf.errors.ResourceExhaustedError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{resolved.name}: this config gives no model: {first}") from error


def prepare(config: RunConfig) -> tf.distribute.Strategy | None:
    """Sets strategy, seed, determinism and precision of this process, in that order.

    Raises:
        InputError: no such strategy here.
    """
    keras.utils.clear_session()  # layer names count from 1, as in a fresh process
    strategy = make_strategy(config.distribute)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(config.precision)
    return strategy


def _claim(directory: Path, config: RunConfig) -> None:
    """Refuses a directory that holds a run of another config.

    A key that tfzoo got after the run began has its default there.
    """
    path = directory / "config.yaml"
    if not path.is_file():
        return
    try:
        theirs = configs.load(type(config), path)
        lines = [configs.to_yaml(c).splitlines() for c in (theirs, config)]
        pairs = ((a.strip(), b.strip()) for a, b in zip(*lines, strict=False) if a != b)
        changed = "{} there, {} here".format(*next(pairs, ("fewer or more values",) * 2))
    except InputError as error:  # a key that is no more, or an edited file
        theirs, changed = None, str(error)
    if theirs != config:
        raise InputError(
            f"run directory {str(directory)!r}: holds a run of another config ({changed}); "
            "choose another one"
        )

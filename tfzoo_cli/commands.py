"""What each word of the command line does, once tfzoo is loaded."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def train(words: argparse.Namespace) -> None:
    """`tfzoo train RECIPE [key=value ...]`."""
    from tfzoo import runner
    from tfzoo.config import to_yaml

    resolved = runner.resolve(words.recipe, words.overrides)
    if words.print_config:
        print(to_yaml(resolved.config), end="")
        return
    if words.dry_run:
        for line in runner.remarks(resolved):
            print(line, file=sys.stderr)
        info, model = resolved.recipe.data_info(resolved.config), runner.dry_run(resolved)
        model.summary()
        print(f"data: {json.dumps(dataclasses.asdict(info))}")
        if info.guesses:
            print(f"guessed, since the data are not there: {', '.join(info.guesses)}")
        print(f"{model.count_params():,} parameters; nothing was trained")
        return
    directory = words.run_dir or runner.run_directory(resolved)
    print(f"run directory: {directory}")
    metrics = runner.run_recipe(resolved, directory, export=not words.no_export)
    _print_metrics(metrics)


def evaluate(words: argparse.Namespace) -> None:
    """`tfzoo evaluate MODEL`."""
    from tfzoo import runner

    model, resolved = runner.open_trained(words.model, words.recipe, words.overrides)
    _print_metrics(runner.evaluate(model, resolved, words.model))


def export(words: argparse.Namespace) -> None:
    """`tfzoo export MODEL --output DIR`."""
    from tfzoo import runner
    from tfzoo.config import check

    if words.version is not None:
        check(words.version >= 1, "--version", words.version, "at least 1")
    model, resolved = runner.open_trained(words.model, words.recipe)
    print(runner.write_export(model, resolved, words.output, words.version))


def serve(words: argparse.Namespace) -> None:
    """`tfzoo serve DIR`, until SIGINT or SIGTERM."""
    from tfzoo import serving

    done = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: done.set())
    with serving.serve(
        words.directory,
        host=words.host,
        rest_port=words.rest_port,
        grpc_port=words.grpc_port,
        model_name=words.model_name,
    ) as server:
        print(
            f"{server.backend} serves {', '.join(server.models)}: "
            f"REST http://{words.host}:{server.rest_port}/v1/models/..., "
            f"gRPC {words.host}:{server.grpc_port}; Ctrl-C ends",
            flush=True,
        )
        done.wait()


def predict(words: argparse.Namespace) -> None:
    """`tfzoo predict MODEL INPUT`."""
    import numpy as np

    from tfzoo import runner
    from tfzoo.config import check
    from tfzoo.files import replacing

    names: tuple[str, ...] = ()
    if words.model.startswith(("http://", "https://")):
        from tfzoo.serving.client import RestClient

        base, separator, name = words.model.partition("/v1/models/")
        check(bool(separator and name), "model", words.model, "http://HOST:PORT/v1/models/NAME")
        inputs = _read_inputs(words.input, None)
        outputs = RestClient(base).predict(name, inputs, signature_name=words.signature)
    else:
        model, resolved = runner.open_trained(words.model, words.recipe)
        signatures = resolved.recipe.signatures(model, resolved.info)
        if resolved.info is not None and resolved.info.has_names:
            names = resolved.info.classes
        name = words.signature
        check(name in signatures, "--signature", name, f"one of {', '.join(signatures)}")
        inputs = _read_inputs(words.input, list(signatures[name].inputs))
        outputs = signatures[name](**inputs)
    arrays: dict[str, Any] = {key: np.asarray(value) for key, value in outputs.items()}
    if names and "classes" in arrays:
        arrays["labels"] = np.array(names)[arrays["classes"]]
    if words.output:
        with replacing(words.output) as aside, aside.open("wb") as file:
            np.savez(file, **arrays)
    else:
        print(json.dumps({key: value.tolist() for key, value in arrays.items()}))


def demo(words: argparse.Namespace) -> None:
    """`tfzoo demo [--output DIR]`."""
    from tfzoo_cli import demo

    demo.main(Path(words.output))


def experiment(words: argparse.Namespace) -> int | None:
    """`tfzoo study|bench|search NAME ...`."""
    from tfzoo import registry

    return registry.get_experiment(words.kind, words.name)(words.rest)


def _print_metrics(metrics: dict[str, float]) -> None:
    for name, value in metrics.items():
        print(f"{name} {value:.6g}")


def _read_inputs(path: str, names: list[str] | None) -> dict[str, np.ndarray]:
    """Inputs by name from a file; one without names goes to the only input."""
    import numpy as np

    from tfzoo.data.videos.video_files import SUFFIXES, read_video
    from tfzoo.errors import InputError
    from tfzoo.files import read_npz

    file = Path(path)
    if not file.is_file():
        raise InputError(f"input {path!r}: no such file")
    try:
        if file.suffix == ".npz":
            return read_npz(file, "input")
        if file.suffix == ".json":
            values = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(values, dict):
                return {name: np.asarray(value) for name, value in values.items()}
            value = np.asarray(values)
        elif file.suffix == ".npy":
            value = np.load(file, allow_pickle=False)
        elif file.suffix.lower() in SUFFIXES and file.suffix != ".gif":
            value = read_video(file)[None]
        elif file.suffix in (".png", ".jpg", ".jpeg", ".gif", ".bmp"):
            value = np.array([file.read_bytes()], object)
        else:
            value = np.frombuffer(file.read_bytes(), np.uint8)[None].astype("int32")
    except (OSError, ValueError) as error:
        raise InputError(f"input {path!r}: not readable: {error}") from None
    if names is None or len(names) != 1:
        wanted = "the model's inputs" if names is None else ", ".join(names)
        raise InputError(f"input {path!r}: must be .npz or .json that names {wanted}")
    return {names[0]: value}

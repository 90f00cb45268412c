"""The commands of the command line, run once tfzoo is loaded."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path


def train(words: argparse.Namespace) -> None:
    """`tfzoo train RECIPE [key=value ...]`."""
    from tfzoo import runner
    from tfzoo.config import to_yaml
    from tfzoo.files import expanded

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
            print(f"guessed, since the data are not available: {', '.join(info.guesses)}")
        print(f"{model.count_params():,} parameters; nothing was trained")
        return
    directory = expanded(words.run_dir) if words.run_dir else runner.run_directory(resolved)
    print(f"run directory: {directory}")
    metrics = runner.run_recipe(resolved, directory, export=not words.no_export)
    _print_metrics(metrics)


def evaluate(words: argparse.Namespace) -> None:
    """`tfzoo evaluate MODEL`."""
    from tfzoo import runner

    model, resolved = runner.open_trained(words.model, words.recipe, words.overrides)
    _print_metrics(runner.evaluate(model, resolved, words.model))


def export(words: argparse.Namespace) -> None:
    """`tfzoo export MODEL --output DIR [--format F]`."""
    from tfzoo import runner
    from tfzoo.config import check

    portable = words.format != "savedmodel"
    if words.version is not None:
        check(words.version >= 1, "--version", words.version, "at least 1")
        check(not portable, "--version", words.version, "of --format savedmodel")
    if portable:
        from tfzoo.serving.portable import check_target

        check_target(words.output, words.format)
    model, resolved = runner.open_trained(words.model, words.recipe)
    if not portable:
        print(runner.write_export(model, resolved, words.output, words.version))
        return
    reasons = runner.write_portable(model, resolved, words.output, words.format)
    for name, reason in reasons.items():
        print(f"tfzoo: {name}: left out: {reason}", file=sys.stderr)
    print(words.output)


def serve(words: argparse.Namespace) -> None:
    """`tfzoo serve DIR`, until SIGINT or SIGTERM."""
    from tfzoo_cli import serve

    serve.run(words)


def predict(words: argparse.Namespace) -> None:
    """`tfzoo predict MODEL INPUT ...`."""
    from tfzoo.config import check
    from tfzoo.prediction import inputs, models, outputs

    suffix = models.check_output(words.output)
    check(words.batch_size >= 1, "--batch-size", words.batch_size, "at least 1")
    files = inputs.listed(words.input)
    model = models.open_model(words.model, words.recipe)
    if suffix not in outputs.SUFFIXES:
        model.write(words.input, words.output)
        return
    answers = model.answer(files, words.signature, words.batch_size, suffix)
    if words.output:
        answers.write(words.output)
    else:
        print(answers.to_json())


def demo(words: argparse.Namespace) -> None:
    """`tfzoo demo [--output DIR]`."""
    from tfzoo.files import expanded
    from tfzoo_cli import demo

    demo.main(Path(expanded(words.output)))


def experiment(words: argparse.Namespace) -> int | None:
    """`tfzoo study|bench|search NAME ...`."""
    from tfzoo import registry
    from tfzoo.serving.loading import without

    # it counts traces by code, which Keras's functions of all of a study's models share
    with without("tensorflow", "calls to <function TensorFlowTrainer.make_"):
        return registry.get_experiment(words.kind, words.name)(words.rest)


def _print_metrics(metrics: dict[str, float]) -> None:
    for name, value in metrics.items():
        print(f"{name} {value:.6g}")

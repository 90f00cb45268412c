"""Publishes a finished run's model as a package weight: `python tools/publish.py RUN NAME --licence
L`."""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

from tfzoo import zoo
from tfzoo.errors import InputError
from tfzoo.files import replacing, write_text

LIMIT_MB = 4
CONFIG = "config.json"
"""The member of a `.keras` file that describes how the model is built and compiled."""


def publish(
    run: str | Path, name: str, recipe: str, licence: str, file: str = "model.keras"
) -> Path:
    """Copies a run's model, without its optimizer's variables, into `tfzoo/weights` and indexes it.

    Args:
        run: a finished run directory.
        name: its name for `tfzoo.load`, e.g. `aft/digits`.
        recipe: the committed recipe that it was trained with.
        licence: of the data and the weights.
        file: file of the run; `controller.keras` for a run of ALA.

    Raises:
        InputError: the run is not finished, the recipe is unknown, or the file is too large.
    """
    import keras

    import tfzoo  # noqa: F401

    run = Path(run)
    if not (run / "metrics.json").is_file():
        raise InputError(f"run {str(run)!r}: must be a finished run directory")
    zoo.find_recipe(recipe)
    result = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    machine = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    target = zoo.WEIGHTS / f"{name.replace('/', '_')}.keras"
    with replacing(target) as aside:
        keras.models.load_model(run / file, compile=False).save(aside)
        zoo.rewrite(aside, CONFIG, {"compile_config": compile_config(run / file)})
        zoo.write_metadata(aside, zoo.metadata(run))
        if (size := aside.stat().st_size) > LIMIT_MB * 1e6:
            raise InputError(f"model {name!r}: {size / 1e6:.1f} MB, must be at most {LIMIT_MB}")
    index = zoo.index()
    index[name] = {
        "file": target.name,
        "sha256": zoo.digest(target),
        "recipe": recipe,
        "metric": ", ".join(f"test {k} {v:.4g}" for k, v in result["test"].items()),
        "command": f"tfzoo evaluate {name}",
        "licence": licence,
        "made": {key: machine[key] for key in ("date", "commit", "seed", "versions", "processor")},
    }
    write_text(zoo.WEIGHTS / "index.json", json.dumps(index, indent=2, sort_keys=True) + "\n")
    return target


def compile_config(path: Path) -> dict[str, Any] | None:
    """How the model of a `.keras` file was compiled; empty or None if it was not."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(CONFIG))["compile_config"]


def main() -> None:
    """Runs `python tools/publish.py` with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--recipe", help="default: the name")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--file", default="model.keras", help="the run's file; default model.keras")
    words = parser.parse_args()
    print(publish(words.run, words.name, words.recipe or words.name, words.licence, words.file))


if __name__ == "__main__":
    main()

"""Trains on a user's own images with the recipes that the site offers for them.

`python tools/newcomer.py` enlarges scikit-learn's digits to 28x28 8-bit images, writes them as an
arrays file and as class folders, and trains on both every classification recipe of the site's table
whose own data are the 8x8 digits, with its defaults and no keys but `data.name` and `data.path`.
Each must reach logistic regression's test accuracy minus 0.05 on the same splits.

Writes `results.csv`, `table.md` and `study.json` below `studies/newcomer`; the same command resumes
where it was stopped. Exits with status 1 if a recipe fell short or failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from own_data import recipes
from tfzoo import data, runner
from tfzoo.errors import InputError
from tfzoo.experiments import study
from tfzoo.experiments.statistics import Row, interval, values
from tfzoo.recipes.classification import Images
from tfzoo.recipes.images import ImageClassification

SIDE = 28
MARGIN = 0.05
FORMS = {"arrays": "tfzoo_arrays", "folder": "tfzoo_image_folder"}
BASELINE = "logistic regression"


def offered() -> list[str]:
    """Classification recipes for images, small enough for two cores: those for the digits."""
    return [
        name
        for name, task in recipes().items()
        if issubclass(task, (Images, ImageClassification))
        and set(FORMS.values()) <= task.own_data.keys()
        and runner.resolve(name).config.data.name == "tfzoo_digits"
    ]


def write_files(root: Path) -> dict[str, Path]:
    """The enlarged digits as `mine.npz` and as PNG files in class folders; paths by form."""
    from PIL import Image
    from sklearn.datasets import load_digits

    paths = {"arrays": root / "mine.npz", "folder": root / "folder"}
    if paths["arrays"].is_file():  # the last file written
        return paths
    digits = load_digits()
    pixels = (digits.images * (255 / 16)).round().astype("uint8")
    images = [
        Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for image in pixels
    ]
    for i, (image, label) in enumerate(zip(images, digits.target, strict=True)):
        folder = paths["folder"] / f"digit{label}"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{i}.png")
    x = np.stack([np.asarray(image) for image in images])[..., None]
    np.savez(paths["arrays"], x=x, y=digits.target)
    return paths


def baseline(name: str, path: Path) -> float:
    """Test accuracy of logistic regression on the recipes' splits."""
    from sklearn.linear_model import LogisticRegression

    builder = data.builder(data.DataConfig(name=name, path=str(path)))
    parts = {}
    for split in ("train", "test"):
        pairs = list(data.split(builder, split).as_numpy_iterator())
        x = np.stack([pair["image"].reshape(-1) for pair in pairs]) / 255
        parts[split] = x, np.array([pair["label"] for pair in pairs])
    return LogisticRegression(max_iter=2000).fit(*parts["train"]).score(*parts["test"])


def main(words: list[str] | None = None) -> int:
    """Trains all recipes and reports; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tools/newcomer.py")
    parser.add_argument("recipes", nargs="*", help="default: those of the 8x8 digits")
    parser.add_argument("--seeds", default="0", help="comma-separated; default 0")
    parser.add_argument("--output", type=Path, default=Path("studies/newcomer"))
    options = parser.parse_args(words)
    names, seeds = options.recipes or offered(), study.parse_seeds(options.seeds)
    paths = write_files(options.output)
    lines, arms = {}, {}
    rows: list[Row] = []
    for form, path in paths.items():
        accuracy = baseline(FORMS[form], path)
        lines[form] = accuracy - MARGIN
        rows.append(Row(f"{BASELINE}, {form}", 0, metrics={"accuracy": accuracy}))
        own = [f"data.name={FORMS[form]}", f"data.path={path}"]
        arms |= {
            f"{name}, {form}": (form, study.Arm(f"{name}, {form}", name, own)) for name in names
        }
    rows += study.run_grid([arm for _, arm in arms.values()], seeds, options.output)
    reached = {}
    for name, (form, _) in arms.items():
        mine = interval(list(values(rows, name, "accuracy").values()))
        reached[name] = mine.count == len(seeds) and mine.mean >= lines[form]
    notes = [
        f"{sum(reached.values())} of {len(reached)} reached the line, logistic regression's "
        f"accuracy minus {MARGIN}: "
        + ", ".join(f"{line:.4f} ({form})" for form, line in lines.items())
        + "".join(f"; missed by {name}" for name, good in reached.items() if not good)
        + "."
    ]
    extra = {"line": lines, "reached": reached}
    print(study.report("newcomer", rows, "accuracy", options.output, notes=notes, extra=extra))
    return 0 if all(reached.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(str(error))

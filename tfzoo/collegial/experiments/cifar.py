"""A small ResNeXt on CIFAR-10-JPEG, the wide compared with the searched shape; no claim is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.collegial import search
from tfzoo.collegial.resnext import count_kernels
from tfzoo.data.jpegs import read_jpegs
from tfzoo.errors import InputError
from tfzoo.experiments import study
from tfzoo.experiments.statistics import Row
from tfzoo.experiments.study import Arm
from tfzoo.files import replacing

TRAIN, HELD, SIDE = 4000, 1000, 16
NETWORK: dict[str, Any] = {"depth": 8, "stages": 2}
WIDE = (1, 48)
EPOCHS, BATCH = 6, 50


def prepare(source: str | Path, target: Path) -> Path:
    """Decodes the first images of the file, halves their sides, and writes an .npz of arrays.

    Raises:
        InputError: no such file, or a wrong format.
    """
    if target.is_file():
        return target
    try:
        with np.load(source, allow_pickle=False) as file:
            parts = {}
            for part, names in (("train", ("train", "validation")), ("test", ("test",))):
                counts = (TRAIN, HELD) if part == "train" else (HELD,)
                images, labels = read_jpegs(file, part, sum(counts))
                halved = images.astype(np.float32).reshape(-1, SIDE, 2, SIDE, 2, 3).mean((2, 4))
                at = 0
                for name, count in zip(names, counts, strict=True):
                    parts[f"x_{name}"] = np.round(halved[at : at + count]).astype(np.uint8)
                    parts[f"y_{name}"] = labels[at : at + count]
                    at += count
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"--cifar={str(source)!r}: must be CIFAR-10-JPEG's .npz: {error}"
        ) from None
    with replacing(target) as aside:
        np.savez_compressed(aside, **parts)
    return target


def searched() -> search.Shape:
    """The shape with the lowest variance at the wide network's parameter count."""

    def cost(members: int, width: int) -> int:
        return count_kernels(members, width, **NETWORK)

    return search.maximize_trainability(cost(*WIDE), cost)


def run(source: str | Path, seeds: Sequence[int], output: Path) -> list[Row]:
    """Trains both shapes for equal epochs, and the faster one for the slower one's time."""
    path = prepare(source, output / "cifar16.npz")
    best = searched()
    rows = study.run_grid(
        [
            _arm("wide", *WIDE, EPOCHS, path),
            _arm("searched", best.members, best.width, EPOCHS, path),
        ],
        seeds,
        output,
    )
    seconds = {
        name: np.median([r.seconds for r in rows if r.arm == name]) for name in ("wide", "searched")
    }
    faster = min(seconds, key=seconds.__getitem__)
    ratio = max(seconds.values()) / min(seconds.values())
    shape = WIDE if faster == "wide" else (best.members, best.width)
    longer = _arm(f"{faster}-equal-time", *shape, max(EPOCHS, round(EPOCHS * ratio)), path)
    rows += study.run_grid([longer], seeds, output)
    notes = [
        f"wide is {WIDE[0]}x{WIDE[1]}d, searched {best}; ResNeXt with one block a stage "
        f"({NETWORK['stages']} stages), {TRAIN:,} images of {SIDE}x{SIDE}, {EPOCHS} epochs; "
        f"{longer.name} trains {ratio:.2f} times as many. Median seconds include start-up and "
        "evaluation. Far from the paper's 300 epochs on 50,000 images of 32x32.",
    ]
    print(study.report("collegial-cifar", rows, "loss", output, notes=notes))
    return rows


SCALE = ("model.pixel_mean=[125.3,123.0,113.9]", "model.pixel_std=[63.0,62.1,66.7]")
"""CIFAR-10's scale, since a recipe's own does not apply to data by path."""


def _arm(name: str, members: int, width: int, epochs: int, path: Path) -> Arm:
    return Arm(
        name,
        "collegial/cifar10",
        (
            "data.name=tfzoo_arrays",
            f"data.path={path}",
            *SCALE,
            f"model.cardinality={members}",
            f"model.base_width={width}",
            f"model.image_size={SIDE}",
            *(f"model.{key}={value}" for key, value in NETWORK.items()),
            f"epochs={epochs}",
            f"batch_size={BATCH}",
            "optimizer.learning_rate=0.05",
            f"optimizer.drop_epochs=[{max(1, 2 * epochs // 3)}]",
            "deterministic=false",
            "save_every=100000",
        ),
    )

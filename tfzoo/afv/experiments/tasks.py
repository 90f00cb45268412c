"""The study's images: MNIST and CIFAR-10-JPEG by path, digits embedded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfzoo import data
from tfzoo.afv.pixels import to_network
from tfzoo.data.jpegs import read_jpegs
from tfzoo.errors import InputError

SIDE = 16
Part = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """Images [N, 16, 16, C] in [-1, 1] with class indices; no part overlaps another.

    Attributes:
        name: name of the data.
        train: images on which GANs train without labels; labelled examples are drawn from them.
        held: images for validation.
        test: images for results.
        classes: names of the classes.
    """

    name: str
    train: Part
    held: Part
    test: Part
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """The number of channels C of the images."""
        return self.train[0].shape[-1]

    def labelled(self, count: int, seed: int) -> Part:
        """`count` training examples drawn by the seed; a smaller draw is a prefix of a larger."""
        order = np.random.default_rng(seed).permutation(len(self.train[0]))[:count]
        return self.train[0][order], self.train[1][order]


def digits(train: int, held: int, test: int) -> Task:
    """scikit-learn's 8x8 digits: a smoke test, as pixels alone are almost optimal."""
    builder = data.builder(data.DataConfig("tfzoo_digits"))

    def part(split: str, count: int) -> Part:
        batch = next(data.split(builder, split).batch(2000).as_numpy_iterator())
        order = np.random.default_rng(0).permutation(len(batch["label"]))[:count]
        return _network(batch["image"][order], 8.0), batch["label"][order]

    parts = part("train", train), part("validation", held), part("test", test)
    return Task("digits", *parts, tuple("0123456789"))


def mnist(path: str, train: int, held: int, test: int) -> Task:
    """The first images of MNIST's .npz: padded to 32x32, means of 2x2 pixels.

    Raises:
        InputError: no such file, or a wrong format.
    """

    def read(file: np.lib.npyio.NpzFile, part: str, count: int) -> Part:
        return file[f"x_{part}"][:count][..., None], file[f"y_{part}"][:count].astype(int)

    names = tuple("0123456789")
    return _of_file("mnist", "--mnist", path, read, (train, held, test), names)


def cifar(path: str, train: int, held: int, test: int) -> Task:
    """The first images of CIFAR-10-JPEG's .npz: means of 2x2 pixels.

    Raises:
        InputError: no such file, or a wrong format.
    """
    names: tuple[str, ...] = ("airplane", "automobile", "bird", "cat", "deer")
    names += ("dog", "frog", "horse", "ship", "truck")
    return _of_file("cifar", "--cifar", path, read_jpegs, (train, held, test), names)


def _of_file(
    name: str,
    option: str,
    path: str | Path,
    read: Callable,
    sizes: tuple[int, int, int],
    names: tuple[str, ...],
) -> Task:
    train, held, test = sizes
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y = read(file, "train", train + held)
            last = read(file, "test", test)
            if "classes" in file.files:
                names = tuple(str(c) for c in file["classes"])
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{option}={str(path)!r}: must be an .npz of images: {error}") from None
    if len(x) <= held:
        raise InputError(f"{option}={str(path)!r}: {len(x)} images, must be more than {held}")
    x, x_test = _network(x, 127.5), _network(last[0], 127.5)
    return Task(name, (x[held:], y[held:]), (x[:held], y[:held]), (x_test, last[1]), names)


def _network(images: np.ndarray, middle: float) -> np.ndarray:
    parts = np.array_split(images, max(1, len(images) // 1000))
    return np.concatenate([np.asarray(to_network(p, SIDE, middle, middle)) for p in parts])

"""Data and networks shared by the study's parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from keras import ops

from tfzoo import data
from tfzoo.bottleneck.dynamics import SQUARED, Head, Hybrid, KernelDescent, Loss, draw_points
from tfzoo.bottleneck.kernels import Composition, InfiniteMLP
from tfzoo.errors import InputError
from tfzoo.typing import Tensor

G, F = InfiniteMLP(2), InfiniteMLP(1)
"""g: two hidden ReLU layers; f: one."""
UNITS = 1024

Part = tuple[np.ndarray, np.ndarray]


@dataclass
class Task:
    """Training points and other points, with their kernels.

    Attributes:
        parts: (x [N, n], y [N, k]) of the training set, then of others, e.g. validation and test.
        loss: loss of the outputs.
    """

    parts: Sequence[Part]
    loss: Loss = SQUARED

    def __post_init__(self):
        """Stacks the points, since g_0 is drawn jointly on all of them."""
        self.x = ops.convert_to_tensor(np.concatenate([x for x, _ in self.parts]), "float64")
        self.y = ops.convert_to_tensor(self.parts[0][1], "float32")
        self.train = len(self.y)

    @cached_property
    def kernels(self) -> tuple[np.ndarray, np.ndarray]:
        """K_g of all points (float64); Theta_g of all with the training points (float32)."""
        nngp, theta = G.covariances(self.x)
        return nngp, ops.cast(theta[:, : self.train], "float32")

    @cached_property
    def unlimited(self) -> Tensor:
        """Theta_inf of all points with the training points, float32."""
        return ops.cast(Composition(F, G).ntk(self.x)[:, : self.train], "float32")

    def network(self, dim: int, seed: int, frozen: bool = False) -> Network:
        """A draw of the network with d units between its halves."""
        nngp, theta = self.kernels
        z = ops.cast(draw_points(nngp, dim, seed=2 * seed, jitter=1e-8), "float32")
        head = Head.draw(F, dim, UNITS, self.y.shape[1], seed=2 * seed + 1)
        problem = Hybrid(
            theta[: self.train], z[: self.train], head, self.y, self.loss, frozen=frozen
        )
        return Network(problem, theta, z)

    def baseline(self) -> Baseline:
        """The network without a bottleneck."""
        problem = KernelDescent(self.unlimited[: self.train], self.y, self.loss)
        return Baseline(problem, self.unlimited)

    def accuracy(self, outputs: np.ndarray, part: int) -> float:
        """Accuracy on a part's points, from the outputs of all points."""
        start = sum(len(y) for _, y in self.parts[:part])
        y = self.parts[part][1]
        mine = outputs[start : start + len(y)]
        if y.shape[1] == 1:
            return float(np.mean((mine > 0) == (y > 0)))
        return float(np.mean(mine.argmax(1) == y.argmax(1)))


@dataclass
class Network:
    """A simulator extended to points outside the training set."""

    problem: Hybrid
    theta: Tensor
    z: Tensor

    def outputs(self, state) -> np.ndarray:
        """F - F_0 of all points."""
        head = self.problem.head
        z = self.z + ops.matmul(self.theta, state.c)
        return ops.convert_to_numpy(head.at(z, state.change).value - head.at(self.z).value)


@dataclass
class Baseline:
    """Kernel descent extended to points outside the training set."""

    problem: KernelDescent
    theta: Tensor

    def outputs(self, state) -> np.ndarray:
        """F of all points, float [N, k], from a state of `KernelDescent`."""
        return ops.convert_to_numpy(ops.matmul(self.theta, state))


def teacher(sizes: Sequence[int], inputs: int, scale: float, seed: int) -> list[Part]:
    """y = scale sign(x.w_1 x.w_2): two directions of `inputs` matter."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(inputs, 2))
    parts = []
    for n in sizes:
        x = rng.normal(size=(n, inputs))
        parts.append((x, scale * np.sign(np.prod(x @ w, 1, keepdims=True))))
    return parts


def digits(train: int) -> list[Part]:
    """Rows and one-hot rows of `tfzoo_digits`: train, validation, test."""
    builder, parts = data.builder(data.DataConfig("tfzoo_digits")), []
    for split, count in (("train", train), ("validation", None), ("test", None)):
        batch = next(data.split(builder, split).batch(2000).as_numpy_iterator())
        parts.append(labelled(batch["image"][:count], batch["label"][:count], 4.9))
    return parts


def mnist(path: str | Path, sizes: Sequence[int]) -> list[Part]:
    """The first images of an .npz (x_train, y_train, x_test, y_test): train, validation, test.

    Raises:
        InputError: no such file, or a wrong format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            train, held, test = sizes
            ends = [("train", 0, train), ("train", train, train + held), ("test", 0, test)]
            return [
                labelled(file[f"x_{name}"][a:b], file[f"y_{name}"][a:b], 33.3)
                for name, a, b in ends
            ]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"--mnist={str(path)!r}: must be an .npz of images: {error}") from None


def labelled(images: np.ndarray, labels: np.ndarray, mean: float) -> Part:
    """Images minus the mean pixel, as rows with x.x = n; labels as one-hot rows."""
    x = images.reshape(len(images), -1).astype(np.float64) - mean
    return x / np.sqrt(np.mean(x**2, 1, keepdims=True)), np.eye(10)[labels]

"""Kernel regression on tens of thousands of rows, by preconditioned conjugate gradients."""

from __future__ import annotations

import hashlib
import tempfile
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from tfzoo.bottleneck.blockwise import DTYPES, WHICH, KernelOperator, kernel_matrix, kernel_times
from tfzoo.bottleneck.kernels import InfiniteMLP
from tfzoo.config import Count, Factor, Natural, NonNegative, OneOf, checked
from tfzoo.errors import InputError
from tfzoo.files import expanded, read_npz, write_npz
from tfzoo.typing import Tensor

DEFAULT = InfiniteMLP(3)
SAVE_SECONDS = 60.0
"""Time between two checkpoints of `fit`."""
STATE = ("coefficients", "residual", "direction", "product", "iteration")


class KernelRegression:
    """Regression with the kernel of an infinitely wide network, in bounded memory.

        mean(x) = K(x, X) (K(X, X) + s I)^-1 y
        variance(x) = K(x, x) - K(x, X) (K(X, X) + s I)^-1 K(X, x) + noise

    with s = noise + jitter x mean of K's diagonal: what `InfiniteNetwork` computes from a factor of
    the whole matrix, O(N^3) time and O(N^2) memory. Here the systems are solved by conjugate
    gradients (Hestenes and Stiefel, 1952), which need only products with K. They are preconditioned
    by a Nystrom approximation of K from `rank` random training points, in the form of Frangella,
    Tropp and Udell, "Randomized Nystrom Preconditioning" (arXiv:2110.02820, section 5).

    Args:
        kernel: an `InfiniteMLP`, a `Composition`, or an object with the same methods `nngp`, `ntk`
            and `diagonal`. Default: three hidden ReLU layers.
        which: `ntk` or `nngp`.
        noise: variance of the targets' noise.
        jitter: improves the condition of the kernel matrix; relative to its mean diagonal.
        rank: training points of the preconditioner; 0: none. It takes 4 N x rank bytes.
        tolerance: the solution's largest relative residual, |y - (K + s I) a| / |y|, per column.
        max_iterations: after so many iterations `fit` stops with a warning.
        memory: maximum bytes besides the data and the result. Blocks of the kernel matrix that fit
            are kept between iterations, and the others are recomputed: 2 N^2 bytes in float32 keep
            all of them.
        dtype: float32 or float64, of the kernel; the iteration is in float64.
        seed: draws the preconditioner's points.

    Attributes:
        x: training points [N, n], after `fit`.
        coefficients: (K + s I)^-1 y, float64 [N, k], after `fit`.
        iterations: iterations of `fit`.
        residual: largest relative residual after `fit`.

    Raises:
        InputError: an argument is out of range.
    """

    @checked
    def __init__(
        self,
        kernel: Any = DEFAULT,
        *,
        which: Annotated[str, OneOf(*WHICH)] = "ntk",
        noise: NonNegative = 0.0,
        jitter: NonNegative = 1e-6,
        rank: Natural = 1000,
        tolerance: Factor = 1e-4,
        max_iterations: Count = 1000,
        memory: Count = 2**30,
        dtype: Annotated[str, OneOf(*DTYPES)] = "float32",
        seed: Natural = 0,
    ):
        self.kernel, self.which = kernel, which
        self.noise, self.jitter = noise, jitter
        self.rank, self.tolerance, self.max_iterations = rank, tolerance, max_iterations
        self.memory, self.dtype, self.seed = memory, dtype, seed
        self.x: np.ndarray | None = None
        self._operator: KernelOperator | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_operator": None, "_preconditioner": None}

    def fit(self, x: Tensor, y: Tensor, checkpoint: str | Path | None = None) -> KernelRegression:
        """Solves for the coefficients.

        Args:
            x: [N, n].
            y: [N] or [N, k].
            checkpoint: an `.npz` in which the iteration is saved every minute, and from which the
                same call goes on after an interruption, with identical results.

        Returns:
            Itself.

        Raises:
            ValueError: wrong shapes, values that are not finite, or `memory` is too small.
            InputError: the checkpoint is none, is of other data or settings, or cannot be written.
        """
        self.x, self.coefficients = None, np.zeros((0, 0))
        x, y = np.asarray(x), np.asarray(y)
        if y.ndim not in (1, 2) or x.ndim != 2 or len(x) != len(y) or y.size == 0:
            raise ValueError(
                f"x of shape {x.shape}, y of shape {y.shape}: must be [N, n] and [N] or [N, k]"
            )
        targets = y.reshape(len(y), -1).astype(np.float64)
        if not np.isfinite(targets).all():
            raise ValueError("y: must be finite")
        self._prepare(x, targets.shape[1])
        path = None if checkpoint is None else _writable(Path(expanded(checkpoint)))
        mark = "" if path is None else self._fingerprint(x, targets)
        coefficients, self.iterations, self.residual = self._solve(targets, path, mark)
        self.x, self.coefficients, self._shape = x, coefficients, y.shape[1:]
        return self

    def predict(self, x: Tensor) -> np.ndarray:
        """The mean: [B, n] -> [B] or [B, k].

        Raises:
            ValueError: `fit` has not run, or x has a wrong shape or is not finite.
        """
        x, points = np.asarray(x), self._points()
        if x.ndim != 2 or x.shape[1] != points.shape[1]:
            raise ValueError(f"x of shape {x.shape}: must be [B, {points.shape[1]}]")
        mean = kernel_times(
            self.kernel,
            x,
            points,
            self.coefficients,
            self.which,
            memory=self.memory,
            dtype=self.dtype,
        )
        return mean.reshape(len(mean), *self._shape)

    def predictive(self, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation: [B, n] -> two of [B] or [B, k].

        A system with B right-hand sides is solved, whose vectors take 64 N x B bytes beyond
        `memory`.

        Raises:
            ValueError: `fit` has not run, or x has a wrong shape or is not finite.
        """
        mean, x = self.predict(x), np.asarray(x, self.dtype)
        cross = kernel_matrix(
            self.kernel, self._points(), x, self.which, memory=self.memory, dtype=self.dtype
        )
        cross = cross.astype(np.float64)
        if self._operator is None:  # unpickled
            self._prepare(self._points(), cross.shape[1])
        solution = self._solve(cross, None, "")[0]
        variance = np.maximum(self._diagonal(x) - np.sum(cross * solution, 0), 0.0) + self.noise
        stddev = np.sqrt(variance).reshape(-1, *[1] * len(self._shape))
        return mean, np.broadcast_to(stddev, mean.shape).astype(self.dtype)

    def _points(self) -> np.ndarray:
        if self.x is None:
            raise ValueError("KernelRegression: `fit` must have ended before it can predict")
        return self.x

    def _diagonal(self, x: np.ndarray) -> np.ndarray:
        nngp, ntk = self.kernel.diagonal(np.asarray(x, self.dtype))
        return np.asarray(nngp if self.which == "nngp" else ntk, np.float64)

    def _prepare(self, x: np.ndarray, columns: int) -> None:
        """The operator and its preconditioner, within `memory`."""
        rank = min(self.rank, len(x))
        vectors = 8 * 6 * len(x) * columns  # a, r, p, K p, z and a temporary
        rest = self.memory - vectors - _Preconditioner.bytes(len(x), rank)
        if rest <= 0:
            raise ValueError(
                f"memory={self.memory}: must be above {self.memory - rest} bytes for "
                f"{len(x)} rows, {columns} columns and rank={rank}"
            )
        self._operator = KernelOperator(self.kernel, x, self.which, memory=rest, dtype=self.dtype)
        self._shift = self.noise + self.jitter * float(self._diagonal(x).mean())
        points = np.random.default_rng(self.seed).choice(len(x), rank, replace=False)
        self._preconditioner = _Preconditioner(
            self.kernel, self.which, x, np.sort(points), self._shift, rest
        )

    def _solve(self, y: np.ndarray, path: Path | None, mark: str) -> tuple[np.ndarray, int, float]:
        """(K + s I)^-1 y for all columns at once: solution, iterations, largest residual."""
        norm = np.linalg.norm(y, axis=0)
        norm[norm == 0] = 1.0
        state = None if path is None else _read(path, mark)
        if state is None:
            a, r, iteration = np.zeros_like(y), y.copy(), 0
            p = self._preconditioner.apply(r)
            product = np.sum(r * p, 0)
        else:
            a, r, p, product, iteration = state
        saved = time.monotonic()
        assert self._operator is not None  # `_prepare` ran
        while True:
            residual = float((np.linalg.norm(r, axis=0) / norm).max())
            if residual <= self.tolerance or iteration >= self.max_iterations:
                break
            image = self._operator.times(p) + self._shift * p
            alpha = _ratio(product, np.sum(p * image, 0))
            a += alpha * p
            r -= alpha * image
            z = self._preconditioner.apply(r)
            before, product = product, np.sum(r * z, 0)
            p = z + _ratio(product, before) * p
            iteration += 1
            if path is not None and time.monotonic() - saved > SAVE_SECONDS:
                _write(path, mark, (a, r, p, product, iteration))
                saved = time.monotonic()
        if path is not None:
            _write(path, mark, (a, r, p, product, iteration))
        if residual > self.tolerance:
            warnings.warn(
                f"max_iterations={self.max_iterations}: the relative residual is {residual:.1e}, "
                f"above tolerance={self.tolerance:g}; raise max_iterations, rank, noise or jitter",
                RuntimeWarning,
                stacklevel=3,
            )
        return a, iteration, residual

    def _fingerprint(self, x: np.ndarray, y: np.ndarray) -> str:
        """A digest of the data and of every setting that the iterates depend on."""
        settings = (self.kernel, self.which, self.noise, self.jitter, self.rank, self.dtype)
        digest = hashlib.sha256(f"{settings!r} {self.seed} {x.shape} {x.dtype}".encode())
        for part in (x, y):
            for start in range(0, len(part), 1024):
                digest.update(np.ascontiguousarray(part[start : start + 1024]).tobytes())
        return digest.hexdigest()


class _Preconditioner:
    """P^-1 of arXiv:2110.02820, from columns of K at random points.

        P^-1 = (l_m + s) U (L + s I)^-1 U^T + (I - U U^T)

    with U L U^T the eigendecomposition of the Nystrom approximation K_Xm K_mm^-1 K_mX and l_m its
    least eigenvalue: with s far above l_m + 1, K + s I is well conditioned, and P is nearly I.
    """

    LEAST = 1e-10
    """Eigenvalues below this share of the greatest are rounding and are left out."""

    def __init__(
        self,
        kernel: Any,
        which: str,
        x: np.ndarray,
        points: np.ndarray,
        shift: float,
        memory: int,
    ):
        from scipy import linalg  # not at import, which it would slow down

        self._vectors = np.zeros((len(x), 0), np.float32)
        if not len(points):
            return
        chosen = x[points].astype(np.float64)
        own = kernel_matrix(kernel, chosen, None, which, memory=memory, dtype="float64")
        own[np.diag_indices_from(own)] += 1e-9 * np.trace(own) / len(own)
        factor = linalg.cholesky(own, lower=True, overwrite_a=True)
        rows = max(1, min(len(x), 2**26 // (8 * len(points))))
        parts = [slice(start, start + rows) for start in range(0, len(x), rows)]

        def whitened(part: slice) -> np.ndarray:
            """B = K_Xm L^-T of some rows: B B^T is the Nystrom approximation."""
            cross = kernel_matrix(
                kernel, chosen, x[part].astype(np.float64), which, memory=memory, dtype="float64"
            )
            return linalg.solve_triangular(factor, cross, lower=True, overwrite_b=True).T

        gram = np.zeros_like(own)
        for part in parts:
            block = whitened(part)
            gram += block.T @ block
        values, turn = linalg.eigh(gram, overwrite_a=True)
        real = values > self.LEAST * values[-1]
        values, turn = values[real], turn[:, real] / np.sqrt(values[real])
        self._vectors = np.empty((len(x), len(values)), np.float32)
        for part in parts:
            self._vectors[part] = whitened(part) @ turn
        self._weights = (values[0] + shift) / (values + shift) - 1.0

    @staticmethod
    def bytes(rows: int, rank: int) -> int:
        """Memory that it needs: the eigenvectors, and three matrices of its points."""
        return 4 * rows * rank + 3 * 8 * rank**2 + (2**27 if rank else 0)

    def apply(self, r: np.ndarray) -> np.ndarray:
        """The preconditioner's P^-1 r for residuals r [N, k]."""
        if not self._vectors.shape[1]:
            return r.copy()
        inner = (self._vectors.T @ r.astype(np.float32)).astype(np.float64)
        return r + self._vectors @ (self._weights[:, None] * inner).astype(np.float32)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below by column; 0 for a column that is already solved exactly."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _writable(path: Path) -> Path:
    """The path, after its folder is created; checked before an hour's work depends on it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise InputError(
            f"checkpoint={str(path)!r}: must be in a folder that can be written: {error}"
        ) from None
    return path


def _read(path: Path, mark: str) -> tuple | None:
    if not path.is_file():
        return None
    state = read_npz(path, "checkpoint")
    missing = [name for name in (*STATE, "fingerprint") if name not in state]
    if missing:
        raise InputError(f"checkpoint={str(path)!r}: must be one of `fit`: has no {missing[0]}")
    if str(state["fingerprint"]) != mark:
        raise InputError(
            f"checkpoint={str(path)!r}: must be of the same data and settings; delete it to start "
            "anew"
        )
    return (*(state[name] for name in STATE[:-1]), int(state["iteration"]))


def _write(path: Path, mark: str, state: tuple) -> None:
    arrays = {name: np.asarray(value) for name, value in zip(STATE, state, strict=True)}
    write_npz(path, arrays | {"fingerprint": np.asarray(mark)})

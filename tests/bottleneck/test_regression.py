"""Kernel regression by conjugate gradients equals the direct solution, also after a stop."""

import pickle

import numpy as np
import pytest

from tfzoo.bottleneck import InfiniteMLP, KernelOperator, KernelRegression, kernel_matrix
from tfzoo.bottleneck import regression as module
from tfzoo.errors import InputError

NET = InfiniteMLP(2, bias_scale=0.2)


def data(rows=150, columns=2, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 6))
    y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], 1)[:, :columns]
    return x, y + 0.1 * random.normal(size=y.shape)


def direct(which, noise, jitter, x, y, points):
    """Mean and standard deviation from the inverse, in float64."""
    k, cross = (kernel_matrix(NET, a, x, which, dtype="float64") for a in (x, points))
    prior = np.asarray(NET.diagonal(points)[("nngp", "ntk").index(which)])
    diagonal = np.asarray(NET.diagonal(x)[("nngp", "ntk").index(which)])
    np.fill_diagonal(k, diagonal)
    inverse = np.linalg.inv(k + (noise + jitter * diagonal.mean()) * np.eye(len(x)))
    variance = prior - np.einsum("bi,ij,bj->b", cross, inverse, cross) + noise
    return cross @ inverse @ y, np.sqrt(variance)


@pytest.mark.parametrize("which", ["ntk", "nngp"])
@pytest.mark.parametrize("rank", [0, 40, 150])
def test_the_direct_solution(which, rank):
    (x, y), (points, _) = data(), data(9, seed=1)
    settings = {"noise": 0.02, "jitter": 1e-3, "tolerance": 1e-9, "dtype": "float64"}
    model = KernelRegression(NET, which=which, rank=rank, **settings).fit(x, y)
    mean, stddev = model.predictive(points)
    wanted, spread = direct(which, 0.02, 1e-3, x, y, points)
    np.testing.assert_allclose(mean, wanted, atol=1e-6)
    np.testing.assert_allclose(stddev, spread[:, None] * np.ones(2), atol=1e-6)
    np.testing.assert_array_equal(model.predict(points), mean)
    assert model.residual <= 1e-9


def test_the_preconditioner_saves_iterations():
    x, y = data(400)
    plain, helped = (
        KernelRegression(NET, noise=1e-3, rank=rank, dtype="float64").fit(x, y).iterations
        for rank in (0, 200)
    )
    assert helped < 0.6 * plain


def test_targets_of_one_axis_and_a_column_of_zeros():
    x, y = data()
    single = KernelRegression(NET, noise=0.1).fit(x, y[:, 0])
    assert single.predict(x[:5]).shape == (5,) == single.predictive(x[:5])[1].shape
    with_zeros = np.stack([y[:, 0], np.zeros(len(y))], 1)
    both = KernelRegression(NET, noise=0.1).fit(x, with_zeros)
    np.testing.assert_allclose(both.predict(x[:5])[:, 0], single.predict(x[:5]), atol=1e-3)
    np.testing.assert_array_equal(both.predict(x[:5])[:, 1], np.zeros(5))


def test_a_stopped_fit_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    x, y = data()
    settings = {"noise": 1e-3, "rank": 20, "dtype": "float64", "tolerance": 1e-8}
    whole = KernelRegression(NET, **settings).fit(x, y)
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.0)
    times, calls = KernelOperator.times, []

    def stopped(self, v):
        calls.append(1)
        if len(calls) == whole.iterations // 2:
            raise KeyboardInterrupt
        return times(self, v)

    monkeypatch.setattr(KernelOperator, "times", stopped)
    path = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        KernelRegression(NET, **settings).fit(x, y, checkpoint=path)
    rest = KernelRegression(NET, **settings).fit(x, y, checkpoint=path)
    assert len(calls) == whole.iterations + 1 and rest.iterations == whole.iterations
    np.testing.assert_array_equal(rest.coefficients, whole.coefficients)
    with pytest.raises(InputError, match="must be of the same data and settings"):
        KernelRegression(NET, noise=1.0).fit(x, y, checkpoint=path)
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    with pytest.raises(InputError, match="has no coefficients"):
        KernelRegression(NET, noise=1.0).fit(x, y, checkpoint=tmp_path / "other.npz")


def test_kept_blocks_give_the_same_products(monkeypatch):
    from tfzoo.bottleneck import blockwise

    monkeypatch.setattr(blockwise, "LARGEST_BLOCK", 32)
    x, _ = data(100)
    v = np.random.default_rng(3).normal(size=(100, 3))
    whole = kernel_matrix(NET, x, dtype="float64") @ v
    working = blockwise.block_bytes(32, 6, 8, KernelOperator.COLUMNS)
    asked = []
    compiled = blockwise._compiled

    class Counted:
        def __init__(self, kernel, which):
            self._of = compiled(kernel, which)

        def block(self, *points):
            asked.append(1)
            return self._of.block(*points)

        def own(self, *points):
            asked.append(1)
            return self._of.own(*points)

    monkeypatch.setattr(blockwise, "_compiled", Counted)
    for kept, computed in ((0, 20), (4, 16), (10**6, 10)):  # 10 blocks, twice
        asked.clear()
        operator = KernelOperator(NET, x, memory=working + kept * 32 * 32 * 8, dtype="float64")
        for _ in range(2):
            np.testing.assert_allclose(operator.times(v), whole, atol=1e-10)
        np.testing.assert_allclose(operator.times(v[:, 0]), whole[:, 0], atol=1e-10)
        assert len(asked) == computed + computed - 10


def test_pickled():
    x, y = data(40)
    model = KernelRegression(NET, noise=0.1).fit(x, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    np.testing.assert_array_equal(again.predictive(x)[1], model.predictive(x)[1])


def test_what_cannot_be():
    x, y = data(30)
    for name, value in (("noise", -1.0), ("rank", -1), ("which", "rbf"), ("tolerance", 0.0)):
        with pytest.raises(InputError, match=f"{name}="):
            KernelRegression(NET, **{name: value})
    with pytest.raises(ValueError, match="`fit` must have ended"):
        KernelRegression(NET).predict(x)
    with pytest.raises(ValueError, match=r"x of shape \(30, 6\), y of shape \(29, 2\): must be"):
        KernelRegression(NET).fit(x, y[1:])
    with pytest.raises(ValueError, match="y: must be finite"):
        KernelRegression(NET).fit(x, np.full(30, np.nan))
    with pytest.raises(ValueError, match="x: row 0 is not finite"):
        KernelRegression(NET).fit(np.full((30, 6), np.nan), y)
    with pytest.raises(InputError, match="checkpoint=.*: must be in a folder that can be written"):
        KernelRegression(NET).fit(x, y, checkpoint="/proc/none/state.npz")
    with pytest.raises(ValueError, match=r"x of shape \(30, 2\): must be \[B, 6\]"):
        KernelRegression(NET, noise=0.1).fit(x, y).predict(x[:, :2])
    with pytest.raises(ValueError, match="memory=1000: must be above .* for 30 rows, 2 columns"):
        KernelRegression(NET, memory=1000).fit(x, y)
    with pytest.warns(RuntimeWarning, match="max_iterations=2: the relative residual is"):
        assert KernelRegression(NET, rank=0, max_iterations=2).fit(x, y).iterations == 2

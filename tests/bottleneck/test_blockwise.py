"""Kernel matrices and products block by block: equal to the whole, within the memory bound."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.bottleneck import blockwise
from tfzoo.bottleneck.blockwise import block_bytes, kernel_matrix, kernel_times
from tfzoo.bottleneck.kernels import Composition, InfiniteMLP

NET = InfiniteMLP(2, bias_scale=0.3)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


class Counting:
    """A kernel that records the shapes with which it is traced and called. Unhashable."""

    __hash__ = None

    def __init__(self):
        self.traced, self.asked = [], []

    def ntk(self, x1, x2=None):
        self.traced.append((x1.shape, None if x2 is None else x2.shape))
        sizes = [tf.shape(x1), tf.shape(x1 if x2 is None else x2)]
        tf.py_function(lambda a, b: self.asked.append((*a.numpy(), *b.numpy())), sizes, [])
        return NET.ntk(x1, x2)

    nngp = ntk


@pytest.fixture
def _plain(monkeypatch):
    """Blocks without XLA, under which the counting kernel could not call back."""
    monkeypatch.setattr(
        blockwise, "_compile", lambda f: tf.function(f, reduce_retracing=True, autograph=False)
    )


@pytest.mark.parametrize("which", ["nngp", "ntk"])
@pytest.mark.parametrize(("n1", "n2"), [(1, 1), (13, 7), (37, 64), (65, None), (48, None)])
def test_blocks_are_the_whole(n1, n2, which):
    x1, x2 = normal(n1, 5), None if n2 is None else normal(n2, 5, seed=1)
    whole = getattr(NET, which)(x1, x2).numpy()
    v = normal(n2 or n1, 2, seed=2)
    sides = {1: (1024,), 13: (1, 5), 37: (16,), 48: (16, 33), 65: (1024,)}[n1]
    for memory in [block_bytes(side, 5, 8, 2) for side in sides]:
        bound = {"memory": memory, "dtype": "float64"}
        blocks = kernel_matrix(NET, x1, x2, which, **bound)
        np.testing.assert_allclose(blocks, whole, atol=1e-12)
        times = kernel_times(NET, x1, x2, v, which, **bound)
        np.testing.assert_allclose(times, whole @ v, atol=1e-11)
        single = kernel_times(NET, x1, x2, v[:, 0], which, **bound)
        np.testing.assert_allclose(single, whole @ v[:, 0], atol=1e-11)
        assert blocks.dtype == times.dtype == np.float64 and single.shape == (n1,)
    blocks = kernel_matrix(NET, x1.astype("float32"), x2, which)
    assert blocks.dtype == np.float32
    np.testing.assert_allclose(blocks, whole, atol=1e-5 * np.abs(whole).max())


def test_own_matrix_is_symmetric_and_exact_on_the_diagonal():
    x = normal(70, 5)
    x[40] = x[3]
    matrix = kernel_matrix(NET, x, memory=block_bytes(32, 5, 4))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    np.testing.assert_array_equal(matrix[:32, 32:], matrix[32:, :32].T)
    np.testing.assert_allclose(np.diag(matrix), NET.diagonal(x)[1], rtol=1e-6)


@pytest.mark.usefixtures("_plain")
@pytest.mark.parametrize("second", [None, 45])
def test_no_block_is_greater_than_memory_allows(second):
    x1, x2 = normal(50, 6), None if second is None else normal(second, 6)
    for side in (7, 33):
        memory = block_bytes(side, 6, 4)
        kernel = Counting()
        kernel_matrix(kernel, x1, x2, memory=memory)
        assert len(kernel.traced) <= 2  # off-diagonal and diagonal
        assert {(a, b) for a, _, b, _ in kernel.asked} == {
            (a, b) for a, _, b, _ in kernel.asked if block_bytes(max(a, b), 6, 4) <= memory
        }
        rows, columns = (-(-n // kernel.asked[0][0]) for n in (50, second or 50))
        count = rows * columns if second else rows * (rows + 1) // 2
        assert len(kernel.asked) == count
        kernel = Counting()
        kernel_times(kernel, x1, x2, np.ones((second or 50, 3)), memory=memory + 12 * 4 * side)
        assert max(a for a, *_ in kernel.asked) <= side


def test_result_goes_to_a_memory_map(tmp_path):
    x1, x2 = normal(33, 4), normal(21, 4, seed=1)
    out = np.memmap(tmp_path / "k", "float32", "w+", shape=(33, 21))
    given = np.memmap(tmp_path / "x", "float64", "w+", shape=x1.shape)
    given[:] = x1
    result = kernel_matrix(NET, given, x2, out=out, memory=block_bytes(16, 4, 4))
    assert result is out
    out.flush()
    again = np.memmap(tmp_path / "k", "float32", "r", shape=(33, 21))
    np.testing.assert_allclose(again, NET.ntk(x1, x2), atol=1e-5)


def test_other_kernels_and_tensors():
    x = normal(9, 4)
    both = Composition(InfiniteMLP(1), InfiniteMLP(2))
    np.testing.assert_allclose(kernel_matrix(both, tf.constant(x)), both.ntk(x), atol=1e-5)
    np.testing.assert_allclose(kernel_matrix(both, x.tolist()), both.ntk(x), atol=1e-5)
    whole = np.arange(12).reshape(4, 3)
    np.testing.assert_allclose(kernel_matrix(NET, whole), NET.ntk(whole), rtol=1e-5)


def test_a_kernel_is_compiled_once():
    x = normal(40, 4)
    blockwise._remembered.cache_clear()
    for _ in range(3):
        kernel_matrix(InfiniteMLP(1), x, memory=block_bytes(16, 4, 4))
        kernel_matrix(InfiniteMLP(1), x[:38], memory=block_bytes(16, 4, 4))
    assert blockwise._remembered.cache_info().misses == 1
    compiled = blockwise._compiled(InfiniteMLP(1), "ntk")
    assert compiled.block.experimental_get_tracing_count() == 1
    assert compiled.own.experimental_get_tracing_count() == 1


def times(*arguments, **keywords):
    return kernel_times(NET, *arguments, **keywords)


def matrix(*arguments, **keywords):
    return kernel_matrix(NET, *arguments, **keywords)


BAD = normal(5, 4)
BAD[3, 1] = np.nan


@pytest.mark.parametrize(
    ("match", "call"),
    [
        (r"x1 of shape \(4,\)", lambda: matrix(np.ones(4))),
        (r"x1 of shape \(0, 4\)", lambda: matrix(np.ones((0, 4)))),
        ("x2 of 3 features.*4", lambda: matrix(np.ones((2, 4)), np.ones((2, 3)))),
        ("x1: row 3 is not finite", lambda: matrix(BAD)),
        ("x2: row 3 is not finite", lambda: times(np.ones((2, 4)), BAD, np.ones(5))),
        ("x1 of dtype", lambda: matrix(np.array([["a"]]))),
        ("memory=0", lambda: matrix(np.ones((2, 4)), memory=0)),
        ("memory=50.*at least 112", lambda: matrix(np.ones((2, 4)), memory=50)),
        ("dtype='float16'", lambda: matrix(np.ones((2, 4)), dtype="float16")),
        ("which='both'", lambda: matrix(np.ones((2, 4)), which="both")),
        (r"out of shape \(2, 3\)", lambda: matrix(np.ones((2, 4)), out=np.ones((2, 3)))),
        (r"v of shape \(3,\).*\[2\]", lambda: times(np.ones((2, 4)), None, np.ones(3))),
        (r"v of shape \(\)", lambda: times(np.ones((2, 4)), None, 1.0)),
        ("v: row 1 is not finite", lambda: times(np.ones((2, 4)), None, [0.0, np.inf])),
    ],
)
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()

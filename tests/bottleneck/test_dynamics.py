"""Compares the simulators with each other and with automatic differentiation, and checks their
laws."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.bottleneck.dynamics import (
    CROSS_ENTROPY,
    Change,
    FiniteNetwork,
    FunctionSpace,
    Head,
    Hybrid,
    KernelDescent,
    closed_form,
    descend,
    draw_layers,
    draw_points,
    forward,
    largest,
)
from tfzoo.bottleneck.kernels import Composition, InfiniteMLP

ERF = InfiniteMLP(1, "erf", bias_scale=0.1), InfiniteMLP(1, "erf", bias_scale=0.2)
RELU = InfiniteMLP(2), InfiniteMLP(1)


def data(n=8, inputs=6, outputs=2, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, inputs)), scale * rng.normal(size=(n, outputs))
    return tf.constant(x), tf.constant(y)


def normal(*shape):
    return tf.random.stateless_normal(shape, [0, 1], dtype=tf.float64)


def hybrid(halves, x, y, dim=3, units=256, seed=0, **options):
    g, f = halves
    nngp, theta = g.covariances(x)
    head = Head.draw(f, dim, units, y.shape[1], seed=seed + 1, dtype="float64")
    return Hybrid(theta, draw_points(nngp, dim, seed=seed), head, y, **options)


def moved(problem, steps=20, **options):
    """A state in the middle of training."""
    return descend(problem, steps, **options).state


@pytest.mark.parametrize("halves", [ERF, RELU], ids=["erf", "relu"])
def test_pull_is_pushs_transpose_and_the_jacobian(halves):
    x, y = data()
    problem = hybrid(halves, x, y)
    state = moved(problem)
    point = problem.at(state)
    w, dz = (normal(8, n) for n in (2, 3))
    back, change = point.pull(w)
    pushed = point.push(dz, change)
    other = sum(tf.reduce_sum(a * a) for a in change)
    whole = tf.reduce_sum(back * dz) + other
    np.testing.assert_allclose(tf.reduce_sum(pushed * w), whole, rtol=1e-10)
    jacobian = point.jacobian()
    np.testing.assert_allclose(tf.einsum("iad,ia->id", jacobian, w), back, rtol=1e-10)


def test_jacobian_against_finite_differences():
    x, y = data()
    problem = hybrid(ERF, x, y)
    state = moved(problem)
    z, jacobian = problem.features(state), problem.at(state).jacobian()
    for a in range(3):
        step = 1e-5 * np.eye(3)[a]
        up, down = (problem.head.at(z + s, state.change).value for s in (step, -step))
        np.testing.assert_allclose(jacobian[..., a], (up - down) / 2e-5, rtol=1e-6, atol=1e-8)


def test_loss_falls_as_theta_f_predicts():
    """dF = -eta Theta_F chi up to O(eta^2)."""
    x, y = data()
    problem = hybrid(ERF, x, y)
    state = moved(problem)
    errors = []
    for rate in (1e-2, 1e-3):
        after, outputs = problem.step(state, tf.constant(rate, tf.float64))
        chi = problem.loss.gradient(outputs, problem.y)
        expected = -rate * problem.kernel_at(state)(chi)
        errors.append(np.abs(problem.outputs(after) - outputs - expected).max())
    assert 50 < errors[0] / errors[1] < 200


def test_theta_f_is_symmetric_and_positive():
    x, y = data(5)
    for halves in (ERF, RELU):
        problem = hybrid(halves, x, y)
        for state in (problem.start(), moved(problem)):
            kernel = tf.reshape(problem.kernel(state), (10, 10)).numpy()
            np.testing.assert_allclose(kernel, kernel.T, rtol=1e-10, atol=1e-12)
            assert np.linalg.eigvalsh(kernel).min() > -1e-10
            top = np.linalg.eigvalsh(kernel).max() / 5
            assert largest(problem, state, 50) == pytest.approx(top, rel=1e-3)


@pytest.mark.parametrize("halves", [ERF, RELU], ids=["erf", "relu"])
def test_theta_f_is_near_the_empirical_ntk_of_a_finite_net(halves):
    """Theta_f(z, z') I + Theta_g J J^T with that net's own z, J; all gradients by autodiff."""
    g, f = halves
    x, _ = data(4)
    layers = draw_layers(g, 6, 1024, 3, seed=0), draw_layers(f, 3, 4096, 2, seed=1)
    weights = [tf.Variable(w) for w in (*layers[0], *layers[1])]
    cut = len(layers[0])
    with tf.GradientTape(persistent=True) as tape:
        z = forward(g, weights[:cut], x)
        out = forward(f, weights[cut:], z)
        parts = [out[i, a] for i in range(4) for a in range(2)]
    rows = [tf.concat([tf.reshape(d, [-1]) for d in tape.gradient(p, weights)], 0) for p in parts]
    rows = tf.stack(rows)
    empirical = tf.matmul(rows, rows, transpose_b=True).numpy()
    finite = FiniteNetwork(g, f, layers, x, tf.zeros((4, 2), tf.float64))
    third = tf.reshape(tf.one_hot(3, 8, dtype=tf.float64), (4, 2))
    column = tf.reshape(finite.kernel_at(layers)(third), [-1])
    np.testing.assert_allclose(column, empirical[3], rtol=1e-8)
    head = Head(f, layers[1][0], tf.transpose(layers[1][1]))
    jacobian = head.at(z).jacobian()
    theta = tf.einsum("ij,iad,jbd->iajb", g.ntk(x), jacobian, jacobian)
    theta += tf.einsum("ij,ab->iajb", f.ntk(z), tf.eye(2, dtype=tf.float64))
    theta = tf.reshape(theta, (8, 8)).numpy()
    assert np.linalg.norm(theta - empirical) < 0.1 * np.linalg.norm(empirical)


def test_finite_networks_approach_the_hybrid():
    """As n^(-1/2), each with the hybrid that starts from its own z, U and v (erf)."""
    x, y = data(8, outputs=1, scale=2.0)
    g, f = InfiniteMLP(1, "erf"), InfiniteMLP(1, "erf")
    gaps = []
    for width in (128, 2048):
        distances = []
        for seed in range(3):
            layers = draw_layers(g, 6, width, 3, seed=seed), draw_layers(f, 3, width, 1, seed=9)
            finite = FiniteNetwork(g, f, layers, x, y)
            head = Head(f, layers[1][0], tf.transpose(layers[1][1]))
            limit = Hybrid(g.ntk(x), finite.features(layers), head, y)
            a, b = (
                descend(p, 60, learning_rate=0.2, limit=None, look_every=60)
                for p in (finite, limit)
            )
            apart = finite.features(a.state) - limit.features(b.state)
            way = limit.features(b.state) - limit.z
            distances.append(float(tf.norm(apart) / tf.norm(way)))
        gaps.append(np.mean(distances))
    assert gaps[1] < 0.15 and 2.0 < gaps[0] / gaps[1] < 8.0, gaps  # 4 is n^(-1/2)


@pytest.mark.parametrize(("halves", "scale"), [(ERF, 2.0), (RELU, 3.0)], ids=["erf", "relu"])
def test_hybrid_follows_function_space(halves, scale):
    """S2 compared with S3. Without the moving kinks' contribution to J, the ReLU case is off by
    half."""
    x, y = data(8, outputs=1, scale=scale)
    problem = hybrid(halves, x, y, units=20_000)
    exact = FunctionSpace(problem.theta, problem.z, problem.head, y)
    a = descend(problem, 40, learning_rate=0.1, limit=None)
    b = descend(exact, 40, learning_rate=0.1, limit=None)
    np.testing.assert_allclose(a.losses, b.losses, rtol=0.05, atol=0.01 * a.losses[0])
    way = np.abs(b.state.z - problem.z).max()
    assert np.abs(problem.features(a.state) - b.state.z).max() < 0.05 * way
    w = tf.constant(np.ones((8, 1)))
    with_own = problem.kernel_at(a.state)(w)
    np.testing.assert_allclose(with_own, exact.kernel_at(b.state)(w), rtol=0.1)


def test_wide_bottlenecks_give_the_baseline():
    x, y = data(8, outputs=1)
    g, f = RELU
    baseline = KernelDescent(Composition(f, g).ntk(x), y)
    rate = 0.3 / largest(baseline, baseline.start())
    expected = descend(baseline, 30, learning_rate=rate).losses
    errors = []
    for dim in (8, 512):
        losses = [
            descend(hybrid(RELU, x, y, dim, 1024, s), 30, learning_rate=rate).losses
            for s in range(2)
        ]
        errors.append(np.abs(np.mean(losses, 0) - expected).max() / expected[0])
    assert errors[1] < 0.08 and errors[1] < errors[0], errors


def test_composition_adds_the_linear_layer_between():
    """Theta = Sigma_f[K_g] + kappa_0 (K_g + Theta_g), against a deep net's recursion by hand."""
    x, _ = data(5)
    g, f = RELU
    nngp, theta = (k.numpy() for k in g.covariances(x))
    length = np.sqrt(np.diag(nngp))
    c = np.clip(nngp / np.outer(length, length), -1, 1)
    angle = np.arccos(c)
    kappa_0 = 1 - angle / np.pi
    kappa_1 = (np.sin(angle) + (np.pi - angle) * c) / np.pi
    composed = Composition(f, g)
    expected = np.outer(length, length) * kappa_1 + kappa_0 * (nngp + theta)
    np.testing.assert_allclose(composed.ntk(x), expected, rtol=1e-6)
    np.testing.assert_allclose(composed.diagonal(x)[1], np.diag(expected), rtol=1e-6)
    np.testing.assert_allclose(composed.ntk(x[:2], x), expected[:2], rtol=1e-6)


def test_frozen_points_make_kernel_regression():
    x, y = data(8, outputs=1)
    problem = hybrid(ERF, x, y, units=4096, frozen=True)
    ended = descend(problem, 50, learning_rate=0.5)
    np.testing.assert_array_equal(problem.features(ended.state), problem.z)
    fixed = descend(KernelDescent(problem.head.mlp.ntk(problem.z), y), 50, learning_rate=0.5)
    np.testing.assert_allclose(ended.losses, fixed.losses, rtol=0.1)
    free = descend(hybrid(ERF, x, y, units=4096), 50, learning_rate=0.5)
    assert free.losses[-1] < ended.losses[-1]


@pytest.mark.parametrize("halves", [ERF, RELU], ids=["erf", "relu"])
def test_rotating_the_bottleneck_changes_nothing(halves):
    x, y = data()
    problem = hybrid(halves, x, y)
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    u = problem.head.u.numpy()
    u[:, :3] = u[:, :3] @ turn.T
    head = Head(problem.head.mlp, tf.constant(u), problem.head.v)
    turned = Hybrid(problem.theta, problem.z @ turn.T, head, y)
    a, b = (descend(p, 30, learning_rate=0.2) for p in (problem, turned))
    np.testing.assert_allclose(a.losses, b.losses, rtol=1e-8)
    np.testing.assert_allclose(
        problem.features(a.state) @ turn.T, turned.features(b.state), rtol=1e-7, atol=1e-9
    )


def test_draws_are_independent_runs():
    x, y = data()
    problems = [hybrid(RELU, x, y, seed=s) for s in (0, 5)]
    head = Head(
        RELU[1], *(tf.stack([getattr(p.head, name) for p in problems]) for name in ("u", "v"))
    )
    both = Hybrid(problems[0].theta, tf.stack([p.z for p in problems]), head, y)
    together = descend(both, 20, learning_rate=0.1).losses
    alone = [descend(p, 20, learning_rate=0.1).losses for p in problems]
    np.testing.assert_allclose(together, np.stack(alone, 1), rtol=1e-9)


def test_cross_entropy_falls_and_its_gradient_is_right():
    x, _ = data(9, outputs=3)
    y = tf.constant(np.eye(3)[np.arange(9) % 3])
    f = normal(9, 3)
    with tf.GradientTape() as tape:
        tape.watch(f)
        value = CROSS_ENTROPY.value(f, y)
    np.testing.assert_allclose(CROSS_ENTROPY.gradient(f, y), tape.gradient(value, f), rtol=1e-8)
    ended = descend(hybrid(RELU, x, y, units=1024, loss=CROSS_ENTROPY), 300, rate=0.2)
    assert ended.losses[0] == pytest.approx(np.log(3)) and ended.losses[-1] < 0.2
    fixed = descend(KernelDescent(RELU[0].ntk(x), y, CROSS_ENTROPY), 300, rate=0.2)
    assert fixed.losses[-1] < 0.5


def test_uncentred_outputs_start_at_the_draw():
    x, y = data()
    problem = hybrid(RELU, x, y, centred=False)
    start = problem.outputs(problem.start())
    assert np.abs(start).max() > 0.1
    np.testing.assert_allclose(start, problem.head.at(problem.z).value)
    assert descend(problem, 200, rate=0.3).losses[-1] < 0.1


def test_euler_steps_approach_the_closed_form():
    x, y = data()
    theta = RELU[0].ntk(x)
    gaps = []
    for steps in (20, 200):
        problem = KernelDescent(theta, y)
        outputs = problem.outputs(descend(problem, steps, learning_rate=4.0 / steps).state)
        gaps.append(np.abs(outputs - closed_form(theta, y, 4.0)).max())
    assert gaps[1] < 0.12 * gaps[0]
    np.testing.assert_allclose(closed_form(theta, y, 1e6), y, rtol=1e-4)


def test_learning_rate_is_lowered_as_the_kernel_grows_and_recorded():
    x, y = data(12, outputs=1, scale=20.0)
    problem = hybrid(ERF, x, y, dim=4, units=1024)
    ended = descend(problem, 300, rate=0.5, limit=0.8)
    assert ended.rates[0] == pytest.approx(0.5 / largest(problem, problem.start()), rel=1e-3)
    assert ended.rates[-1] < ended.rates[0] and max(ended.sharpness.values()) > 0.8
    assert ended.losses[-1] < 1e-2 * ended.losses[0]
    assert np.all(np.diff(ended.rates) <= 0)


def test_divergence_is_an_error():
    x, y = data(8, outputs=1, scale=5.0)
    with pytest.raises(FloatingPointError, match="NaN or infinite after step"):
        descend(hybrid(RELU, x, y), 2000, learning_rate=50.0, limit=None)


def test_stopping_noting_and_going_on():
    x, y = data()
    problem = hybrid(ERF, x, y)
    whole = descend(problem, 60, learning_rate=0.2, note=lambda s, _: s, note_every=20)
    assert list(whole.noted) == [0, 20, 40, 60] and len(whole.losses) == 61
    first = descend(problem, 30, learning_rate=0.2)
    second = descend(problem, 30, learning_rate=0.2, state=first.state)
    np.testing.assert_array_equal(second.losses[-1], whole.losses[-1])
    level = whole.losses[25]
    assert whole.steps_to(level) == 25 and whole.steps_to(0.0) is None
    early = descend(problem, 60, learning_rate=0.2, until=level)
    assert early.steps == 26


def test_duplicates_zero_vectors_and_one_sample():
    x, y = data(6)
    x = tf.concat([x[:4], x[:1], tf.zeros_like(x[:1])], 0)
    for halves in (RELU, (InfiniteMLP(1, "erf"), InfiniteMLP(1, "erf"))):
        nngp = halves[0].nngp(x)
        with pytest.raises(ValueError, match="jitter=0.0.*duplicate"):
            draw_points(nngp, 3, seed=0, jitter=0.0)
        problem = hybrid(halves, x, y)
        np.testing.assert_allclose(problem.z[0], problem.z[4], atol=1e-4)
        assert np.isfinite(descend(problem, 50).losses).all()
    assert descend(hybrid(RELU, x[:1], y[:1]), 100, rate=0.5).losses[-1] < 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"steps": 1, "rate": 0.0}, "rate=0.0"),
        ({"steps": 1, "learning_rate": float("nan")}, "learning_rate=nan"),
        ({"steps": 1, "look_every": 0}, "look_every=0"),
    ],
)
def test_numbers_out_of_range(options, words):
    x, y = data(3)
    with pytest.raises(ValueError, match=words):
        descend(hybrid(RELU, x, y), **options)


def test_f_has_one_hidden_layer():
    with pytest.raises(ValueError, match="depth 2: must be 1"):
        Head(InfiniteMLP(2), tf.zeros((4, 2)), tf.zeros((4, 1)))
    head = Head.draw(InfiniteMLP(1), 2, 4, 1, seed=0, draws=(3,))
    assert head.u.shape == (3, 4, 2) and head.v.shape == (3, 4, 1)
    assert isinstance(head.unmoved(), Change)

"""Writes fixtures/kernels.npz: kernels of neural_tangents, float64, for tests of `InfiniteMLP`.

Run once, in a separate environment (neural_tangents does not import with newer versions of JAX):

    python3.11 -m venv nt
    nt/bin/pip install jax==0.4.35 jaxlib==0.4.35 neural-tangents==0.6.5
    nt/bin/python tests/bottleneck/make_fixtures.py

Every network is an entry of `nets`, JSON with the arguments of `InfiniteMLP`. `<name>/nngp` and
`<name>/ntk` are its kernels of x1 [5, 7] and x2 [4, 7]; with the suffix `_own`, of x1 with itself.
An entry with `of` is a network on top of another, with infinitely many units in between.
"""

import json
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402
from neural_tangents import stax  # noqa: E402

PHI = {"relu": stax.Relu, "erf": stax.Erf}
SCALED = {"weight_scale": 1.2, "bias_scale": 0.4, "readout_scale": 0.7, "input_scale": 1.6}


def nets():
    """name -> arguments of `InfiniteMLP`; `of` names the network below."""
    settings = {}
    for activation in PHI:
        for depth in (1, 2, 3, 5):
            settings[f"{activation}{depth}"] = {"depth": depth, "activation": activation}
            settings[f"{activation}{depth}-scaled"] = {**settings[f"{activation}{depth}"], **SCALED}
    settings["linear0"] = {"depth": 0, "input_scale": 1.1, "bias_scale": 0.3}
    settings["relu1-of-relu2"] = {"depth": 1, "of": "relu2"}
    settings["erf1-of-relu2"] = {"depth": 1, "activation": "erf", "of": "relu2"}
    settings["relu2-of-erf3-scaled"] = {"depth": 2, **SCALED, "of": "erf3-scaled"}
    return settings


def layers(depth, activation="relu", weight_scale=None, bias_scale=0.0, readout_scale=None,
           input_scale=1.0, of=None):  # fmt: skip
    """The stax layers of one network, bottom first."""
    below = layers(**nets()[of]) if of else []
    weight = weight_scale or (2**0.5 if activation == "relu" else 1.0)
    scales = [input_scale, *[weight] * (depth - 1), readout_scale or weight][: depth + 1]
    for i, scale in enumerate(scales):
        below += [PHI[activation]()] if i else []
        below += [stax.Dense(1, W_std=scale, b_std=bias_scale or None)]
    return below


def main():
    """Computes and writes the fixtures."""
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(5, 7)), rng.normal(size=(4, 7))
    x2[0] = x1[1] * 2 + 0.01 * x2[0]  # nearly parallel
    x2[1] = -x1[2] + 0.01 * x2[1]  # nearly antipodal
    arrays = {"x1": x1, "x2": x2, "nets": np.array(json.dumps(nets()))}
    for name, arguments in nets().items():
        kernel = stax.serial(*layers(**arguments))[2]
        for suffix, second in (("", x2), ("_own", None)):
            both = kernel(x1, second, ("nngp", "ntk"))
            arrays[f"{name}/nngp{suffix}"] = np.asarray(both.nngp)
            arrays[f"{name}/ntk{suffix}"] = np.asarray(both.ntk)
    assert all(a.dtype == np.float64 for name, a in arrays.items() if name != "nets")
    path = Path(__file__).parent / "fixtures" / "kernels.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

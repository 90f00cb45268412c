"""Runs one step of `fit` with every layer and model on KERAS_BACKEND's backend; prints JSON."""

import json

import keras
import numpy as np

from samples import CASES, LAYERS, as_model, inputs_of, is_a


def step(name):
    """The outcome: `trained`, or the error."""
    inputs = inputs_of(name)
    x = inputs[0] if len(inputs) == 1 else list(inputs)
    try:
        if "fit" in CASES[name]:
            case, model = CASES[name]["fit"](), CASES[name]["make"]()
            x, y = case.get("x", x), case.get("y")
        else:  # as part of a model
            whole = as_model(name)
            model = keras.Sequential([whole]) if is_a(name, keras.Model) else whole
            case = {"compile": {"optimizer": "adam", "loss": "mse"}}
            y = keras.tree.map_structure(lambda o: np.zeros(o.shape, "float32"), model(x))
        model.compile(**case.get("compile", {}))
        history = model.fit(x, y, verbose=0).history
        assert all(np.isfinite(values).all() for values in history.values()), history
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "trained"


print(json.dumps({name: step(name) for name in LAYERS}))

"""Copies of models by their configs."""

from __future__ import annotations

from typing import Any

import keras


def copied(model: keras.Model) -> keras.Model:
    """The model in float32, from its config.

    Raises:
        ValueError: the model cannot be rebuilt from its config.
    """
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float32")
        copy = type(model).from_config(_in_float32(model.get_config()))
        if not copy.built:
            copy.build(model.input_shape)
    except (NotImplementedError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"model {model.name!r}: cannot be copied from its config, use copy=False: {error}"
        ) from None
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(model.get_weights())
    return copy


def _in_float32(config: Any) -> Any:
    """The config with all dtype policies set to float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return config | {"config": {"name": "float32"}}
        return {key: _in_float32(value) for key, value in config.items()}
    if isinstance(config, list):
        return [_in_float32(value) for value in config]
    return config

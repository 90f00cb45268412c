"""A Keras model with adapters: only the adapters are trained, the model itself is unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike
from typing_extensions import override

from tfzoo.errors import InputError
from tfzoo.metricopt import folding, hooks
from tfzoo.metricopt.adapters import make_adapter
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel


def attach_adapters(
    model: keras.Model,
    layers: hooks.Layers = None,
    kind: str = "film",
    rank: int = 8,
    seed: int = 0,
    example: Any = None,
) -> AdaptedModel:
    """`model` with adapters at some of its layers, initially with the same outputs.

    Args:
        model: any built Keras model; neither its code nor its weights change.
        layers: names, paths (`"block/dense"`), patterns (`"conv*"`, which match only dense,
            convolution and normalisation layers), or positions among all layers; default: the last
            dense or convolution layer. Keep the number of parameters small (20 to 200).
        kind: `film` (scale and shift per channel), `scale`, `shift`, or `low_rank` (scale and
            shift in a random subspace).
        rank: rank of `low_rank`, parameters per layer.
        seed: seed of `low_rank`'s subspaces.
        example: a batch of inputs, needed once for a model that is neither functional nor
            sequential.

    Raises:
        InputError: no such layer or kind, or `example` is missing.
    """
    adapted = AdaptedModel(model, layers, kind, rank, seed)
    if not adapted.built:
        if example is None:
            raise InputError(
                f"example=None: must be a batch of inputs, {type(model).__name__} {model.name!r} "
                "does not know its inputs"
            )
        adapted(example)
    return adapted


@serializable("metricopt")
class AdaptedModel(ZooModel):
    """`base` with adapters; can be compiled, fitted and saved like any Keras model.

    Only the adapters' weights are trainable. The base runs in inference mode (batch
    normalisation by its running statistics, no dropout), so that outputs, and the metric, depend on
    the adapters only.

    Args:
        base: the model.
        layers: see `attach_adapters`, also for the next three.
        kind: see `attach_adapters`.
        rank: see `attach_adapters`.
        seed: see `attach_adapters`.
        **keywords: arguments of `keras.Model`; `dtype` is that of `base` by default.

    Attributes:
        base: the model without adapters.
        layer_paths: paths of the adapted layers.
        adapters: the adapters, in the same order.

    Raises:
        InputError: no such layer or kind.
    """

    def __init__(
        self,
        base: keras.Model,
        layers: hooks.Layers = None,
        kind: str = "film",
        rank: int = 8,
        seed: int = 0,
        **keywords: Any,
    ):
        super().__init__(**{"dtype": base.dtype_policy} | keywords)
        self.base, self.kind, self.rank, self.seed = base, kind, rank, seed
        self.layer_paths = hooks.choose(base, layers)
        layers_by_path = hooks.paths(base)
        # by position, since Keras renames what it recreates
        self.arguments.layers = [list(layers_by_path).index(path) for path in self.layer_paths]
        hosts = [layers_by_path[path] for path in self.layer_paths]
        self.adapters = [
            make_adapter(
                kind, rank, seed + i, hooks.channel_axis(host), f"adapter_{i}", host.dtype_policy
            )
            for i, host in enumerate(hosts)
        ]
        if hasattr(base, "inputs"):
            known = base.inputs[0] if isinstance(base, keras.Sequential) else base.input
            self(keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, x.dtype), known))

    def call(self, inputs: Any) -> Any:
        """The base's outputs, in inference mode, with active adapters."""
        with hooks.hooked(self._pairs()):
            return self.base(inputs, training=False)

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        """The adapters' weights: phi."""
        return [w for adapter in self.adapters for w in adapter.trainable_weights]

    @property
    @override
    def non_trainable_weights(self) -> list[keras.Variable]:
        phi = {id(w) for w in self.trainable_weights}
        return [w for w in self.weights if id(w) not in phi]

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The adapters' weights: phi."""
        return self.trainable_weights

    @property
    @override
    def non_trainable_variables(self) -> list[keras.Variable]:
        phi = {id(w) for w in self.trainable_weights}
        return [v for v in self.variables if id(v) not in phi]

    def get_vector(self) -> np.ndarray:
        """phi, all adapter weights concatenated, float32 [D]."""
        parts = [ops.convert_to_numpy(w).reshape(-1) for w in self.trainable_weights]
        return np.concatenate(parts).astype("float32")

    def set_vector(self, phi: ArrayLike) -> None:
        """Sets all adapter weights.

        Args:
            phi: [D]; zeros are the identity.

        Raises:
            ValueError: another number of values.
        """
        assign_vector(self.trainable_weights, phi)

    def detach(self) -> keras.Model:
        """The unchanged base model."""
        return self.base

    def fold(self, inplace: bool = False) -> keras.Model:
        """A plain model whose weights reproduce this model's outputs in inference.

        Args:
            inplace: modify `base` itself, and reset the adapters to the identity.

        Raises:
            InputError: an adapter's layer cannot absorb it; such a model is exported with its
                adapters.
        """
        return folding.fold(self, inplace)

    def _pairs(self) -> list[tuple[keras.layers.Layer, keras.layers.Layer]]:
        known = hooks.paths(self.base)
        hosts = [known[path] for path in self.layer_paths]
        return list(zip(hosts, self.adapters, strict=True))


def assign_vector(variables: Sequence[keras.Variable], phi: ArrayLike) -> None:
    """Sets variables from one vector [D].

    Raises:
        ValueError: another number of values.
    """
    phi = np.asarray(phi, "float32")
    sizes = [int(np.prod(v.shape)) for v in variables]
    if phi.shape != (sum(sizes),):
        raise ValueError(f"phi {list(phi.shape)}: must be [{sum(sizes)}]")
    for variable, part in zip(variables, np.split(phi, np.cumsum(sizes)[:-1]), strict=True):
        variable.assign(part.reshape(variable.shape))

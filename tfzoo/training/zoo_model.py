"""Base of the models that are not functional: exporting, saving and quantizing."""

from __future__ import annotations

from typing import Any

import keras

OWN = ("loss", "loss_weights", "metrics", "weighted_metrics")
"""Arguments that `compile` refuses if a model defines its own losses and metrics."""


class ZooModel(keras.Model):
    """A model that declares the inputs of its `call`, so that `export` works without a prior call.

    Keras infers the inputs of a subclassed model from its first call: one shape, and floats.
    """

    def input_specs(self) -> list[keras.InputSpec] | None:
        """The inputs of `call`, with None for free axes; None lets Keras infer them."""
        return None

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **keywords: Any,
    ) -> None:
        """As Keras's; `input_signature` defaults to `input_specs`."""
        if input_signature is None:
            input_signature = self.input_specs()
        keras.Model.export(self, filepath, format, verbose, input_signature, **keywords)

    def save(self, filepath: Any, *arguments: Any, **keywords: Any) -> None:
        """As Keras's, but only to `.keras` files.

        Raises:
            ValueError: the path is in Keras's legacy HDF5 format, which keeps neither registered
                names nor weights outside layers.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"filepath={str(filepath)!r}: must end in .keras, the legacy HDF5 format cannot "
                f"hold {type(self).__name__}; save_weights writes .weights.h5"
            )
        keras.Model.save(self, filepath, *arguments, **keywords)

    def quantize(self, *arguments: Any, **keywords: Any) -> None:
        """As Keras's: quantizes the model's dense and embedding layers, in this process.

        Raises:
            ValueError: the model has no layers.
        """
        if len(list(self._flatten_layers())) == 1:  # Keras would recurse forever
            raise ValueError(f"{type(self).__name__}: has no layers to quantize")
        keras.Model.quantize(self, *arguments, **keywords)


def refuse_losses(model: keras.Model, keywords: dict[str, Any]) -> None:
    """Checks the arguments of `compile` for a model that defines its own losses and metrics.

    Raises:
        ValueError: a loss or a metric is given.
    """
    for name in OWN:
        if keywords.get(name) is not None:
            raise ValueError(
                f"{name}={keywords[name]!r}: must be None, since the losses and metrics of "
                f"{type(model).__name__} are its own"
            )


def refuse_weights(model: keras.Model, sample_weight: Any) -> None:
    """Checks the sample weights of a step of a model that defines its own losses.

    Raises:
        ValueError: there are sample weights, or class weights, which Keras turns into sample
            weights.
    """
    if sample_weight is not None:
        raise ValueError(
            f"sample_weight, class_weight: must be None, since {type(model).__name__} defines its "
            "own losses"
        )

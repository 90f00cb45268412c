"""What the models that are not functional share: how they are exported, saved and quantized."""

from __future__ import annotations

from typing import Any

import keras

OWN = ("loss", "loss_weights", "metrics", "weighted_metrics")
"""What `compile` does not take where losses and metrics are the model's own."""


class ZooModel(keras.Model):
    """A model that says what its `call` takes, so that `export` needs no call before.

    Keras guesses the inputs of a subclassed model from its first call: one shape, and floats.
    """

    def input_specs(self) -> list[keras.InputSpec] | None:
        """The inputs of `call`, free axes None; None lets Keras guess them."""
        return None

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **keywords: Any,
    ) -> None:
        """As Keras's; `input_signature` is that of `input_specs` by default."""
        if input_signature is None:
            input_signature = self.input_specs()
        keras.Model.export(self, filepath, format, verbose, input_signature, **keywords)

    def save(self, filepath: Any, *arguments: Any, **keywords: Any) -> None:
        """As Keras's, to `.keras` files alone.

        Raises:
            ValueError: the file is one of Keras's legacy HDF5 format, which keeps neither
                registered names nor weights outside layers.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"filepath={str(filepath)!r}: must end in .keras, the legacy HDF5 format cannot "
                f"hold {type(self).__name__}; save_weights writes .weights.h5"
            )
        keras.Model.save(self, filepath, *arguments, **keywords)

    def quantize(self, *arguments: Any, **keywords: Any) -> None:
        """As Keras's: of the dense and embedding layers in the model, in this process.

        Raises:
            ValueError: there is no layer in the model.
        """
        if len(list(self._flatten_layers())) == 1:  # Keras would call the model for ever
            raise ValueError(f"{type(self).__name__}: has no layers to quantize")
        keras.Model.quantize(self, *arguments, **keywords)


def refuse_losses(model: keras.Model, keywords: dict[str, Any]) -> None:
    """Checks what is given to the `compile` of a model whose losses and metrics are its own.

    Raises:
        ValueError: a loss or a metric is given.
    """
    for name in OWN:
        if keywords.get(name) is not None:
            raise ValueError(
                f"{name}={keywords[name]!r}: must be None, the losses and metrics of "
                f"{type(model).__name__} are its own"
            )


def refuse_weights(model: keras.Model, sample_weight: Any) -> None:
    """Checks the weights that a step was given of a model whose losses are its own.

    Raises:
        ValueError: there are weights of examples, or of classes, which Keras makes them of.
    """
    if sample_weight is not None:
        raise ValueError(
            f"sample_weight, class_weight: must be None, the losses of {type(model).__name__} are "
            "its own"
        )

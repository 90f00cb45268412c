"""Recognises actions with a pre-trained video encoder."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from typing_extensions import override

from tfzoo.config import Fraction, Natural
from tfzoo.registry import serializable
from tfzoo.skipclip import objective
from tfzoo.skipclip.pretext import headed, pooled
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Tensor


@serializable("skipclip")
class ActionRecognizer(ZooModel):
    """An encoder, the mean over its map, dropout and a linear layer, for fine-tuning.

    `rank` scores how soon one clip follows another, as learnt by a `SkipClip`; after fine-tuning
    all layers these scores are hardly meaningful.

    Videos with weight 0 affect only BatchNormalization's running statistics.

    Args:
        encoder: network from video to feature maps; used directly, not copied.
        classes: number of classes K; 0: no linear layer, the output is the features.
        dropout: dropout of the features, in training.
        context_head: context head of a `SkipClip`, or None.
        future_head: future head of a `SkipClip`; None if `context_head` is.
        view: how an exported model crops a video: the side of the square that the encoder was
            trained on, and its fraction of the frames' shorter side.
        **keywords: `name`, `dtype`, ...

    Input: [B, T, H, W, C] of raw pixels. Output: logits float32 [B, K], or features [B, D].

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        encoder: keras.Model,
        classes: Natural,
        dropout: Fraction = 0.5,
        context_head: keras.layers.Layer | None = None,
        future_head: keras.layers.Layer | None = None,
        view: tuple[int, float] = (112, 0.875),
        **keywords: Any,
    ):
        super().__init__(**keywords)
        size, share = view
        if size < 1 or not 0 < share <= 1:
            raise ValueError(f"view={view}: must be a side of at least 1 and a share up to 1")
        if (context_head is None) != (future_head is None):
            raise ValueError("context_head, future_head: must both be layers, or both None")
        self.view = (int(size), float(share))
        self.encoder, self.classes, self.rate = encoder, classes, dropout
        self.context_head, self.future_head = context_head, future_head
        depth, policy = encoder.output_shape[-1], self.dtype_policy
        self.drop = keras.layers.Dropout(dropout, dtype=policy)
        self.head = None
        if classes:
            self.head = keras.layers.Dense(classes, dtype=policy, name="head")
            self.head.build((None, depth))
        for head in (context_head, future_head):
            if head is not None and not head.built:
                head.build((None, None, None, None, depth))
        self.built = True

    @classmethod
    def from_pretrained(
        cls, pretrained: keras.Model, classes: int, dropout: float = 0.5, **keywords: Any
    ) -> ActionRecognizer:
        """A recognizer around a copy of a pretext model's encoder, with a new linear layer.

        Args:
            pretrained: a `SkipClip`, `ClipOrder`, another `ActionRecognizer`, or a bare encoder.
            classes: number of classes K.
            dropout: dropout of the features.
            **keywords: arguments of the constructor.
        """
        encoder = getattr(pretrained, "encoder", pretrained)
        heads = [getattr(pretrained, f"{name}_head", None) for name in ("context", "future")]
        return cls(_copy(encoder), classes, dropout, *map(_copy, heads), **keywords)

    def features(self, video: Tensor, training: bool | None = False) -> Tensor:
        """The mean over the encoder's map, float32: [B, T, H, W, C] -> [B, D]."""
        return pooled(self.encoder(video, training=training))

    @override
    def call(self, video: Tensor, training: bool | None = None) -> Tensor:
        x = self.features(video, training)
        if self.head is None:
            return x
        return ops.cast(self.head(self.drop(x, training=training)), "float32")

    def input_specs(self) -> list[keras.InputSpec]:
        """Raw video of any length and size."""
        return [keras.InputSpec("float32", self.encoder.input_shape)]

    def rank(self, context: Tensor, future: Tensor) -> Tensor:
        """Like `SkipClip.rank`: scores float32 [B] of pairs of clips."""
        h, z = (self.encoder(x, training=False) for x in (context, future))
        h, z = headed(self.context_head, h, False), headed(self.future_head, z, False)
        return objective.similarity(h, z)


def _copy(layer: Any) -> Any:
    """A copy of a layer or model with the same weights; None stays None."""
    if layer is None:
        return None
    if isinstance(layer, keras.Model):
        copy = keras.models.clone_model(layer)
    else:
        copy = type(layer).from_config(layer.get_config())
        copy.build(layer.get_build_config()["input_shape"])
    copy.set_weights(layer.get_weights())
    return copy

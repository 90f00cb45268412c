"""The self-supervised tasks as Keras models: Skip-Clip, and the order of shuffled clips."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

import keras
from annotated_types import Ge, Le
from keras import ops
from typing_extensions import override

from tfzoo.config import Count, NonNegative, OneOf, check
from tfzoo.layers import Conv3D, size_within
from tfzoo.registry import serializable
from tfzoo.skipclip import objective
from tfzoo.skipclip.layers import FoldedBatchNormalization
from tfzoo.training import replicas
from tfzoo.training.zoo_model import ZooModel, refuse_losses, refuse_weights
from tfzoo.typing import Tensor

HEADS = ("none", "conv1x1", "norm")


class _Pretext(ZooModel):
    """An encoder with a self-supervised task, which defines its own losses and metrics."""

    encoder: keras.Model
    _means: dict[str, keras.metrics.Mean]

    def _clips(self, clips: Tensor, training: bool | None) -> Tensor:
        """Feature maps of clips [B, n, T, H, W, C] -> [B, n, T', H', W', D].

        One forward pass for all clips, so that BatchNormalization treats them alike.
        """
        shape, words = ops.shape(clips), f"clips: {{}} in a row, must be {self.count}"
        count = size_within(shape[1], self.count, self.count, words)
        maps = self.encoder(ops.reshape(clips, (-1, *shape[2:])), training=training)
        return ops.reshape(maps, (shape[0], count, *ops.shape(maps)[1:]))

    def input_specs(self) -> list[keras.InputSpec]:
        """Tuples of raw clips of any length and size."""
        return [keras.InputSpec("float32", (None, self.count, *self.encoder.input_shape[1:]))]

    @property
    def count(self) -> int:
        """Number of clips in a tuple."""
        raise NotImplementedError

    def features(self, video: Tensor) -> Tensor:
        """The mean over the encoder's map, float32: [B, T, H, W, C] -> [B, D]."""
        return pooled(self.encoder(video, training=False))

    def compile(
        self, optimizer: keras.optimizers.Optimizer | str = "adam", **keywords: Any
    ) -> None:
        """Sets only the optimizer and execution options: the model defines its own losses.

        Raises:
            ValueError: a loss or metric is given.
        """
        refuse_losses(self, keywords)
        super().compile(optimizer, **keywords)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Restores the arguments of `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def _note(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._means[name].update_state(value)

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> dict[str, Any]:
        """The metrics recorded by `compute_loss`."""
        return self.get_metrics_result()


def headed(head: keras.layers.Layer | None, maps: Tensor, training: bool | None) -> Tensor:
    """Applies a head of `SkipClip` to feature maps, if there is one."""
    if head is None:
        return maps
    return (
        head(maps, training=training) if isinstance(head, FoldedBatchNormalization) else head(maps)
    )


def pooled(maps: Tensor) -> Tensor:
    """The mean over times and cells, float32: [..., T, H, W, D] -> [..., D]."""
    return ops.mean(ops.cast(maps, "float32"), axis=(-4, -3, -2))


@serializable("skipclip")
class SkipClip(_Pretext):
    """Ranks future clips by temporal distance from a context clip (arXiv:1910.12770).

    `fit` takes tuples of clips [B, 1 + m, T, H, W, C], the context first, then the futures, nearest
    first (`tfzoo.skipclip.streams` makes them), with the number of quarter turns [B] by which the
    tuple was rotated as labels, if the auxiliary objective is used. The loss is `rank_weight`
    L_rank + `rotation_weight` L_rot, see `objective`; `plateau` in the logs is L_rank relative to
    its value for equal scores: 1 means that nothing has been learnt.

    Args:
        encoder: network from video to feature maps, as from `make_encoder`; shared by contexts and
            futures.
        futures: number m of future clips.
        margin: margin of neighbouring futures.
        rank_weight: weight of the ranking loss.
        rotation_weight: weight of the 4-way cross-entropy; 0 disables it.
        reduction: `sum` over pairs, the paper's formula, or `mean_pairs`.
        head: `none`, the paper's formula; `conv1x1`: a 1x1x1 convolution for contexts and one for
            futures, used only in pre-training; `norm`: features are standardised over the batch
            before the cosine, so that scores use their whole range.
        head_width: channels of `conv1x1`.
        cross_video_negatives: ranks the nearest future of another video of the batch last (ours).
        negatives: number of other videos; the batch must be larger.
        signed: whether the encoder's features may be negative, as without a final ReLU.
        **keywords: `name`, `dtype`, ...

    Input: as for `fit`. Output: `scores` float32 [B, m], and, with the rotation objective,
    `rotation` float32 [B, 4], the mean of the logits over clips.

    Raises:
        ValueError: an argument is out of range, or the margin cannot be reached.
    """

    def __init__(
        self,
        encoder: keras.Model,
        futures: Annotated[int, Ge(2)] = 4,
        margin: float = 0.1,
        rank_weight: NonNegative = 1.0,
        rotation_weight: NonNegative = 0.0,
        reduction: Annotated[str, OneOf(*objective.REDUCTIONS)] = "sum",
        head: Annotated[str, OneOf(*HEADS)] = "none",
        head_width: Count = 128,
        cross_video_negatives: bool = False,
        signed: bool = False,
        negatives: Count = 1,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        either = rank_weight + rotation_weight > 0
        check(either, "rank_weight", rank_weight, "above 0 without rotation_weight")
        ranked = futures + int(cross_video_negatives)
        objective.check_margin(margin, ranked, signed or head != "none")
        for key, value in vars(self.arguments).items():
            setattr(self, key, value)
        policy, depth = self.dtype_policy, encoder.output_shape[-1]
        self.context_head = self.future_head = self.turn = None
        if head == "conv1x1":
            self.context_head, self.future_head = (
                Conv3D(head_width, 1, dtype=policy, name=f"{which}_head")
                for which in ("context", "future")
            )
        elif head == "norm":
            self.context_head, self.future_head = (
                FoldedBatchNormalization(
                    center=False, scale=False, dtype=policy, name=f"{which}_head"
                )
                for which in ("context", "future")
            )
        for part in (self.context_head, self.future_head):
            if part is not None:
                part.build((None, None, None, None, depth))
        if rotation_weight:
            self.turn = keras.layers.Dense(objective.ROTATIONS, dtype=policy, name="rotation")
            self.turn.build((None, depth))
        names = ["rank", "plateau", "pair_accuracy"]
        names += ["rotation", "rotation_accuracy"] if rotation_weight else []
        self._means = {name: keras.metrics.Mean(name) for name in names}
        self.built = True

    @property
    def count(self) -> int:
        """The context and the futures."""
        return 1 + self.futures

    def contexts(self, maps: Tensor, training: bool | None = False) -> Tensor:
        """The context head on feature maps [B, T', H', W', D]."""
        return headed(self.context_head, maps, training)

    def targets(self, maps: Tensor, training: bool | None = False) -> Tensor:
        """The future head on feature maps [B, T', H', W', D]."""
        return headed(self.future_head, maps, training)

    def rank(self, context: Tensor, future: Tensor) -> Tensor:
        """Scores of pairs of clips, float32 [B]; the sooner `future` follows, the higher.

        Args:
            context: raw pixels [B, T, H, W, C].
            future: raw pixels [B, T2, H, W, C].
        """
        h = self.contexts(self.encoder(context, training=False))
        z = self.targets(self.encoder(future, training=False))
        return objective.similarity(h, z)

    @override
    def call(self, clips: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        maps = self._clips(clips, training)
        h, z = ops.split(maps, [1], axis=1)  # its gradient is cheaper than a slice's
        h, shape = self.contexts(ops.squeeze(h, 1), training), ops.shape(maps)
        z = self.targets(ops.reshape(z, (-1, *shape[2:])), training)
        z = ops.reshape(z, (-1, self.futures, *ops.shape(z)[1:]))
        outputs = {"scores": objective.similarity(h[:, None], z)}
        if self.cross_video_negatives and training:
            others = [ops.roll(z[:, 0], 1 + k, axis=0) for k in range(self.negatives)]
            outputs["negative"] = objective.similarity(h[:, None], ops.stack(others, 1))
        if self.turn is not None:
            logits = self.turn(pooled(maps))
            outputs["clip_rotation"] = ops.cast(logits, "float32")
            outputs["rotation"] = ops.mean(outputs["clip_rotation"], 1)
            if not training:
                del outputs["clip_rotation"]
        return outputs

    def compute_loss(
        self,
        x: Tensor | None = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        """L_rank and L_rot, each the mean over the batch."""
        del x, training
        refuse_weights(self, sample_weight)
        scores = y_pred["scores"]
        negatives = y_pred.get("negative")
        losses = objective.ranking_loss(scores, self.margin, self.reduction, negatives)
        rank = ops.mean(losses)
        total = self.rank_weight * rank
        ranked = self.futures + int(negatives is not None)
        pairs = ranked * (ranked - 1) // 2 if self.reduction == "sum" else 1
        self._note(rank=rank, plateau=rank / (self.margin * pairs))
        self._note(pair_accuracy=ops.mean(objective.pair_accuracy(scores)))
        if self.turn is not None:
            logits = y_pred.get("clip_rotation", y_pred["rotation"][:, None])
            labels = ops.cast(ops.broadcast_to(y[:, None], ops.shape(logits)[:2]), "int32")
            turn = ops.mean(
                keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            )
            right = ops.cast(
                ops.equal(ops.cast(ops.argmax(logits, -1), "int32"), labels), "float32"
            )
            self._note(rotation=turn, rotation_accuracy=ops.mean(right))
            total = total + self.rotation_weight * turn
        return replicas.share(total)


@serializable("skipclip")
class ClipOrder(_Pretext):
    """Predicts the order of shuffled clips of a video: the pretext task of Xu et al. (VCOP).

    A baseline: unlike Skip-Clip it has no context clip, so it cannot tell a motion from its
    reverse. `fit` takes clips [B, n, T, H, W, C] with the index [B] of their permutation in
    `itertools.permutations(range(n))`. Features of each pair of clips pass through a shared
    layer, then jointly to a softmax over n! orders (the form of VCOP, CVPR 2019).

    Args:
        encoder: as in `SkipClip`.
        clips: number n of clips, from 2 to 4.
        hidden: width of the layer on pairs.
        **keywords: `name`, `dtype`, ...

    Input: as for `fit`. Output: logits float32 [B, n!].

    Raises:
        ValueError: `clips` is out of range.
    """

    def __init__(
        self,
        encoder: keras.Model,
        clips: Annotated[int, Ge(2), Le(4)] = 3,
        hidden: Count = 128,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.encoder, self.clips, self.hidden = encoder, clips, hidden
        policy, depth = self.dtype_policy, encoder.output_shape[-1]
        self.pairs = list(itertools.combinations(range(clips), 2))
        self.orders = len(list(itertools.permutations(range(clips))))
        self.relation = keras.layers.Dense(hidden, "relu", dtype=policy, name="relation")
        self.order = keras.layers.Dense(self.orders, dtype=policy, name="order")
        self.relation.build((None, 2 * depth))
        self.order.build((None, len(self.pairs) * hidden))
        self._means = {name: keras.metrics.Mean(name) for name in ("order_accuracy",)}
        self.built = True

    @property
    def count(self) -> int:
        """Number of clips in a tuple: all of them."""
        return self.clips

    @override
    def call(self, clips: Tensor, training: bool | None = None) -> Tensor:
        f = pooled(self._clips(clips, training))
        pairs = [self.relation(ops.concatenate([f[:, i], f[:, j]], -1)) for i, j in self.pairs]
        return ops.cast(self.order(ops.concatenate(pairs, -1)), "float32")

    def compute_loss(
        self,
        x: Tensor | None = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        """Cross-entropy of the permutation."""
        del x, training
        refuse_weights(self, sample_weight)
        y = ops.cast(y, "int32")
        right = ops.equal(ops.cast(ops.argmax(y_pred, -1), "int32"), y)
        self._note(order_accuracy=ops.mean(ops.cast(right, "float32")))
        loss = keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True)
        return replicas.share(ops.mean(loss))

"""The individual predictions of an ensemble's members, if they extend to the output."""

from __future__ import annotations

from keras import ops

from tfzoo.typing import Tensor


def member_probabilities(member_logits: Tensor) -> Tensor:
    """Softmax in float32: [B, m, k] -> [B, m, k]."""
    return ops.softmax(ops.cast(member_logits, "float32"))


def disagreement(member_logits: Tensor) -> Tensor:
    """The members' disagreement: [B, m, k] -> [B], in nats, from 0 to log m.

    The entropy of the members' mean distribution minus the mean of their entropies (Jensen-Shannon
    divergence, the mutual information of prediction and member).
    """
    p = member_probabilities(member_logits)
    apart = _entropy(ops.mean(p, 1)) - ops.mean(_entropy(p), 1)
    return ops.maximum(apart, 0.0)


def predictive(member_logits: Tensor) -> Tensor:
    """The mixture of the members' predictions as a distribution, on TensorFlow.

    Args:
        member_logits: [B, m, k].

    Returns:
        `tfp.distributions.MixtureSameFamily` over the classes, batch shape [B].
    """
    import tensorflow as tf
    import tensorflow_probability as tfp

    logits = tf.cast(member_logits, tf.float32)
    shape = tf.shape(logits)
    return tfp.distributions.MixtureSameFamily(
        tfp.distributions.Categorical(logits=tf.zeros([shape[0], shape[1]])),
        tfp.distributions.Categorical(logits=logits),
    )


def _entropy(p: Tensor) -> Tensor:
    return -ops.sum(p * ops.log(ops.maximum(p, 1e-30)), -1)

"""Causal AFT, one token at a time, with a state of fixed shape.

The most recent keys and values are in a ring buffer, where each still gets its bias; all earlier
ones, whose bias is 0, are folded into one running sum. AFT-simple needs no ring, AFT-full never
folds.
"""

from __future__ import annotations

from keras import ops

from tfzoo.aft.online_average import HIDDEN
from tfzoo.typing import Tensor

State = dict[str, Tensor]


def initial_state(
    batch: int | Tensor, ring: int, heads: int, key_channels: int, channels: int
) -> State:
    """The state before the first token.

    Args:
        batch: rows.
        ring: how many recent positions have a bias.
        heads: heads H.
        key_channels: channels C of a head's key: 1, or as many as the value's.
        channels: channels D of a head's value.

    Returns:
        `top` [B, H, C], `numerator` [B, H, D] and `total` [B, H, C] of the folded positions, and
        `keys` [B, ring, H, C] and `values` [B, ring, H, D]; all float32.
    """
    return {
        "top": ops.full((batch, heads, key_channels), HIDDEN, "float32"),
        "numerator": ops.zeros((batch, heads, channels), "float32"),
        "total": ops.zeros((batch, heads, key_channels), "float32"),
        "keys": ops.zeros((batch, ring, heads, key_channels), "float32"),
        "values": ops.zeros((batch, ring, heads, channels), "float32"),
    }


def slot_positions(ring: int, position: Tensor) -> Tensor:
    """The position in each slot of the ring once `position` is written, [ring]; < 0: none."""
    slots = ops.arange(ring, dtype="int32")
    return position - ops.mod(position - slots, ring)


def step(
    state: State, key: Tensor, value: Tensor, bias: Tensor | None, position: Tensor
) -> tuple[Tensor, State]:
    """Adds one position and averages over it and all earlier ones.

    Args:
        state: state after the earlier positions.
        key: float32 [B, H, C].
        value: float32 [B, H, D].
        bias: float32 [H, ring], w of this position with each slot's; None without a ring.
        position: int32 scalar.

    Returns:
        The average [B, H, D] (before the gate) and the new state.
    """
    ring = state["keys"].shape[1]
    if ring == 0:
        state = _fold(state, key, value, True)
        return state["numerator"] / state["total"], state
    slot = ops.mod(position, ring)
    old = ops.take(state["keys"], slot, axis=1), ops.take(state["values"], slot, axis=1)
    state = _fold(state, *old, position >= ring)
    state["keys"] = _write(state["keys"], key, slot)
    state["values"] = _write(state["values"], value, slot)

    filled = slot_positions(ring, position) >= 0
    scores = state["keys"] + ops.transpose(bias)[None, :, :, None]  # [B, ring, H, C]
    scores = ops.where(filled[None, :, None, None], scores, HIDDEN)
    top = ops.maximum(state["top"], ops.max(scores, 1))
    e = ops.exp(scores - top[:, None])
    past = ops.exp(state["top"] - top)
    numerator = state["numerator"] * past + ops.sum(e * state["values"], 1)
    return numerator / (state["total"] * past + ops.sum(e, 1)), state


def _fold(state: State, key: Tensor, value: Tensor, valid: bool | Tensor) -> State:
    """Adds one position to the running sum if it is `valid`."""
    key = ops.where(valid, key, HIDDEN)
    top = ops.maximum(state["top"], key)
    past = ops.exp(state["top"] - top)
    e = ops.where(valid, ops.exp(key - top), 0.0)
    return state | {
        "top": top,
        "numerator": state["numerator"] * past + e * value,
        "total": state["total"] * past + e,
    }


def _write(buffer: Tensor, row: Tensor, slot: Tensor) -> Tensor:
    start = (0, slot) + (0,) * (len(buffer.shape) - 2)
    return ops.slice_update(buffer, start, row[:, None])

"""Loads checkpoints of the official code, github.com/apple/ml-uwac."""

from __future__ import annotations

from pathlib import Path

import keras

from tfzoo.layers import SpectralLayer
from tfzoo.training.state_dict import StateDict
from tfzoo.uwac.model import ActorCritic
from tfzoo.uwac.settings import AgentSettings

_VAE = ("e1", "e2", "mean", "log_std", "d1", "d2", "d3")
_UNUSED = ("vae.fc", "vae.last_fc")
"""Layers that the official behaviour model inherits but never uses."""


def from_official(path: str | Path) -> ActorCritic:
    """The actor, critics, targets and behaviour model from the official code's snapshot.

    Its settings are `AgentSettings.official_code` with the tensors' sizes; spectral norm is
    detected by their names. Actions are in [-1, 1], observations unnormalised.

    Args:
        path: an `.npz` of the state dicts, see `StateDict`, whose names begin with `policy.`,
            `qf1.`, `qf2.`, `target_qf1.`, `target_qf2.` and `vae.`; the card says how to write it.

    Raises:
        InputError: no such file, or not these networks' tensors.
    """
    state = StateDict(path)
    depth = 0
    while f"policy.fc{depth}.weight" in state:
        depth += 1
    hidden = [state.size(f"policy.fc{i}.weight") for i in range(max(depth, 1))]
    spectral = "qf1.fc0.weight_orig" in state
    model = ActorCritic(
        AgentSettings.official_code(
            hidden=hidden, vae_units=state.size("vae.e1.weight"), spectral_norm=spectral
        ),
        observation_dim=state.size("policy.fc0.weight", 1),
        action_dim=state.size("policy.last_fc.weight"),
    )
    body = [f"fc{i}" for i in range(depth)]
    actor, vae = model.actor, model.vae
    parts: list[tuple[str, list[str], list[keras.layers.Layer]]] = [
        ("policy", [*body, "last_fc", "last_fc_log_std"], [*actor.body, actor.mean, actor.log_std]),
        ("vae", list(_VAE), [*vae.encoder, vae.mean, vae.log_std, *vae.decoder, vae.out]),
    ]
    for name in ("q1", "q2", "target_q1", "target_q2"):
        critic = getattr(model, name)
        theirs = name.replace("q", "qf")
        parts.append((theirs, [*body, "last_fc"], [*critic.body, critic.value]))
    for prefix, names, layers in parts:
        for name, layer in zip(names, layers, strict=True):
            _assign(layer, f"{prefix}.{name}", state)
    state.end("the official code's snapshot", ignored=_UNUSED)
    return model


def _assign(layer: keras.layers.Layer, name: str, state: StateDict) -> None:
    spectral = isinstance(layer, SpectralLayer)
    kernel = state.kernel(f"{name}.weight{'_orig' if spectral else ''}", layer.kernel.shape)
    layer.kernel.assign(kernel)
    layer.bias.assign(state.take(f"{name}.bias", layer.bias.shape))
    if spectral:  # power iterations continue from theirs
        layer.u.assign(state.take(f"{name}.weight_u", layer.u.shape))
        layer.v.assign(state.take(f"{name}.weight_v", layer.v.shape))

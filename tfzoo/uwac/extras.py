"""Imports tf-agents, which only training and environments need, or tells how to install it."""

from __future__ import annotations

import contextlib
import importlib
import io
from types import ModuleType

from tfzoo.errors import InputError

COMMAND = "pip install 'tfzoo[rl]' && pip install --no-deps tf-agents==0.19.0"


def load(module: str) -> ModuleType:
    """A module of tfzoo that imports tf-agents or gymnasium.

    Raises:
        InputError: one of them is not installed; the message gives the command.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # gym's deprecation notice
            import gymnasium  # noqa: F401
            import tf_agents  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"training agents needs tf-agents and gymnasium ({error}); install them by: {COMMAND}"
        ) from None
    return importlib.import_module(module)

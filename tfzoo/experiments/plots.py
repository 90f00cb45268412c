"""Plots of studies and benches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfzoo.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a matplotlib figure as PNG, complete or not at all."""
    import matplotlib.pyplot as plt

    with replacing(path) as aside:
        figure.savefig(aside, dpi=150, bbox_inches="tight")
    plt.close(figure)

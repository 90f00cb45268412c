"""Pictures of inputs, truth and reconstructions."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfzoo.data.shapes import raycast
from tfzoo.data.shapes.mesh_solids import GridSolid
from tfzoo.data.shapes.posed import PosedShapes
from tfzoo.experiments import statistics
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row
from tfzoo.recon3d.meshes import BOUND, lattice, logit
from tfzoo.recon3d.model import OccupancyReconstructor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS = 64


def grid_solid(inside: np.ndarray, bound: float = BOUND) -> GridSolid:
    """A grid of booleans [n, n, n] over the cube as a renderable distance field."""
    from scipy import ndimage

    cell = 2 * bound / (len(inside) - 1)
    apart = ndimage.distance_transform_edt(~inside), ndimage.distance_transform_edt(inside)
    values = np.where(inside, 0.5 - apart[1], apart[0] - 0.5)
    return GridSolid(ndimage.gaussian_filter(values, 0.7) * cell, cell)


def inside_by(model: OccupancyReconstructor) -> Callable[..., np.ndarray]:
    """A model's prediction of inside: (images, cameras, points) -> bool [N]."""

    def ask(images: np.ndarray, cameras: np.ndarray, points: np.ndarray) -> np.ndarray:
        field = model.field(images[None], cameras[None])
        return field(points[None])[0] > logit(model.threshold)

    return ask


def reconstructions(
    methods: dict[str, Callable[..., np.ndarray]],
    splits: dict[str, PosedShapes],
    path: str | Path,
    views: int = 3,
    each: int = 4,
) -> None:
    """A row per shape: its views, the truth in a held-out view, and every method.

    Args:
        methods: by name, from `inside_by`.
        splits: by name; shows the first shapes of different categories.
        path: path of the PNG.
        views: maximum number of views that methods see; the next one is shown.
        each: number of shapes per split.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    views = min(views, *(s.views - 1 for s in splits.values()))
    rows = [(name, s, i) for name, s in splits.items() for i in _different(s, each)]
    titles = [f"input\nview {i + 1}" for i in range(views)] + [f"truth\nview {views + 1}"]
    titles += [f"{_wrapped(name)}\nview {views + 1}" for name in methods]
    figure, axes = plt.subplots(
        len(rows),
        len(titles),
        figsize=(1.4 * len(titles) + 1.2, 1.4 * len(rows) + 0.8),
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(f"Reconstructed from {views} views, drawn as seen from one more", fontsize=10)
    points = lattice(CELLS).reshape(-1, 3)
    for number, (line, (name, shapes, i)) in enumerate(zip(axes, rows, strict=True)):
        one = shapes.take(np.array([i])).arrays(views + 1, 1)
        images, cameras = one["images"][0], one["cameras"][0]
        shown = [*images.astype(np.uint8)]
        for ask in methods.values():
            inside = ask(images[:views], cameras[:views], points).reshape((CELLS + 1,) * 3)
            field = grid_solid(inside)
            shown.append(raycast.render(field, cameras[views:], images.shape[1])[0][0])
        for axis, image, title in zip(line, shown, titles, strict=True):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
            if number == 0:
                axis.set_title(title, fontsize=8)
        label = f"{shapes.names[shapes.labels[i]]}\n({name} category)"
        line[0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center", labelpad=6)
    save_figure(figure, path)


def _wrapped(name: str) -> str:
    """A method's name on at most two lines."""
    return "\n".join(textwrap.wrap(name, max(12, len(name) // 2 + 2)))


def _different(shapes: PosedShapes, count: int) -> list[int]:
    """The first shape of each category, then the second ones, up to the requested number."""
    order = sorted(
        range(len(shapes)), key=lambda i: (int((shapes.labels[:i] == shapes.labels[i]).sum()), i)
    )
    return order[:count]


def by_views(rows: Sequence[Row], views: Sequence[int], path: str | Path) -> None:
    """IoU over the number of views, seen and unseen categories, every arm and the hull.

    Arms are drawn side by side at each number of views, so that none hides another.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    figure.suptitle("Volumetric IoU with the truth (1: equal), mean and 95 % interval over seeds")
    views, arms = sorted(views), list(dict.fromkeys(r.arm for r in rows))
    sides = np.linspace(-0.3, 0.3, len(arms) + 1)  # relative to the spacing of views
    for axis, split in zip(axes, ("seen", "unseen"), strict=True):
        places = np.arange(len(views))
        for i, (arm, side) in enumerate(zip(arms, sides, strict=False)):
            style = {"marker": _MARKERS[i % len(_MARKERS)], "color": f"C{i % 10}"}
            _line(axis, rows, arm, views, places + side, split, arm, **style)
        hull = {"color": "black", "marker": "_", "markersize": 12}
        _line(
            axis, rows, arms[0], views, places + sides[-1], f"hull_{split}", "visual hull", **hull
        )
        axis.set(xlabel="number of input views", title=f"{split} categories", xticks=places)
        axis.set_xticklabels([str(v) for v in views])
        axis.grid(axis="y", alpha=0.3)
        for edge in places[1:] - 0.5:
            axis.axvline(edge, color="0.9", zorder=0)
    axes[0].set_ylabel("IoU")
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    save_figure(figure, path)


_MARKERS = "osD^vPX*<>"


def _line(
    axis: Axes,
    rows: Sequence[Row],
    arm: str,
    views: Sequence[int],
    places: np.ndarray,
    name: str,
    label: str,
    **style: Any,
) -> None:
    numbers = [
        statistics.interval(list(statistics.values(rows, arm, f"{name}_{v}").values()))
        for v in views
    ]
    half = [0 if np.isnan(f.half) else f.half for f in numbers]
    means = [f.mean for f in numbers]
    axis.errorbar(places, means, half, label=label, capsize=2, linestyle="none", **style)

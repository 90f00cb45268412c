"""The table of own data, generated from the recipes; `tools/site_tables.py` writes it."""

from __future__ import annotations

from collections import defaultdict

import tfzoo  # noqa: F401  registers the tasks
from tfzoo import registry, zoo
from tfzoo.config import read_yaml
from tfzoo.recipe import Recipe

KINDS = {
    "tfzoo_image_folder": "images, one folder a class (for `sdn` a set), at the top or in each of "
    "`train`, `validation`, `test`",
    "tfzoo_arrays": "images and labels in an `.npz`: `x`, `y`, or `x_train`, `y_train`, "
    "`x_validation`, ..., `y_test`; JPEG files in one (`tfzoo.data.jpegs`)",
    "enwik8": "a text, raw or compressed",
    "tfzoo_table": "a table as CSV, the label last",
    "tfzoo_video_folder": "videos, one folder a class, at the top or in each of `train`, "
    "`validation`, `test`",
    "tfzoo_video_arrays": "clips in an `.npz`: `x`, and `y` where there are labels",
    "tfzoo_transitions": "transitions: D4RL's `.hdf5` or `.npz`, Minari's folders or ids (extra "
    "`rl`)",
    "tfzoo_meshes": "meshes, one folder a category, or all in an `.npz`",
}
"""Kinds of a user's data, by `data.name`."""


def recipes() -> dict[str, type[Recipe]]:
    """The task of each recipe, by the recipe's name."""
    files = {name: read_yaml(zoo.find_recipe(name)) for name in zoo.list_recipes()}
    return {name: registry.get_task(values["task"]) for name, values in files.items()}


def table() -> str:
    """A row for each kind of data, with recipes that need the same keys grouped."""
    tasks = recipes()
    lines = ["| what you have | `data.name` | recipes: keys to set |", "|---|---|---|"]
    for name, kind in KINDS.items():
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for recipe, task in tasks.items():
            if name in task.own_data:
                groups[task.own_data[name]].append(recipe)
        cells = [
            ", ".join(short(group, list(tasks)))
            + (f": {', '.join(f'`{key}`' for key in keys)}" if keys else "")
            for keys, group in sorted(groups.items(), key=lambda item: -len(item[0]))
        ]
        lines.append(f"| {kind} | `{name}` | {'<br>'.join(cells)} |")
    return "\n".join(lines)


def short(names: list[str], known: list[str]) -> list[str]:
    """`aft/*` for all recipes of a method, `aft/{a,b}` for some."""
    words = []
    for method in dict.fromkeys(name.split("/")[0] for name in names):
        mine, every = (
            [name.split("/")[1] for name in group if name.startswith(f"{method}/")]
            for group in (names, known)
        )
        one = mine[0] if len(mine) == 1 else f"{{{','.join(mine)}}}"
        words.append(f"`{method}/{'*' if mine == every else one}`")
    return words

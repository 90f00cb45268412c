"""`tfzoo list`: recipes and weights, read from files without loading TensorFlow."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import Any

_GAP, _FIGURE = 2, 22
"""Columns between cells, and columns reserved for the figure on a narrow terminal."""
_SHORT = {" to ": "-", "about ": "~", "minutes": "min", "minute": "min", "a min": "1 min"}


def show(what: str, long: bool) -> None:
    """Prints a line per recipe, or an entry per recipe of a method or per weight.

    Args:
        what: `recipes`, `models` or a method.
        long: print entries instead of lines.

    Raises:
        InputError: `what` is something else.
    """
    from tfzoo import zoo
    from tfzoo.config import check

    recipes = zoo.list_recipes()
    methods = sorted({name.split("/")[0] for name in recipes})
    allowed = f"recipes, models or a method ({', '.join(methods)})"
    check(what in ("recipes", "models", *methods), "list", what, allowed)
    if what == "models":
        for name in zoo.list_models():
            _print_entry(name, _about_model(name))
    elif what == "recipes" and not long:
        _print_lines({name: _summary(_about_recipe(name)) for name in recipes})
    else:
        for name in recipes:
            if what in ("recipes", name.split("/")[0]):
                _print_entry(name, _about_recipe(name))


def _about_recipe(name: str) -> dict[str, str]:
    import yaml

    from tfzoo import zoo

    # OmegaConf's containers would take most of the time
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = zoo.find_recipe(name).read_text(encoding="utf-8")
    header, values = zoo.recipe_header(name), yaml.load(text, Loader=loader)
    return {
        "task": f"{values['task']} on {values.get('data', {}).get('name', 'data of its own')}",
        "source": header["source"],
        "hardware": f"{header['hardware']}; time: {header['time']}",
        "expected": header["expected"],
    }


def _about_model(name: str) -> dict[str, str]:
    from tfzoo import zoo

    entry: dict[str, Any] = zoo.index()[name]
    size, recipe = (zoo.WEIGHTS / entry["file"]).stat().st_size / 1e6, entry["recipe"]
    return {
        "size": f"{size:.2f} MB",
        "recipe": f"{recipe}; its expected figure: {zoo.recipe_header(recipe)['expected']}",
        "own figures": entry["command"],
        "licence": entry["licence"],
    }


def _summary(about: dict[str, str]) -> tuple[str, str, str]:
    """Data, time and headline figure, without remarks."""
    data = about["task"].split(" on ")[1]
    time = re.split(r",|;| beside| on a| for", about["hardware"].split("; time: ")[1])[0]
    for long, short in _SHORT.items():
        time = time.replace(long, short)
    figure = re.split(r" \(|; ", about["expected"])[0]
    return data, "-" if time.startswith("not ") else time, figure


def _print_lines(rows: dict[str, tuple[str, str, str]]) -> None:
    """Aligned cells, cut at the terminal's right edge; uncut if the output is not a terminal."""
    columns = shutil.get_terminal_size(fallback=(10_000, 24)).columns
    names, data, times = (
        max(map(len, c)) for c in (rows, *list(zip(*rows.values(), strict=True))[:2])
    )
    data = min(data, max(10, columns - names - times - 3 * _GAP - _FIGURE))
    gap = " " * _GAP
    for name, (source, time, figure) in rows.items():
        cells = (name.ljust(names), _cut(source, data).ljust(data), time.rjust(times), figure)
        print(_cut(gap.join(cells), columns))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _print_entry(name: str, about: dict[str, str]) -> None:
    width = max(40, shutil.get_terminal_size().columns)
    print(name)
    for key, text in about.items():
        form = textwrap.TextWrapper(
            width, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
        )
        print(form.fill(f"{key}: {text}"))

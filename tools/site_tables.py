"""Rewrites the tables of the site that follow from the code: `python tools/site_tables.py`.

A table is placed between `<!-- table NAME -->` and `<!-- end of table -->`. A test recomputes each,
so that the site agrees with the code about data, devices and backends.
"""

from __future__ import annotations

import csv
import functools
import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import own_data
import tfzoo  # noqa: F401  registers the tasks and what is limited to some backends
from tfzoo import registry, runner, zoo
from tfzoo.environment import LIMITS
from tfzoo.errors import InputError
from tfzoo.files import write_text
from tfzoo.training.config import DISTRIBUTIONS, PRECISIONS, RunConfig

ROOT = Path(__file__).parent.parent


def weights() -> str:
    """The package weights: size, recipe, licence."""
    lines = ["| name | MB | recipe | licence |", "|---|---|---|---|"]
    for name in zoo.list_models():
        about = zoo.index()[name]
        size = (zoo.WEIGHTS / about["file"]).stat().st_size / 1e6
        lines.append(f"| `{name}` | {size:.2f} | `{about['recipe']}` | {about['licence']} |")
    return "\n".join(lines)


def runs() -> str:
    """What recipes accept as `distribute` and `precision`, grouped by equal values."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in zoo.list_recipes():
        resolved = runner.resolve(name)
        reason = resolved.recipe.one_device(resolved.config)
        devices = f"one device, {reason}" if reason else ", ".join(f"`{d}`" for d in DISTRIBUTIONS)
        precisions = [p for p in PRECISIONS if _taken(resolved.config, p)]
        groups[devices, ", ".join(f"`{p}`" for p in precisions)].append(name)
    lines = ["| recipes | `distribute` | `precision` |", "|---|---|---|"]
    for (devices, precisions), names in groups.items():
        recipes = ", ".join(own_data.short(names, zoo.list_recipes()))
        lines.append(f"| {recipes} | {devices} | {precisions} |")
    return "\n".join(lines)


def _taken(config: RunConfig, precision: str) -> bool:
    try:
        replace(config, precision=precision)
    except InputError:
        return False
    return True


def backends() -> str:
    """What is limited to some Keras backends, and why: all of `LIMITS`."""
    for path in sorted((ROOT / "tfzoo").rglob("*.py")):
        if "@only_on(" in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    groups: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    for place in sorted(LIMITS):
        limit = LIMITS[place]
        groups[limit.backends, limit.why] += [limit.name] if limit.name else _called(place)
    lines = ["| what | works on | why no other |", "|---|---|---|"]
    for (names, why), whats in groups.items():
        listed = ", ".join(dict.fromkeys(whats))
        lines.append(f"| {listed} | {', '.join(f'`{name}`' for name in names)} | {why} |")
    return "\n".join(lines)


def _called(place: str) -> list[str]:
    """Its public names: a function, a class, or the method of each class that has it."""
    module = max((m for m in sys.modules if place.startswith(f"{m}.")), key=len)
    name = place.removeprefix(f"{module}.")
    if "." not in name:
        return [f"`{name}`"]
    owner, method = name.split(".")
    end = "" if method == "__init__" else f".{method}"
    limited = functools.reduce(getattr, (owner, method), sys.modules[module])
    heirs = (c for c in registry.objects.values() if getattr(c, method, None) is limited)
    return sorted(f"`{c.__name__}{end}`" for c in heirs) or [f"`{owner}{end}`"]


def load() -> str:
    """The results of `tfzoo bench serving`: clients, answers and their rate, and latencies."""
    lines = ["| | answers | a second | p50, ms | p99, ms | wrong |", "|---|---|---|---|---|---|"]
    with (ROOT / "results" / "serving" / "bench-results.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            times = (f"{float(row[name]):,.1f}" for name in ("p50_ms", "p99_ms"))
            rate = f"{float(row['a_second']):,.0f}" if row["a_second"] else ""
            cells = (f"{int(row['requests']):,}", rate, *times, row["wrong"])
            lines.append(f"| {' | '.join((row['alternative'], *cells))} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "backends": backends,
    "load": load,
    "own data": own_data.table,
    "runs": runs,
    "weights": weights,
}


def filled(text: str) -> str:
    """A Markdown text with its tables recomputed."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- table {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end of table -->"

    pattern = rf"<!-- table ({'|'.join(TABLES)}) -->.*?<!-- end of table -->"
    return re.sub(pattern, fill, text, flags=re.S)


def texts() -> list[Path]:
    """The pages that have a table."""
    pages = (ROOT / "docs").rglob("*.md")
    return sorted(page for page in pages if "<!-- table " in page.read_text(encoding="utf-8"))


def main() -> None:
    """Rewrites all of them."""
    for path in texts():
        text = path.read_text(encoding="utf-8")
        new = filled(text)
        if new != text:
            write_text(path, new)
            print(f"{path.relative_to(ROOT)}: rewritten")


if __name__ == "__main__":
    main()

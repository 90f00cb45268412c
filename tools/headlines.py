"""Updates the figures of README, the site and the cards from the CSVs: `tools/headlines.py`.

A headline is placed between `<!-- headline METHOD -->` and `<!-- end -->`; each study declares its
own as `HEADLINE`. A study's `AGAINST`, which compares the method with what its user would use
otherwise, is placed after `<!-- against METHOD -->`, and each of its `TABLES` after
`<!-- table METHOD NAME -->`. A test does the same and checks that nothing changes, so that text and
numbers cannot diverge.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import tfzoo  # noqa: F401  registers the studies
from tfzoo import registry
from tfzoo.errors import InputError
from tfzoo.experiments.headline import Across, Compared, Headline, Table, Timed
from tfzoo.files import write_text

ROOT = Path(__file__).parent.parent


Declared = Across | Compared | Headline | Table | Timed


def headlines() -> dict[str, Declared]:
    """All declarations: `headline METHOD`, for some `against METHOD`, `table METHOD NAME`."""
    declared: dict[str, Declared] = {}
    for name in registry.experiments("study"):
        module = sys.modules[registry.get_experiment("study", name).__module__]
        declared[f"headline {name}"] = module.HEADLINE
        if hasattr(module, "AGAINST"):
            declared[f"against {name}"] = module.AGAINST
        for title, table in getattr(module, "TABLES", {}).items():
            declared[f"table {name} {title}"] = table
    return declared


def filled(text: str, known: Mapping[str, Declared], root: Path = ROOT) -> str:
    """A Markdown text with its headlines computed from the CSVs below `root`.

    Raises:
        InputError: the text has a headline of another method, or the CSV is missing.
    """

    def fill(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise InputError(f"{match[1]!r}: must be one of {', '.join(known)}")
        return f"<!-- {match[1]} -->{known[match[1]].text(root)}<!-- end -->"

    pattern = r"<!-- ((?:headline|against|table) [\w ]+) -->.*?<!-- end -->"
    return re.sub(pattern, fill, text, flags=re.S)


def texts(root: Path = ROOT) -> list[Path]:
    """README, the site's pages and the cards."""
    pages = [*(root / "docs").rglob("*.md"), *(root / "tfzoo").glob("*/README.md")]
    return [root / "README.md", *sorted(pages)]


def main() -> None:
    """Updates all of them."""
    known = headlines()
    for path in texts():
        text = path.read_text(encoding="utf-8")
        new = filled(text, known)
        if new != text:
            write_text(path, new)
            print(f"{path.relative_to(ROOT)}: rewritten")


if __name__ == "__main__":
    main()

"""Updates the headlines of README and the cards from the CSVs: `python tools/headlines.py`.

A headline is placed between `<!-- headline METHOD -->` and `<!-- end -->`; each study declares its
own as `HEADLINE`. A test does the same and checks that nothing changes, so that text and numbers
cannot diverge.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import tfzoo  # noqa: F401  registers the studies
from tfzoo import registry
from tfzoo.errors import InputError
from tfzoo.experiments.headline import Headline
from tfzoo.files import write_text

ROOT = Path(__file__).parent.parent


def headlines() -> dict[str, Headline]:
    """The headlines that the studies declare, by method."""
    mains = {name: registry.get_experiment("study", name) for name in registry.experiments("study")}
    return {name: sys.modules[main.__module__].HEADLINE for name, main in mains.items()}


def filled(text: str, known: Mapping[str, Headline], root: Path = ROOT) -> str:
    """A Markdown text with its headlines updated from the CSVs below `root`.

    Raises:
        InputError: the text has a headline of another method, or the CSV is missing.
    """

    def fill(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise InputError(f"headline {match[1]!r}: must be one of {', '.join(known)}")
        return f"<!-- headline {match[1]} -->{known[match[1]].text(root)}<!-- end -->"

    return re.sub(r"<!-- headline (\w+) -->.*?<!-- end -->", fill, text, flags=re.S)


def texts(root: Path = ROOT) -> list[Path]:
    """The paths of README and the cards."""
    return [root / "README.md", *sorted((root / "tfzoo").glob("*/README.md"))]


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

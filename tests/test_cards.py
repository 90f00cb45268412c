"""The model cards: uniform form, every recipe named, and programs that run verbatim."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfzoo
from support import TESTS, declared

CARDS = {
    path.parent.name: path.read_text() for path in Path(tfzoo.__file__).parent.glob("*/README.md")
}
FORM = [
    "The method in ten lines",
    "Using it",
    "Recipes",
    "Results",
    "What is the paper's and what is ours",
    "Limits",
    "Licence",
]


@pytest.mark.parametrize("name", CARDS)
def test_one_form(name):
    card = CARDS[name]
    assert re.findall(r"^## (.*)$", card, re.M) == FORM
    assert re.match(rf"# .*\(`tfzoo\.{name}`\)\n\n.*arXiv:", card, re.S)
    parts = dict(zip(FORM, re.split(r"^## .*$", card, flags=re.M)[1:], strict=True))
    assert parts["Results"].lstrip().startswith("**Headline** of `tfzoo study ")
    assert "**Signatures" in parts["Using it"] and "Apache-2.0" in parts["Licence"]
    named = set().union(*map(_expanded, re.findall(r"`([^`\s]+)`", parts["Recipes"])))
    recipes = {path.stem for path in (TESTS.parent / "configs" / name).glob("*.yaml")}
    assert recipes <= named, f"missing: {sorted(recipes - named)}"


def test_every_method_has_a_card():
    assert set(CARDS) == {path.name for path in (TESTS.parent / "configs").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("name", CARDS)
def test_the_program_runs(name, tmp_path):
    program, *worked = re.findall(r"```python\n(.*?)```", CARDS[name], re.S)
    lines = [line for line in program.splitlines() if line and "import" not in line]
    assert len(lines) <= 12
    strict = [] if declared("CARD_WARNS").get(name) else ["-W", "error::UserWarning"]
    for source in filter(None, (program, declared("CARD_AFTER").get(name), *worked)):
        words = [sys.executable, *strict, "-c", source]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=480)
        assert done.returncode == 0, done.stderr[-2000:]
        if name == "ala" and source is program:
            assert 0 <= float(done.stdout.split()[-1]) < 0.5  # the balanced error that it prints


def _expanded(word: str) -> set[str]:
    """The last parts of the recipes named by a word with braces: `uwac/{a,b}_c`."""
    parts = re.split(r"\{([^}]*)\}", word.rpartition("/")[2])
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return {"".join(choice) for choice in itertools.product(*choices)}

"""The site: links resolve, guides share one form, settings exist, programs run."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfzoo  # noqa: F401  registers the tasks
from support import TESTS
from tfzoo import registry
from tfzoo.config.declaration import hints

ROOT = TESTS.parent
SITE = sorted((ROOT / "docs").rglob("*.md"))
BESIDES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "export/README.md"]
PAGES = [*SITE, *(ROOT / name for name in BESIDES), *ROOT.glob("tfzoo/*/README.md")]
GUIDES = {path.stem: path.read_text() for path in SITE if path.parent.name == "methods"}
del GUIDES["index"]
FORM = ["Ten lines", "How it works", "Settings that matter", "When not to use it", "Results"]
PROGRAMS = {
    f"{page.relative_to(ROOT)} {i}": program
    for page in SITE
    for i, program in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.S))
}
SAYS = {
    "docs/index.md 0": r"\[0 1 2 3 4\]",
    "docs/index.md 1": r"\{'accuracy': ",
    "docs/index.md 2": r"\[\s*0\s*\]",
    "docs/guides/devices.md 0": r"jax \(4, 10\)",
}
"""What the programs print."""


def prose(page):
    """A page without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.S)


def anchors(page):
    """The anchors of a page's headings, as MkDocs and the usual forges generate them."""
    outside = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    titles = re.findall(r"^#+ (.*)$", outside, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = prose(page)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)", text, re.M)
    for target in targets:
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT.resolve()) and file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_method_has_a_guide_and_a_page_of_names():
    assert sorted(GUIDES) == registry.methods()
    for name in registry.methods():
        assert f"::: tfzoo.{name}\n" in (ROOT / "docs" / "api" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", GUIDES)
def test_guides_have_one_form(name):
    assert re.findall(r"^## (.*)$", GUIDES[name], re.M) == FORM
    for section in ("method", "program"):
        assert f'--8<-- "tfzoo/{name}/README.md:{section}"' in GUIDES[name]
    assert len(re.findall(r"^!\[", GUIDES[name], re.M)) == 1
    assert "](../../tfzoo/" in GUIDES[name] and f"](../api/{name}.md)" in GUIDES[name]


@pytest.mark.parametrize("name", GUIDES)
def test_the_settings_of_a_guide_are_keys_of_a_recipe(name):
    section = GUIDES[name].split("## Settings that matter")[1].split("##")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.M)
    tasks = [t for t in registry.tasks() if t.split(".")[0] == name]
    configs = [registry.get_task(task).config_class for task in tasks]
    assert rows
    for key in re.findall(r"`([^`]+)`", " ".join(rows)):
        assert any(_has(config, key.split(".")) for config in configs), key


def _has(config, parts):
    first, *rest = parts
    return first in hints(config) and (not rest or _has(hints(config)[first], rest))


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_runs(name, tmp_path):
    if "jax" in PROGRAMS[name] and importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    scripts = str(Path(sys.executable).parent)
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[name]],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=480,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(SAYS.get(name, ""), done.stdout)

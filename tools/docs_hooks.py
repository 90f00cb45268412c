"""MkDocs hooks that give the site the repository's tree, so that links work in both.

A page of `docs/` links to a card as `../../tfzoo/aft/README.md`, which is right in the repository.
Here every file is given to MkDocs with its path from the repository's root, so that it resolves the
same link; cards, changelog and pictures become part of the site without copies.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent

BESIDES = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "export/README.md",
    "results/**/*.md",
    "results/**/*.png",
    "tfzoo/*/README.md",
)
"""The files outside `docs/` that are part of the site."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replaces a pattern in `nav` by the pages that it names, so that no list names a method."""
    config.nav = [_expanded(entry) for entry in config.nav or []]
    return config


def _expanded(entry: str | dict) -> str | dict:
    if isinstance(entry, str) or not isinstance(pages := next(iter(entry.values())), list):
        return entry
    title, expanded = next(iter(entry)), []
    for page in pages:
        if isinstance(page, str) and "*" in page:
            paths = (str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(page)))
            expanded += [path for path in paths if path not in pages]
        else:
            expanded.append(page)
    return {title: expanded}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Names the files by their paths from the root, and adds those outside `docs/`."""
    site = Files([])
    for file in files:
        if file.src_dir == config.docs_dir:
            file = _file(config, f"docs/{file.src_uri}", file.dest_uri)
        site.append(file)
    for pattern in BESIDES:
        for path in sorted(ROOT.glob(pattern)):
            site.append(_file(config, path.relative_to(ROOT).as_posix()))
    return site


def _file(config: MkDocsConfig, source: str, destination: str | None = None) -> File:
    return File(source, str(ROOT), config.site_dir, config.use_directory_urls, dest_uri=destination)

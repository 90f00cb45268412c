"""The committed figures name their machine in each row, consistent with the JSON."""

import csv
import json
import re

import pytest

from support import TESTS
from tfzoo import registry
from tfzoo.environment import columns

ROOT = TESTS.parent
FILES = sorted((ROOT / "results").glob("*/*-results.csv"))


def test_every_method_has_a_study_and_a_bench():
    studied = {p.parent.name for p in (ROOT / "results").glob("*/*-study.json")}
    benched = {p.parent.name for p in (ROOT / "results").glob("*/bench.json")}
    methods = registry.methods()
    assert methods and set(methods) <= studied & benched
    assert set(methods) <= set(registry.experiments("study")) & set(registry.experiments("bench"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_rows_name_their_environment(path):
    stem = path.name.removesuffix("-results.csv")
    beside = [path.with_name(f"{stem}{end}.json") for end in ("-study", "")]
    machine = next(json.loads(p.read_text()) for p in beside if p.is_file())
    expected = {name: str(value) for name, value in columns(machine).items()}
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows and all(expected.items() <= row.items() for row in rows)
    absolute = re.search(r"(?<![\w.])/\w", f"{path.read_text()} {machine['command']}")
    assert not absolute

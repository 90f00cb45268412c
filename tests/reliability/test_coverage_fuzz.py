"""A short run of the coverage-guided fuzzer on every target; longer ones are run by hand."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from support import TESTS

PROGRAM = TESTS / "reliability" / "coverage_fuzz.py"
TARGETS = re.findall(r'^    "(\w+)": \(', PROGRAM.read_text(), re.MULTILINE)
SECONDS = os.environ.get("FUZZ_SECONDS", "20")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="needs atheris"),
]


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_but_answers(target, tmp_path):
    path = f"{TESTS.parent}:{TESTS}:{TESTS / 'reliability'}"
    words = [sys.executable, PROGRAM, target, f"-max_total_time={SECONDS}", "-timeout=60"]
    words += ["-rss_limit_mb=6000", f"-artifact_prefix={tmp_path}/"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(re.search(r"Done (\d+) runs", done.stderr)[1]) > 0

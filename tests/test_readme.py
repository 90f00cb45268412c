"""README's programs run as they stand there, in a fresh process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import TESTS, slow

PROGRAMS = re.findall(r"```python\n(.*?)```", (TESTS.parent / "README.md").read_text(), re.S)


def test_there_are_three_of_at_most_ten_lines():
    assert len(PROGRAMS) == 3
    for program in PROGRAMS:
        assert len([line for line in program.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("index", [0, slow(1), slow(2)])
def test_the_program_runs(index, tmp_path):
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    words = [sys.executable, "-c", PROGRAMS[index]]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if index == 0:
        assert done.stdout.split("\n")[-2] == "[0 1 2 3 4]"
    if index == 1:
        assert "{'accuracy': " in done.stdout
        assert (tmp_path / "runs/digits/metrics.json").is_file()
    if index == 2:
        assert re.search(r"\[\s*0\s*\]", done.stdout)

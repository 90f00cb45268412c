"""README is short, and its program runs verbatim, in a new process."""

import re
import subprocess
import sys

from support import TESTS

README = (TESTS.parent / "README.md").read_text()


def test_it_is_a_screen_and_a_half_of_lines_that_can_be_read():
    lines = README.splitlines()
    assert len(lines) <= 90
    assert [line for line in lines if len(re.sub(r"\]\([^)]*\)", "]", line)) > 160] == []


def test_the_program_runs(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in program.splitlines() if line.strip()]) <= 10
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n")[-2] == "[0 1 2 3 4]"

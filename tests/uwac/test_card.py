"""The model card's program runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfzoo

CARD = Path(tfzoo.__file__).parent / "uwac" / "README.md"


@pytest.mark.slow
def test_the_cards_program(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", CARD.read_text(), re.S)
    lines = [line for line in program.splitlines() if line and "import" not in line]
    assert len(lines) <= 10
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]

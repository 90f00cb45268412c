"""The model card's program runs as it stands there, and leaves a model that needs no tfzoo."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfzoo

CARD = Path(tfzoo.__file__).parent / "metricopt" / "README.md"


@pytest.mark.slow
def test_the_cards_program(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", CARD.read_text(), re.S)
    lines = [line for line in program.splitlines() if line and "import" not in line]
    assert len(lines) <= 10
    then = (
        "import sys, keras\n"
        "keras.models.load_model('tuned.keras')\n"
        "assert not any(m.split('.')[0] == 'tfzoo' for m in sys.modules)\n"
    )
    for source in (program, then):
        words = [sys.executable, "-W", "error::UserWarning", "-c", source]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]

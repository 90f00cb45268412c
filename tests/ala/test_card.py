"""The model card's program runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import tfzoo

CARD = Path(tfzoo.__file__).parent / "ala" / "README.md"


@pytest.mark.slow
def test_the_cards_program(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", CARD.read_text(), re.S)
    lines = [line for line in program.splitlines() if line and "import" not in line]
    assert len(lines) <= 10
    words = [sys.executable, "-W", "error::UserWarning", "-c", program]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    controller = keras.models.load_model(tmp_path / "controller.keras")
    assert int(controller.written) > 0
    assert 0 <= float(done.stdout.split()[-1]) < 0.5

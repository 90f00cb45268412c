"""`import tfzoo` registers everything and leaves optional and slow packages alone."""

import json
import subprocess
import sys

import pytest

from tfzoo_cli.main import main

LAZY = (
    "omegaconf",
    "tensorflow_probability",
    "tensorflow_datasets",
    "tf_agents",
    "gymnasium",
    "trimesh",
    "skimage",
    "av",
)


def test_import_is_light():
    program = f"import sys, tfzoo; print([m for m in {LAZY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_bench_times_it(tmp_path):
    assert main(["bench", "import", "--rounds", "1", "--output", str(tmp_path)]) == 0
    target, *others = json.loads((tmp_path / "bench.json").read_text())["targets"]
    assert not others and target["bound"] == 0.3 and target["found"] > 0
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 3

"""`import tfzoo` registers everything and leaves optional and slow packages alone."""

import subprocess
import sys

LAZY = ("tensorflow_datasets", "tf_agents", "gymnasium", "trimesh", "skimage", "av")


def test_import_is_light():
    program = f"import sys, tfzoo; print([m for m in {LAZY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[]"

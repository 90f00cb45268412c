"""`tfzoo bench import`: seconds for `import tfzoo` after TensorFlow and Keras.

Each repetition is a new process. Python's garbage collector is off: after TensorFlow's import it
occasionally traverses all of TensorFlow's objects, whatever is imported next.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tfzoo.experiments import bench
from tfzoo.experiments.bench import Result, Target

PROGRAM = """
import gc, time
gc.disable()
start = time.perf_counter()
import tensorflow, keras
middle = time.perf_counter()
import tfzoo
print(middle - start, time.perf_counter() - middle)
"""
MOST = 0.3


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench import` with the arguments `argv`."""
    words = bench.parse(bench.parser("import", __doc__, 7), argv)
    results = {name: Result(name) for name in ("tensorflow and keras", "tfzoo, after them")}
    for _ in range(words.rounds):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
        )
        for result, seconds in zip(results.values(), done.stdout.split(), strict=True):
            result.seconds.append(float(seconds))
    rows = bench.table(results, kind="import")
    took = results["tfzoo, after them"].median
    bench.report("import", rows, [Target("import tfzoo, seconds", took, MOST, False)], words.output)

"""`tfzoo demo`: the whole way from real data to a served request, with a small recipe."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from tfzoo.runner import Resolved

RECIPE = "aft/digits"


def main(output: Path) -> None:
    """Trains, evaluates, saves, exports, serves and queries `aft/digits`.

    Args:
        output: folder for the run directory; a second demo there does not train again.
    """
    import numpy as np

    from tfzoo import runner, serving
    from tfzoo.serving.client import GrpcClient, RestClient

    start = time.monotonic()
    resolved = runner.resolve(RECIPE)
    run = output / "run"
    print(f"1. train {RECIPE} on scikit-learn's 8x8 handwritten digits", flush=True)
    metrics = runner.run_recipe(resolved, run)
    print("2. test metrics: " + ", ".join(f"{k} {v:.4g}" for k, v in metrics.items()))
    print(f"3. Keras model: {run / 'model.keras'}")
    exported = next((run / "export").iterdir())
    print(f"4. SavedModel: {exported}", flush=True)

    image, label = next(iter(_test_digits(resolved)))
    with serving.serve(exported, rest_port=0, grpc_port=0) as server:
        name = server.models[0]
        url = f"http://127.0.0.1:{server.rest_port}"
        print(f"5. served by {server.backend}: {url}/v1/models/{name}")
        print(_picture(image))
        inputs = {"images": image[None]}
        for protocol, client in (
            ("REST", RestClient(url)),
            ("gRPC", GrpcClient(f"127.0.0.1:{server.grpc_port}")),
        ):
            answer = client.predict(name, inputs)
            digit = int(np.ravel(answer["classes"])[0])
            sure = float(np.max(answer["probabilities"]))
            print(f"6. {protocol}: this is a {digit} (probability {sure:.3f}; label {label})")
    print(f"done in {time.monotonic() - start:.0f} s; everything is in {output}")
    print(f"to serve it again: tfzoo serve {exported}")
    print(f"config of the run: {json.dumps(str(run / 'config.yaml'))}")


def _test_digits(resolved: Resolved) -> Iterator[tuple[np.ndarray, int]]:
    from tfzoo import data

    for example in data.builder(resolved.config.data).as_dataset(split="test").take(1):
        yield example["image"].numpy(), int(example["label"])


def _picture(image: np.ndarray) -> str:
    shades = " .:-=+*#%@"
    levels = image[..., 0].astype(int) * (len(shades) - 1) // 16
    return "\n".join("   " + "".join(shades[v] * 2 for v in row) for row in levels)

"""Coverage-guided fuzzing (atheris, libFuzzer) of readers and server: fails on anything but a
response or `InputError`.

    pip install --constraint constraints.txt -e .[fuzz]
    PYTHONPATH=.:tests python tests/reliability/coverage_fuzz.py TARGET -max_total_time=600

Inputs start from valid files. An input that causes a failure is kept as `crash-...`.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import atheris

with atheris.instrument_imports(include=["tfzoo", "omegaconf", "yaml"]):
    import tfzoo
    from tfzoo import runner, zoo
    from tfzoo.data.control import offline_files
    from tfzoo.data.shapes import mesh_files
    from tfzoo.data.tables import arrays
    from tfzoo.data.videos import video_arrays, video_files
    from tfzoo.errors import InputError
    from tfzoo.serving import core, grpc_server, rest
    from tfzoo.serving.config_files import ModelConfig
    from tfzoo.serving.deadline import NEVER
    from tfzoo.serving.errors import RequestFailed
    from tfzoo.serving.options import ServerOptions
    from tfzoo_cli.commands import _read_inputs

import h5py
import keras
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2
from test_fuzz import IMAGES, MESHES, STEPS, VIDEOS
from werkzeug.test import Client

from tfzoo import serving

FOLDER = Path(tempfile.mkdtemp())
LIMIT = 1 << 20
CODES = {200, 400, 404, 413}


def file_target(name, read):
    """Writes the bytes to a file with that name and reads it."""
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)

    def run(data):
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            read(str(path))

    return run


def overrides(data):
    with contextlib.suppress(InputError):
        runner.resolve("aft/digits", data.decode("utf-8", "replace").split("\n"))


def served():
    """A small exported model, as held by both front ends of the server."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    spec, examples = tf.TensorSpec([None, 3], tf.float32), np.eye(4, 3, dtype="float32")
    answer = serving.Signature(lambda x: {"y": model(x)}, {"x": spec}, {"x": examples})
    serving.write(model, {"serving_default": answer}, FOLDER / "dense")
    server = core.Core([ModelConfig("dense", FOLDER / "dense")], ServerOptions(max_bytes=LIMIT))
    server.manager.wait()
    return server


def rest_target():
    client = Client(rest.RestApp(served()))

    def run(data):
        status = client.post("/v1/models/dense:predict", data=data).status_code
        assert status in CODES, status

    return run


def grpc_target():
    front = grpc_server.PredictionService(served())

    def run(data):
        with contextlib.suppress(DecodeError, RequestFailed):
            front.predict(predict_pb2.PredictRequest.FromString(data), NEVER)

    return run


def hdf5():
    held = io.BytesIO()
    with h5py.File(held, "w") as file, np.load(io.BytesIO(STEPS)) as steps:
        for name in steps.files:
            file[name] = steps[name]
    return held.getvalue()


def video():
    path = FOLDER / "seed.mp4"
    video_files.write_video(path, np.zeros((3, 16, 16, 3), "uint8"))
    return path.read_bytes()


def request():
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "dense"
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones((1, 3), "float32")))
    return message.SerializeToString()


YAML = (zoo.recipes_folder() / "aft" / "digits.yaml").read_bytes()
KERAS = (zoo.WEIGHTS / zoo.index()["uwac/pointmass"]["file"]).read_bytes()
REST = json.dumps({"signature_name": "serving_default", "instances": [[1, 2, 3]]}).encode()
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 3 4\nf 1 4 2\nf 2 4 3\n"
TARGETS = {
    "overrides": (lambda: overrides, lambda: b"epochs=3\nmodel.dim=64"),
    "yaml": (lambda: file_target("c.yaml", runner.resolve), lambda: YAML),
    "images": (lambda: file_target("i.npz", arrays.read_splits), lambda: IMAGES),
    "videos": (lambda: file_target("v.npz", video_arrays.read_arrays), lambda: VIDEOS),
    "transitions": (lambda: file_target("t.npz", offline_files.read), lambda: STEPS),
    "hdf5": (lambda: file_target("t.hdf5", offline_files.read), hdf5),
    "meshes": (
        lambda: file_target("m.npz", lambda path: list(mesh_files.read_meshes(path))),
        lambda: MESHES,
    ),
    "obj": (
        lambda: file_target(
            "meshes/a/b.obj", lambda path: list(mesh_files.read_meshes(str(FOLDER / "meshes")))
        ),
        lambda: OBJ,
    ),
    "video": (lambda: file_target("v.mp4", video_files.read_video), video),
    "json": (lambda: file_target("x.json", lambda path: _read_inputs(path, ["x"])), lambda: b"[1]"),
    "keras": (lambda: file_target("m.keras", tfzoo.load), lambda: KERAS),
    "rest": (rest_target, lambda: REST),
    "grpc": (grpc_target, request),
}


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"give one of {', '.join(TARGETS)}, then libFuzzer's options")
    make, seed = TARGETS[sys.argv.pop(1)]
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    (corpus / "seed").write_bytes(seed())
    run = make()
    run(seed())  # a valid input is read
    atheris.Setup([*sys.argv, str(corpus), "-max_len=65536"], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

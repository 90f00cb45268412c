"""Small exported models, and servers of them on loopback."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo import serving
from tfzoo.serving import Signature
from tfzoo.serving.client import GrpcClient, RestClient

WEIGHTS = np.arange(12, dtype="float32").reshape(3, 4) / 10 - 0.5


def dense(factor=1.0):
    """A model with known outputs: `x @ (factor * WEIGHTS)`."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, use_bias=False)])
    model.set_weights([factor * WEIGHTS])
    return model


def signatures(model):
    """One signature of each kind that a caller can meet."""

    def classify(x):
        """Logits, and the largest one."""
        logits = model(x)
        return {"logits": logits, "classes": keras.ops.argmax(logits, axis=-1)}

    def mix(first, second, flag, seed):
        noise = tf.map_fn(
            lambda s: tf.random.stateless_uniform([], [s, 0]), seed, fn_output_signature="float32"
        )
        base = first + tf.cast(second, "float32")[:, None]
        return {"mixed": tf.where(flag[:, None], base, -base), "noise": noise}

    def strings(text):
        return {"upper": tf.strings.upper(text), "raw_bytes": text}

    floats = tf.TensorSpec([None, 3], tf.float32)
    x = np.eye(4, 3, dtype="float32")
    return {
        "serving_default": Signature(classify, {"x": floats}, {"x": x}),
        "logits": Signature(lambda x: {"logits": model(x)}, {"x": floats}, {"x": x}),
        "mix": Signature(
            mix,
            {
                "second": tf.TensorSpec([None], tf.int64),
                "first": tf.TensorSpec([None, None], tf.float32),
                "flag": tf.TensorSpec([None], tf.bool),
                "seed": keras.InputSpec(dtype="int32", shape=(None,)),
            },
            {
                "first": np.ones((4, 2), "float32"),
                "second": np.arange(4),
                "flag": np.array([True, False, True, False]),
                "seed": np.array([1, 2, 3, 4]),
            },
        ),
        "strings": Signature(
            strings,
            {"text": tf.TensorSpec([None], tf.string)},
            {"text": np.array(["a", "b", "c", "d"])},
            xla=False,
        ),
        "small": Signature(
            lambda n: {"n": n}, {"n": tf.TensorSpec([None], tf.uint8)}, {"n": np.arange(4)}
        ),
        "log": Signature(
            lambda x: {"log": tf.math.log(x)},
            {"x": tf.TensorSpec([None], tf.float32)},
            {"x": np.arange(1.0, 5.0)},
        ),
        "decode": Signature(
            lambda text: {"number": tf.strings.to_number(text)},
            {"text": tf.TensorSpec([None], tf.string)},
            {"text": np.array(["1", "2", "3", "4"])},
            xla=False,
        ),
        "total": Signature(
            lambda x: {"total": tf.reduce_sum(x)},
            {"x": floats},
            {"x": x},
            batched=False,
        ),
    }


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A folder of two models; `dense` has versions 1 and 2, the second twice the first."""
    folder = tmp_path_factory.mktemp("models")
    for version in (1, 2):
        model = dense(version)
        serving.write(model, signatures(model), folder / "dense", version=version)
    model = dense(10)
    only = {"serving_default": signatures(model)["logits"]}
    serving.write(model, only, folder / "other")
    return folder


@pytest.fixture(scope="session")
def server(exported):
    with serving.serve(
        exported, rest_port=0, grpc_port=0, backend="in-process", max_bytes=100_000
    ) as server:
        yield server


@pytest.fixture(scope="session")
def url(server):
    return f"http://127.0.0.1:{server.rest_port}"


@pytest.fixture(scope="session")
def rest(url):
    return RestClient(url)


@pytest.fixture(scope="session")
def grpc_client(server):
    with GrpcClient(f"127.0.0.1:{server.grpc_port}") as client:
        yield client


@pytest.fixture(params=["rest", "grpc"])
def client(request, rest, grpc_client):
    return rest if request.param == "rest" else grpc_client

"""A small recipe with dropout and its own data, for tests of the runner."""

import os
import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tfzoo import registry
from tfzoo.data import Datasets, Info, eval_batches, train_stream
from tfzoo.recipe import Recipe
from tfzoo.serving import Signature
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class ToyConfig(RunConfig):
    dropout: float = 0.5
    explode: bool = False


class Pause(keras.callbacks.Callback):
    """Slows steps down, so that a test can hit one."""

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(float(os.environ.get("TOY_PAUSE", 0)))


@registry.task("toy.regression")
class Toy(Recipe):
    config_class = ToyConfig

    def data_info(self, config):
        return Info(32 // config.batch_size, examples=32, shape=(3,))

    def datasets(self, config):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(40, 3)).astype("float32")
        if config.explode:
            x[5] = np.inf
        y = x[:, :1] * 2 + 1
        train = tf.data.Dataset.from_tensor_slices((x[:32], y[:32]))
        test = tf.data.Dataset.from_tensor_slices((x[32:], y[32:]))
        stream = train_stream(train, count=32, batch_size=config.batch_size, seed=config.seed)
        batches = eval_batches(test, batch_size=3)
        return Datasets(stream, batches, batches, self.data_info(config))

    def build(self, config, info):
        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Dense(8, "tanh"),
                keras.layers.Dropout(config.dropout),
                keras.layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.SGD(0.02, momentum=0.9), "mse", metrics=["mae"])
        return model

    def train(self, model, datasets, run):
        run.fit(model, datasets, callbacks=[Pause()])
        return {}

    def evaluate(self, model, datasets, config):
        return {k: float(v) for k, v in model.evaluate(datasets.test, return_dict=True).items()}

    def signatures(self, model, info=None):
        spec = {"x": tf.TensorSpec([None, 3], tf.float32)}
        examples = {"x": np.eye(4, 3, dtype="float32")}
        return {"serving_default": Signature(lambda x: {"y": model(x)}, spec, examples)}

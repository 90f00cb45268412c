"""Small models with known outputs, saved by plain TensorFlow.

    python tests/serving/conformance/serving_models.py FOLDER

writes the models and a `models.config` that serves them under their labels.
"""

import sys
from pathlib import Path

import tensorflow as tf

TEXTS = ("negative", "positive")


class Half(tf.Module):
    """`y = factor * x + 2`, also on examples; and the kinds of tensors that JSON can hold."""

    def __init__(self, factor):
        super().__init__()
        self.factor = tf.Variable(factor, dtype=tf.float32)
        self.bias = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def predict(self, x):
        return {"y": self.factor * x + self.bias}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
    def pairs(self, x):
        return {"sum": tf.reduce_sum(x, axis=1), "product": tf.reduce_prod(x, axis=1)}

    def _parsed(self, inputs):
        features = {"x": tf.io.FixedLenFeature([1], tf.float32)}
        return self.factor * tf.io.parse_example(inputs, features)["x"] + self.bias

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify(self, inputs):
        y = self._parsed(inputs)
        classes = tf.tile(tf.constant([TEXTS]), [tf.shape(y)[0], 1])
        return {"classes": classes, "scores": tf.concat([-y, y], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regress(self, inputs):
        return {"outputs": self._parsed(inputs)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, "whole"),
            tf.TensorSpec([None], tf.bool, "flag"),
            tf.TensorSpec([None], tf.string, "text"),
            tf.TensorSpec([None], tf.float64, "wide"),
        ]
    )
    def kinds(self, whole, flag, text, wide):
        return {"whole": whole, "flag": flag, "text": text, "raw_bytes": text, "wide": wide}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "n")])
    def total(self, n):
        return {"total": tf.reduce_sum(n)}


def write(folder, factor=0.5):
    """Saves one version into a folder."""
    model = Half(factor)
    tf.saved_model.save(
        model,
        str(folder),
        signatures={
            "serving_default": model.predict,
            "pairs": model.pairs,
            "classify": model.classify,
            "regress": model.regress,
            "kinds": model.kinds,
            "total": model.total,
        },
    )


CONFIG = """model_config_list {{
  config {{
    name: "half"
    base_path: "{folder}/half"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    version_labels {{ key: "stable" value: 1 }}
    version_labels {{ key: "canary" value: 2 }}
  }}
}}
"""


def write_all(folder):
    """Writes two versions of one model and the configuration that serves them; returns its path."""
    folder = Path(folder).resolve()
    for version, factor in ((1, 0.5), (2, 1.0)):
        write(folder / "half" / str(version), factor)
    config = folder / "models.config"
    config.write_text(CONFIG.format(folder=folder))
    return config


if __name__ == "__main__":
    print(write_all(sys.argv[1]))

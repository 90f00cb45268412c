"""Writes an export under failure: `python export_child.py DIRECTORY kill|full`."""

import resource
import signal
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from tfzoo import serving
from tfzoo.serving import ExportError, Signature, writer

directory, trouble = sys.argv[1:]
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(512)])
signature = Signature(
    lambda x: {"y": model(x)},
    {"x": tf.TensorSpec([None, 64], tf.float32)},
    {"x": np.ones((4, 64), "float32")},
)

if trouble == "kill":

    def stall(folder):
        print("everything is written, nothing is renamed", flush=True)
        time.sleep(600)

    writer._sync_all = stall
else:  # no file may grow beyond 64 KiB: the weights do not fit
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

try:
    serving.write(model, {"serving_default": signature}, directory)
except ExportError as error:
    sys.exit(f"ExportError: {error}")

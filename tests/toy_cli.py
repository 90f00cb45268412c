"""The command line with the toy recipe registered."""

import os
import sys
import time

import toy  # noqa: F401
from tfzoo_cli.main import main

if os.environ.get("TOY_DEVICES"):
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * int(os.environ["TOY_DEVICES"]),
    )

if os.environ.get("TOY_CLOCK"):
    real = time.time
    time.time = lambda: real() + float(os.environ["TOY_CLOCK"])

sys.exit(main())

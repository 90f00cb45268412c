"""Parts of a run: config, run directory, checkpoints, callbacks, distribution."""

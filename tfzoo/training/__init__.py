"""What a run needs: its config, its directory, checkpoints, callbacks, several devices."""

"""The command `tfzoo`; TensorFlow is loaded only when a command needs it."""

"""The command `tfzoo`; nothing here loads TensorFlow before a command needs it."""

"""The parts of `tfzoo study collegial`."""

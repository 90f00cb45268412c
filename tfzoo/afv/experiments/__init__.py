"""The parts of `tfzoo study afv`."""

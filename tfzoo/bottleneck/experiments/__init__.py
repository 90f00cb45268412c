"""The parts of `tfzoo study bottleneck`."""

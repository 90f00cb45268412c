"""The study and the bench of `tfzoo.bottleneck`, and their parts."""

"""Infinitely wide networks with a finite bottleneck (arXiv:2107.00364)."""

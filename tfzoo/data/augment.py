"""Augmentation of images, a function of (image, seed) alone."""

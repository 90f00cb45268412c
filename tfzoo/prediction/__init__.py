"""Runs a model on a user's files: matches signatures, batches inputs, writes the outputs."""

"""A model asked for a user's files: what takes them, batch by batch, and files of the answers."""

"""The study and the bench of `tfzoo.skipclip`, and their parts."""

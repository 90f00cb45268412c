"""The study and the bench of `tfzoo.collegial`, and their parts."""

"""The study and the bench of `tfzoo.aft`, and their parts."""

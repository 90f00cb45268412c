"""The study and the bench of `tfzoo.sdn`, and their parts."""

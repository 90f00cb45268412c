"""The study and the bench of `tfzoo.afv`, and their parts."""

"""The study and the bench of `tfzoo.ala`, and their parts."""

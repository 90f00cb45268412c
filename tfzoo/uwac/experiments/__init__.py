"""The study and the bench of `tfzoo.uwac`, and their parts."""

"""The study and the bench of `tfzoo.recon3d`, and their parts."""

"""The study and the bench of `tfzoo.metricopt`, and their parts."""

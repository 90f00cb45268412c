"""What `tfzoo study metricopt` runs."""

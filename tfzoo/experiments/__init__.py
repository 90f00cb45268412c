"""What studies and benches of all methods share: grids, statistics, workers, tables, plots."""

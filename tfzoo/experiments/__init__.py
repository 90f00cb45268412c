"""Common parts of all methods' studies and benches: grids, statistics, workers, tables, plots."""

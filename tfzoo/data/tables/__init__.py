"""Rows of numbers: CSV files, arrays, rare classes."""

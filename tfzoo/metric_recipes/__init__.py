"""Recipes that are judged by a black-box metric: data, evaluation and serving."""

"""Common parts of recipes: data, networks, evaluation and signatures."""

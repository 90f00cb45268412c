"""What recipes of several methods share: data, networks, evaluation and signatures."""

"""One example of each shared optimizer."""

from tfzoo.optim import AdamW

CASES = {"AdamW": {"make": lambda: AdamW(0.01, 0.1)}}

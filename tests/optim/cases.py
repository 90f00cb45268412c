"""One example of each shared optimizer."""

from tfzoo.optim import AdamW, MomentumSGD

CASES = {
    "AdamW": {"make": lambda: AdamW(0.01, 0.1)},
    "MomentumSGD": {"make": lambda: MomentumSGD(0.01, 0.9, 0.1)},
}

"""A gradient step of d3rlpy's BEAR, in the environment of d3rlpy, which lacks tfzoo.

Run by `tfzoo bench uwac --d3rlpy PYTHON`. After a line `ready VERSION`, it answers each line of
input with a step and `done`.
"""

from __future__ import annotations

import sys


def main(observations: int, actions: int, width: int, vae: int, batch: int, threads: int) -> None:
    """Takes steps on one batch of random transitions until the input ends."""
    import d3rlpy
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    random, count = np.random.default_rng(0), 2 * batch + 2
    drawn = (
        random.uniform(-1, 1, (count, n)).astype("float32") for n in (observations, actions, 1)
    )
    ends = np.zeros(count)
    ends[-1] = 1
    data = d3rlpy.dataset.MDPDataset(*drawn, ends)
    encoder = d3rlpy.models.VectorEncoderFactory([width, width])
    config = d3rlpy.algos.BEARConfig(
        batch_size=batch,
        actor_encoder_factory=encoder,
        critic_encoder_factory=encoder,
        imitator_encoder_factory=d3rlpy.models.VectorEncoderFactory([vae, vae]),
        warmup_steps=0,
    )
    learner = config.create(device="cpu:0")
    learner.build_with_dataset(data)
    rows = data.sample_transition_batch(batch)
    learner.update(rows)
    print(f"ready {d3rlpy.__version__}", flush=True)
    for _ in sys.stdin:
        learner.update(rows)
        print("done", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

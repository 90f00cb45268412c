"""Memory for preparing and opening a user's file, above the process's start, in bytes, as JSON."""

import json
import sys
import threading
import time

import h5py
import numpy as np
import psutil

from tfzoo import data, runner
from tfzoo.data.control import offline_files
from tfzoo.data.shapes.mesh_solids import mesh_solid
from tfzoo.data.videos import video_files
from tfzoo.errors import InputError

PROCESS = psutil.Process()


class Peak:
    """Peak private memory of this process since entering the block."""

    def __enter__(self):
        self.start = self.most = self.now()
        self.done = threading.Event()
        self.watch = threading.Thread(target=self.look)
        self.watch.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.watch.join()

    def now(self):
        memory = PROCESS.memory_info()
        return memory.rss - memory.shared

    def look(self):
        while not self.done.is_set():
            self.most = max(self.most, self.now())
            time.sleep(0.002)

    @property
    def above(self):
        return self.most - self.start


def main(folder):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (100, 8, 8, 3), dtype=np.uint8)
    np.savez(f"{folder}/small.npz", x=small, y=np.arange(100) % 2)
    count, shape = 1500, (256, 256, 3)  # 281 MiB
    np.savez(
        f"{folder}/large.npz",
        x=np.broadcast_to(rng.integers(0, 256, shape, dtype=np.uint8), (count, *shape)),
        y=np.arange(count) % 2,
    )
    peaks = {"data": count * int(np.prod(shape))}
    for name in ("small", "large"):
        config = data.DataConfig("tfzoo_arrays", folder, f"{folder}/{name}.npz")
        with Peak() as prepared:
            builder = data.builder(config)
        with Peak() as opened:
            stream = data.image_stream(
                builder,
                "train",
                map_fn=lambda x, seed: (x["image"], x["label"]),
                batch_size=4,
                seed=0,
            )
            next(iter(stream.from_step(0)))
        peaks[name] = {"prepared": prepared.above, "opened": opened.above}
    with h5py.File(f"{folder}/a.h5", "w") as file:
        file["rewards"], file["terminals"] = np.zeros(64), np.zeros(64, bool)
        for name in ("observations", "actions"):  # 4 GB declared in 2 KB
            file.create_dataset(name, (200_000_000, 3), "f8", chunks=True)
    with Peak() as declared:
        try:
            offline_files.read(f"{folder}/a.h5")
        except InputError as error:
            peaks["says"] = str(error)
    with Peak() as covered:
        mesh_solid(*slivers(1600))
    peaks |= {"declared": declared.above, "covered": covered.above}
    print(json.dumps(peaks | classified(folder) | played(folder) | recorded(folder)))


def classified(folder):
    """A recipe that holds its images in memory, prepared by `main`."""
    peaks = {}
    for name in ("small", "large"):
        words = ["data.name=tfzoo_arrays", f"data.path={folder}/{name}.npz", "batch_size=4"]
        resolved = runner.resolve("metricopt/digits_mcr", [*words, f"data.data_dir={folder}"])
        with Peak() as opened:
            datasets = resolved.recipe.datasets(resolved.config)
            next(iter(datasets.train.from_step(0)))
        peaks["classified"] = opened.above
    return peaks


def played(folder):
    """A video with varying frames."""
    frames = np.zeros((400, 240, 320, 3), np.uint8)  # 88 MiB
    frames[:, 60:120] = np.arange(400, dtype=np.uint8)[:, None, None, None]
    video_files.write_video(f"{folder}/a.mp4", frames)
    whole = frames.nbytes
    del frames
    with Peak() as read:
        assert len(video_files.read_video(f"{folder}/a.mp4")) == 400
    return {"video": whole, "played": read.above}


def recorded(folder):
    """Transitions from a hundred episodes, each of which is read whole."""
    count, width = 20_000, 1000
    np.savez(
        f"{folder}/t.npz",
        observations=np.broadcast_to(np.arange(width, dtype=np.float32), (count, width)),
        actions=np.zeros((count, 2), np.float32),
        rewards=np.zeros(count, np.float32),
        terminals=np.arange(count) % 200 == 199,
    )
    builder = data.builder(data.DataConfig("tfzoo_transitions", folder, f"{folder}/t.npz"))
    with Peak() as read:
        whole = data.transitions(builder)
    size = sum(array.nbytes for array in whole.arrays().values())
    shard = builder.info.splits["train"].num_bytes
    return {"transitions": size, "shard": shard, "recorded": read.above}


def slivers(count):
    """A cylinder of long, narrow triangles."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    ring = np.stack([0.1 * np.cos(turn), 0.1 * np.sin(turn), np.zeros(count)], -1)
    i = np.arange(count)
    j = (i + 1) % count
    faces = [np.stack([i, j, i + count], -1), np.stack([j, j + count, i + count], -1)]
    return np.concatenate([ring, ring + [0, 0, 1]]), np.concatenate(faces)


if __name__ == "__main__":
    main(sys.argv[1])

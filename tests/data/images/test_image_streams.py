"""Image streams: the same examples from memory and from encoded files."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo import data
from tfzoo.data import memory
from tfzoo.data.images import image_streams


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("digits"))
    return data.builder(data.DataConfig("tfzoo_digits", data_dir=path))


def pair(example, seed):
    return example["image"], example["label"], seed


def epoch(stream, steps):
    batches = list(stream.from_step(0).take(steps).as_numpy_iterator())
    return [np.concatenate(part) for part in zip(*batches, strict=True)]


def rows(images, labels):
    flat = np.concatenate([images.reshape(len(images), -1), labels[:, None]], 1)
    return flat[np.lexsort(flat.T)]


@pytest.mark.parametrize("budget", [2**30, 0], ids=["memory", "files"])
def test_an_epoch_holds_the_split_shuffled(digits, budget, monkeypatch):
    monkeypatch.setattr(image_streams, "IN_MEMORY_BYTES", budget)
    stream = data.image_stream(digits, "train", map_fn=pair, batch_size=21, seed=3)
    assert stream.steps_per_epoch == 57  # 1197 = 57 * 21: nothing is dropped
    images, labels, seeds = epoch(stream, 57)
    assert images.dtype == np.uint8 and len(np.unique(seeds, axis=0)) == 1197
    held = next(data.split(digits, "train").batch(2000).as_numpy_iterator())
    np.testing.assert_array_equal(rows(images, labels), rows(held["image"], held["label"]))
    assert not (labels == held["label"]).all()


def test_only_the_bytes_of_files_pass_the_buffer(digits, monkeypatch):
    monkeypatch.setattr(image_streams, "IN_MEMORY_BYTES", 0)
    seen = {}

    def spy(examples, **keywords):
        seen["spec"], seen["buffer"] = examples.element_spec["image"], keywords["shuffle_buffer"]

    monkeypatch.setattr(image_streams, "train_stream", spy)
    data.image_stream(digits, "train", map_fn=pair, batch_size=21, seed=3)
    assert seen == {"spec": tf.TensorSpec([], tf.string), "buffer": image_streams.SHUFFLE_BUFFER}
    monkeypatch.setattr(memory, "BUFFER_BYTES", 30 * memory.stored_bytes(digits, "train[:50%]"))
    data.image_stream(digits, "train", map_fn=pair, batch_size=21, seed=3)
    assert seen["buffer"] == 30

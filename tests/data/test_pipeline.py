"""Training streams: order, resume, seeds; evaluation batches; byte windows."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from support import command
from tfzoo import data
from tfzoo.data.images import augment
from tfzoo.data.splits import drawn
from tfzoo.errors import InputError

COUNT, BATCH = 23, 4
NUMBERS = {"memory": {}, "buffer": {"shuffle_buffer": 7, "count": COUNT}}


def dataset():
    return tf.data.Dataset.from_tensor_slices(
        {"image": tf.reshape(tf.range(COUNT * 48) % 251, [COUNT, 4, 4, 3]), "id": tf.range(COUNT)}
    )


def augmented(example, seed):
    image = augment.flip(tf.cast(example["image"], tf.uint8), seed)
    image = tf.cast(augment.shift_values(image, seed), tf.float32)
    return image + tf.random.stateless_normal([4, 4, 3], seed), tf.one_hot(example["id"], COUNT)


def stream(kind="memory", **keywords):
    keywords = {"batch_size": BATCH, "seed": 5, **NUMBERS[kind], **keywords}
    return data.train_stream(dataset(), **keywords)


def ids(source, batches, step=0):
    elements = source.from_step(step).take(batches).as_numpy_iterator()
    return np.array([batch["id"] for batch in elements])


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("keywords", [{}, {"steps_per_epoch": 3}, {"repeats": 3}])
def test_a_stream_from_any_step_is_the_rest_of_the_stream(kind, keywords):
    keywords = {"map_fn": augmented, "batch_map_fn": augment.mixup_or_cutmix, **keywords}
    source = stream(kind, **keywords)
    whole = list(source.from_step(0).take(11).as_numpy_iterator())
    for step in (3, 5, 8):
        rest = list(stream(kind, **keywords).from_step(step).take(11 - step).as_numpy_iterator())
        for (x, y), (u, v) in zip(whole[step:], rest, strict=True):
            np.testing.assert_array_equal(x, u)
            np.testing.assert_array_equal(y, v)


@pytest.mark.parametrize("kind", NUMBERS)
def test_an_epoch_sees_each_example_once_in_an_order_of_its_own(kind):
    source = stream(kind)
    assert source.steps_per_epoch == COUNT // BATCH
    epochs = ids(source, 15).reshape(3, -1)
    for epoch in epochs:
        assert len(set(epoch)) == 20  # the incomplete batch is dropped
    assert not (epochs[0] == epochs[1]).all() and not (epochs[1] == epochs[2]).all()
    assert not (epochs[0] == ids(stream(kind, seed=6), 5).ravel()).all()
    assert (epochs == ids(stream(kind), 15).reshape(3, -1)).all()


def test_over_epochs_every_example_comes_first_equally_often():
    source = stream(batch_size=COUNT)
    first = ids(source, 600)[:, 0]
    counts = np.bincount(first, minlength=COUNT)
    expected = 600 / COUNT
    assert ((counts - expected) ** 2 / expected).sum() < 48  # chi-square, 22 degrees, p = 0.001


@pytest.mark.parametrize("kind", NUMBERS)
def test_repeated_augmentation_keeps_the_epochs_length(kind):
    source = stream(kind, repeats=4, map_fn=lambda x, seed: {"id": x["id"], "seed": seed})
    batches = list(source.from_step(0).take(5).as_numpy_iterator())
    assert all(len(set(b["id"])) == 1 for b in batches)  # 4 copies side by side
    assert len({b["id"][0] for b in batches}) == 5
    assert len({tuple(s) for b in batches for s in b["seed"]}) == 20


def test_seeds_differ_by_example_epoch_and_batch():
    source = stream(map_fn=lambda x, seed: seed, batch_map_fn=lambda seeds, seed: (seeds, seed))
    batches = list(source.from_step(0).take(10).as_numpy_iterator())
    assert len({tuple(s) for seeds, _ in batches for s in seeds}) == 40
    assert len({tuple(s) for _, s in batches}) == 10


def test_shapes_are_static_and_the_stream_endless():
    batches = stream(map_fn=augmented).from_step(2)
    assert [s.shape for s in batches.element_spec] == [(BATCH, 4, 4, 3), (BATCH, COUNT)]
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    assert batches.options().deterministic


def test_starting_late_costs_no_mapping_of_what_comes_before():
    calls = []

    def note(example):
        calls.append(int(example))
        return example

    def counted(x, seed):
        return tf.py_function(note, [x["id"]], tf.int32)

    for kind in NUMBERS:
        calls.clear()
        source = stream(kind, map_fn=counted, batch_size=1)
        next(iter(source.from_step(20)))
        assert len(calls) < 20


def test_a_program_ends_while_the_stream_reads_ahead_in_python():
    program = (
        "import time, numpy as np, tensorflow as tf\n"
        "from tfzoo import data\n"
        "def slow(index):\n"
        "    time.sleep(0.05)\n"
        "    return np.float32(index)\n"
        "def read(index, epoch):\n"
        "    x = tf.numpy_function(slow, [index], tf.float32, stateful=False)\n"
        "    return tf.ensure_shape(x, [])\n"
        "stream = data.train_stream(read, count=100, batch_size=2, seed=0).from_step(0)\n"
        "batches = iter(stream)\n"
        "print(next(batches).shape)\n"
    )
    one = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")  # always hung
    status, out, _ = command("-c", program, env=one, timeout=120)
    assert status == 0 and out == "(2,)\n"


def test_refused():
    with pytest.raises(InputError, match="batch_size=24: must be at most 23"):
        stream(batch_size=24)
    with pytest.raises(InputError, match="train split is empty"):
        data.train_stream(dataset().take(0), batch_size=1, seed=0)
    with pytest.raises(ValueError, match="count: must be given"):
        data.train_stream(dataset(), batch_size=1, seed=0, shuffle_buffer=3)
    for count in (22, 24):
        with pytest.raises(ValueError, match=f"count={count}: must be"):
            stream(count=count)
    ragged = tf.data.Dataset.range(1, 4).map(lambda n: tf.zeros(n))
    with pytest.raises(ValueError, match="shuffle_buffer"):
        data.train_stream(ragged, batch_size=1, seed=0)
    with pytest.raises(ValueError, match="step=-1"):
        stream().from_step(-1)


def test_broken_prepared_data(tmp_path):
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(9):
            writer.write(b"record")
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)
    with pytest.raises(InputError, match="prepared data are corrupt"):
        data.train_stream(tf.data.TFRecordDataset(str(path)), batch_size=1, seed=0)


def test_eval_batches_drop_nothing_and_keep_the_order():
    batches = data.eval_batches(dataset(), batch_size=10, map_fn=lambda x: x["id"])
    batches = list(batches.as_numpy_iterator())
    assert [len(b) for b in batches] == [10, 10, 3]
    assert (np.concatenate(batches) == np.arange(COUNT)).all()


TEXT = np.random.default_rng(0).integers(0, 256, 1003, np.uint8)


def test_training_windows_are_slices_at_the_epochs_offset():
    source = data.train_windows(TEXT, length=10, batch_size=9, seed=1)
    assert source.steps_per_epoch == 99 // 9
    offsets = []
    for epoch in range(4):
        starts = []
        for x, y in source.from_step(epoch * 11).take(11).as_numpy_iterator():
            assert x.shape == y.shape == (9, 10) and x.dtype == y.dtype == np.int32
            for a, b in zip(x, y, strict=True):
                windows = np.lib.stride_tricks.sliding_window_view(TEXT, 10)
                start = int(np.flatnonzero((windows == a).all(1))[0])
                assert (TEXT[start + 1 : start + 11] == b).all()
                starts.append(start)
        assert len(set(starts)) == 99
        assert len({s % 10 for s in starts}) == 1
        offsets.append(starts[0] % 10)
    assert len(set(offsets)) > 1


def test_training_windows_resume():
    windows = data.train_windows(TEXT, length=10, batch_size=9, seed=1, steps_per_epoch=4)
    whole = list(windows.from_step(0).take(10).as_numpy_iterator())
    for step in (3, 4, 9):
        rest = list(windows.from_step(step).take(10 - step).as_numpy_iterator())
        assert all((a[0] == b[0]).all() for a, b in zip(whole[step:], rest, strict=True))


@pytest.mark.parametrize("size", [11, 100, 101, 109])
def test_evaluation_windows_predict_each_byte_once(size):
    x, y = zip(*data.byte_windows(TEXT[:size], 10).as_numpy_iterator(), strict=True)
    count = (size - 1) // 10
    assert (np.concatenate(x) == TEXT[: count * 10]).all()
    assert (np.concatenate(y) == TEXT[1 : count * 10 + 1]).all()
    batches = list(data.eval_windows(TEXT[:size], length=10, batch_size=3).as_numpy_iterator())
    assert sum(len(b[0]) for b in batches) == count


def test_too_short_a_text():
    with pytest.raises(InputError, match="has 20 bytes of text: must be at least 21"):
        data.train_windows(TEXT[:20], length=10, batch_size=1, seed=0)
    data.train_windows(TEXT[:21], length=10, batch_size=1, seed=0)
    with pytest.raises(InputError, match="has 10 bytes of text: must be at least 11"):
        data.byte_windows(TEXT[:10], 10)


@pytest.mark.parametrize(
    ("name", "splits", "expected"),
    [
        ("a", "train validation test", ("train", "validation", "test")),
        ("cifar10", "train test", ("train[:98%]", "train[98%:]", "test")),
        ("imagenet2012", "train validation test", ("train[:98%]", "train[98%:]", "validation")),
    ],
)
def test_three_splits(name, splits, expected):
    info = SimpleNamespace(splits=splits.split())
    assert data.three_splits(SimpleNamespace(name=name, info=info)) == expected


def test_drawn_splits_are_disjoint_and_fixed():
    parts = drawn(100, ["validation", "test"])
    assert [len(parts[n]) for n in data.SPLITS] == [80, 10, 10]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(100))
    assert (drawn(100, ["validation", "test"])["test"] == parts["test"]).all()
    assert drawn(2, ["validation", "test"]) is None
    assert [len(drawn(3, ["validation", "test"])[n]) for n in data.SPLITS] == [1, 1, 1]

"""Sets of images: which sets are in which split, and what a batch contains."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data import DataConfig
from tfzoo.data.images.image_sets import fitted, from_arrays, image_sets
from tfzoo.errors import InputError


def sets(counts=(3, 1, 5)):
    """Image i of set s is filled with 10 s + i."""
    owner = np.repeat(np.arange(len(counts)), counts)
    values = np.concatenate([10 * s + np.arange(n) for s, n in enumerate(counts)])
    images = np.broadcast_to(values[:, None, None, None], (len(values), 2, 2, 1)).astype("uint8")
    order = np.random.default_rng(0).permutation(len(values))
    return from_arrays(images[order][np.argsort(owner[order], kind="stable")], np.sort(owner))


def test_a_batch_holds_different_images_of_one_set_each():
    stream = sets().stream(3, batch_size=3, seed=0)
    batch = next(iter(stream.from_step(0)))
    values, mask = batch["images"].numpy()[..., 0, 0, 0], batch["mask"].numpy()
    assert sorted(mask.sum(1)) == [1, 3, 3]
    for row, there in zip(values, mask, strict=True):
        seen = row[there]
        assert len(set(seen)) == len(seen) and len({int(v) // 10 for v in seen}) == 1


def test_streams_start_anywhere_and_follow_the_seed():
    part = sets((4, 4, 4, 4))
    read = lambda stream, at: [b["images"].numpy() for b in stream.from_step(at).take(3)]  # noqa: E731
    whole = read(part.stream(2, batch_size=2, seed=1), 0)
    np.testing.assert_array_equal(read(part.stream(2, batch_size=2, seed=1), 2)[0], whole[2])
    other = read(part.stream(2, batch_size=2, seed=2), 0)
    assert any((a != b).any() for a, b in zip(whole, other, strict=True))


def test_index_names_the_set():
    x, index = next(iter(sets().stream(1, batch_size=3, seed=0, with_index=True).from_step(0)))
    np.testing.assert_array_equal(x["images"].numpy()[:, 0, 0, 0, 0] // 10, index)


def test_arrays_take_the_first_images():
    images, mask = sets().arrays(4)
    np.testing.assert_array_equal(mask.sum(1), [3, 1, 4])
    assert images[1, 1:].max() == 0 and images.shape == (3, 4, 2, 2, 1)
    assert sets().arrays(2, 1)[0].shape == (1, 2, 2, 2, 1)


def npz(path, train, test=None):
    def part(labels, name):
        y = np.repeat(labels, 3)
        x = np.broadcast_to(y[:, None, None, None], (len(y), 4, 4, 1)).astype("uint8")
        return {f"x_{name}": x, f"y_{name}": y}

    arrays = part(np.arange(train), "train")
    if test:
        arrays |= part(np.arange(*test), "test")
    np.savez(path, **arrays)
    return DataConfig(name="tfzoo_arrays", path=str(path))


def labels_of(part):
    return {int(part.read(tf.constant(i)).numpy()[0, 0, 0]) for i in part.starts}


def test_no_set_is_in_two_splits(tmp_path):
    parts = image_sets(npz(tmp_path / "a.npz", 20), 4, 1)
    seen = {name: labels_of(part) for name, part in parts.items()}
    assert sum(map(len, seen.values())) == 20 and len(set.union(*seen.values())) == 20
    assert len(seen["validation"]) == len(seen["test"]) == 2
    assert all((part.counts == 3).all() for part in parts.values())


def test_a_test_split_of_other_sets_stays(tmp_path):
    parts = image_sets(npz(tmp_path / "b.npz", 20, (30, 34)), 4, 1)
    assert labels_of(parts["test"]) == {30, 31, 32, 33}
    assert len(parts["train"]) == 18 and len(parts["validation"]) == 2


def folder(root, people, split=None):
    for i in people:
        where = root / (split or "") / f"p{i}"
        where.mkdir(parents=True)
        for j in range(2):
            image = np.full((6, 5, 3), 10 * i + j, np.uint8)
            (where / f"{j}.png").write_bytes(tf.io.encode_png(image).numpy())
    return DataConfig(name="tfzoo_image_folder", path=str(root))


def test_folders_are_sets(tmp_path):
    parts = image_sets(folder(tmp_path, range(10)), 4, 3)
    assert [len(parts[k]) for k in ("train", "validation", "test")] == [8, 1, 1]
    images, mask = parts["train"].arrays(2)
    assert mask.all() and images.shape == (8, 2, 4, 4, 3)
    np.testing.assert_allclose(images[:, 1] - images[:, 0], 1)


def test_folders_keep_their_splits(tmp_path):
    folder(tmp_path, range(10), "train")
    parts = image_sets(folder(tmp_path, range(20, 23), "test"), 4, 1)
    values = parts["test"].arrays(1)[0][:, 0, 0, 0, 0]
    np.testing.assert_allclose(values, [200, 210, 220], atol=0.5)
    assert len(parts["train"]) == 9


def test_fitted_averages_the_middle():
    image = tf.reshape(tf.range(4 * 6, dtype=tf.float32), [4, 6, 1])
    expected = image.numpy()[:, 1:5].reshape(2, 2, 2, 2, 1).mean((1, 3))
    np.testing.assert_allclose(fitted(image, 2, 1), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"name": "tfzoo_image_folder", "path": "nowhere"}, "folder of folders"),
        ({"name": "tfzoo_pydoc"}, "must have images, or image and label"),
        ({"name": "tfzoo_nothing"}, "must be a TFDS data set"),
    ],
)
def test_refuses(config, says):
    with pytest.raises(InputError, match=says):
        image_sets(DataConfig(**config), 4, 1)


def test_refuses_too_few(tmp_path):
    with pytest.raises(InputError, match="too few to split"):
        image_sets(npz(tmp_path / "c.npz", 2), 4, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no images"):
        image_sets(DataConfig(name="tfzoo_image_folder", path=str(tmp_path / "empty")), 4, 1)


def test_a_folder_is_grey_or_has_colours_whatever_its_files_are(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng, forms = np.random.default_rng(0), ("gif", "webp", "bmp", "png", "jpg")
    for i in range(10):
        (tmp_path / f"set{i}").mkdir()
        for k, form in enumerate(forms):
            pixels = np.kron(rng.integers(0, 256, (2, 2)), np.ones((4 + i, 5 + k)))
            pixels = pixels.astype("uint16") * 257 if form == "png" else pixels.astype("uint8")
            kept = {"lossless": True} if form == "webp" else {}
            image.fromarray(pixels).save(tmp_path / f"set{i}" / f"a.{form}", **kept)
    config = DataConfig("tfzoo_image_folder", path=str(tmp_path))
    parts = image_sets(config, 4)
    assert sorted(len(part) for part in parts.values()) == [1, 1, 8]
    for part in parts.values():
        images, mask = part.arrays(5)
        assert part.shape == (4, 4, 1) and mask.all() and images.std((2, 3, 4)).min() > 0
        assert images.min() >= 0 and images.max() <= 255
    red = np.zeros((9, 9, 3), "uint8") + np.array([200, 0, 0], "uint8")
    image.fromarray(red).save(tmp_path / "set0" / "red.webp")
    assert image_sets(config, 4)["train"].shape == (4, 4, 3)
    assert image_sets(config, 4, 1)["train"].shape == (4, 4, 1)

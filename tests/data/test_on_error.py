"""`data.on_error`: a file that cannot be used is refused by name, or left out and listed."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf

from tfzoo import data
from tfzoo.data import DataConfig
from tfzoo.data.decoding import decode
from tfzoo.data.images.image_sets import image_sets
from tfzoo.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype("uint8")
GREY = PIXELS[..., :1]


def encoded(array, form, mode=None, **options):
    image = pytest.importorskip("PIL.Image").fromarray(array)
    held = io.BytesIO()
    (image.convert(mode) if mode else image).save(held, form, **options)
    return held.getvalue()


@pytest.mark.parametrize(
    ("array", "form", "mode"),
    [
        (PIXELS, "PNG", None),
        (PIXELS, "PNG", "RGBA"),
        (PIXELS, "BMP", None),
        (PIXELS, "GIF", None),
        (PIXELS, "WEBP", None),
        (GREY[..., 0], "PNG", None),
        (GREY[..., 0], "PNG", "LA"),
        (GREY[..., 0], "BMP", None),
        (GREY[..., 0].astype("uint16") * 257, "PNG", None),
        (GREY[..., 0], "JPEG", None),
    ],
)
def test_any_image_is_brought_to_the_channels(array, form, mode):
    content = encoded(array, form, mode, **({"lossless": True} if form == "WEBP" else {}))
    colour, grey = decode(content, 3).numpy(), decode(content, 1).numpy()
    assert colour.shape == (6, 5, 3) and grey.shape == (6, 5, 1)
    gap = 40 if form == "JPEG" else 0
    expected = PIXELS if array.ndim == 3 else np.repeat(GREY, 3, -1)
    assert np.abs(colour.astype(int) - expected).max() <= gap
    expected = tf.image.rgb_to_grayscale(expected).numpy().astype(int)
    assert np.abs(grey - expected).max() <= gap + 1


def broken_images():
    """Name and bytes of each file that is not an image, and its error."""
    whole = {form: encoded(PIXELS, form) for form in ("PNG", "JPEG", "BMP", "WEBP")}
    yield from ((f"cut.{form.lower()}", part[:-20], "") for form, part in whole.items())
    yield "empty.png", b"", "the file is empty"
    yield "text.png", b"no image at all", "Unknown image file format"
    yield (
        "film.webp",
        encoded(PIXELS, "WEBP", save_all=True, append_images=[_turned(PIXELS)]),
        "Animation",
    )
    yield "colours.bmp", encoded(PIXELS, "BMP", "P"), "colour palette"


def _turned(array):
    return pytest.importorskip("PIL.Image").fromarray(array[::-1].copy())


def classes(root, count=8):
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for i in range(count):
            (root / label / f"{i}.png").write_bytes(encoded(PIXELS // 2 + i, "PNG"))
    return root


def test_each_broken_image_is_refused_by_name_and_left_out_on_demand(tmp_path, capsys):
    root, broken = classes(tmp_path / "images"), list(broken_images())
    config = DataConfig("tfzoo_image_folder", str(tmp_path / "tfds"), str(root))
    whole = data.builder(config).info.full_name
    for name, content, reason in broken:
        path = root / "dog" / name.replace(".jpeg", ".jpg")
        path.write_bytes(content)
        for read in (data.builder, lambda c: image_sets(c, 4, 3), lambda c: image_sets(c, 4, 1)):
            with pytest.raises(InputError) as caught:
                read(config)
            said = str(caught.value)
            assert str(path) in said and reason in said and "data.on_error=skip" in said
            assert "\n" not in said and "{{" not in said and len(said) < 400
        path.rename(tmp_path / path.name)
    for name, *_ in broken:
        path = tmp_path / name.replace(".jpeg", ".jpg")
        path.rename(root / "dog" / path.name)
    (root / "cat" / "moves.gif").write_bytes(encoded(PIXELS, "GIF"))
    skip = dataclasses.replace(config, on_error="skip")
    capsys.readouterr()
    builder = data.builder(skip)
    assert builder.info.full_name != whole and builder.builder_config.name.endswith("-skip")
    assert len(builder.info.metadata["skipped"]) == len(broken)
    count = sum(builder.info.splits[name].num_examples for name in data.SPLITS)
    assert count == 17
    again = data.builder(skip)
    assert sum(1 for name in data.SPLITS for _ in data.split(again, name)) == 17
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(lines) == 1 and f"left out {len(broken)} (data.on_error=skip)" in lines[0]
    assert "cut.png" in lines[0] and "empty.png" in lines[0]


def test_sets_without_their_broken_images(tmp_path, capsys):
    for i in range(8):
        folder = classes(tmp_path / "s" / str(i), 2)
    (folder / "cat" / "0.png").write_bytes(b"")
    config = DataConfig("tfzoo_image_folder", str(tmp_path), str(tmp_path / "s"), on_error="skip")
    sets = image_sets(config, 4, 3)
    assert sorted(int(n) for part in sets.values() for n in part.counts) == [1] + [2] * 15
    assert "left out 1" in capsys.readouterr().err
    (folder / "cat" / "1.png").write_bytes(b"")  # identified by size and time: checked again
    assert sum(len(part) for part in image_sets(config, 4, 3).values()) == 15


def test_prepared_without_what_is_now_refused(tmp_path):
    """Until 0.2, videos and meshes were left out without being asked."""
    root = classes(tmp_path / "images")
    config = DataConfig("tfzoo_image_folder", str(tmp_path / "tfds"), str(root))
    builder = data.builder(config)
    with open(f"{builder.data_dir}/metadata.json", "w") as file:
        file.write('{"skipped": {"a.png": "a.png is broken"}}')
    with pytest.raises(InputError, match=r"without 1 that cannot be used.*a.png is broken"):
        data.builder(config)


def test_there_is_nothing_to_leave_out_of_other_data(tmp_path):
    with pytest.raises(InputError, match="data.on_error='skip': must be fail unless name is"):
        data.builder(DataConfig("tfzoo_digits", str(tmp_path), on_error="skip"))
    with pytest.raises(InputError, match="on_error='stop'"):
        DataConfig("tfzoo_digits", on_error="stop")

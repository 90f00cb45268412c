"""A user's files are matched with the signature that takes them, and batched."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfzoo.data.videos import video_files
from tfzoo.errors import InputError
from tfzoo.prediction import inputs

_FILE = io.BytesIO()
Image.fromarray(np.zeros((3, 2), "uint8")).save(_FILE, "png")
PNG = _FILE.getvalue()


def specs(**shapes):
    """Inputs by `name=(dtype, shape)`."""
    return {name: tf.TensorSpec(shape, dtype, name) for name, (dtype, shape) in shapes.items()}


IMAGES = {
    "score": specs(images=("float32", [None, 4, 4, 1])),
    "bytes": specs(encoded=("string", [None])),
    "score_bytes": specs(encoded=("string", [None])),
    "serving_default": specs(images=("float32", [None, 4, 4, 1])),
    "generate": specs(seed=("int32", [None])),
}
TEXT = {
    "serving_default": specs(tokens=("int32", [None, None])),
    "generate": specs(prompt=("int32", [None, None]), length=("int32", [None])),
}
VIDEO = {
    "rank": specs(context=("uint8", [None] * 4 + [3]), future=("uint8", [None] * 4 + [3])),
    "classify": specs(video=("uint8", [None] * 4 + [3])),
}


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.PNG", "below/c.jpg", ".hidden/d.png", "e.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "notes.md").write_text("no input")
    return tmp_path


def names(files):
    return [file.path.name for file in files]


def one(path):
    (file,) = inputs.listed([str(path)])
    return file


def test_folders_patterns_and_paths(folder, monkeypatch):
    assert names(inputs.listed([str(folder)])) == ["a.PNG", "b.png", "c.jpg", "e.gif"]
    assert names(inputs.listed([f"{folder}/**/*.jpg", f"{folder}/?.png"])) == ["c.jpg", "b.png"]
    assert names(inputs.listed([f"{folder}/bel*"])) == ["c.jpg"]
    assert names(inputs.listed([f"{folder}/notes.md"])) == ["notes.md"]
    (folder / "x[1].png").write_bytes(PNG)  # an existing file is not a pattern
    assert names(inputs.listed([f"{folder}/x[1].png"])) == ["x[1].png"]
    monkeypatch.setenv("HOME", str(folder))
    assert names(inputs.listed(["~/b.png"])) == ["b.png"]


@pytest.mark.parametrize("word", ["nothing.png", "*.xyz", "n" * 5000])
def test_what_is_not_there_is_named(folder, word):
    with pytest.raises(InputError, match="no such file"):
        inputs.listed([str(folder / word)])


def test_an_empty_folder_says_what_it_must_hold(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(InputError, match=r"must hold files that end in \.png, .*\.npz"):
        inputs.listed([str(tmp_path)])


def test_files_find_their_signature(tmp_path):
    def chosen(name, signatures):
        return inputs.choose(signatures, [one(tmp_path / name)])

    for name in ("a.png", "a.jpeg", "a.bmp", "a.webp", "a.gif"):
        (tmp_path / name).write_bytes(PNG)
        assert chosen(name, IMAGES) == "bytes"
    assert chosen("a.gif", VIDEO) == "classify"
    (tmp_path / "a.mp4").touch()
    assert chosen("a.mp4", VIDEO) == "classify"
    for name in ("a.txt", "a.py"):
        (tmp_path / name).write_text("print()")
        assert chosen(name, TEXT) == "serving_default"
    np.save(tmp_path / "x.npy", np.zeros((2, 4, 4, 1)))
    np.save(tmp_path / "seed.npy", np.arange(3))
    assert chosen("x.npy", IMAGES) == "serving_default" and chosen("seed.npy", IMAGES) == "generate"
    np.savez(tmp_path / "x.npz", prompt=np.zeros((1, 2), int), length=np.ones(1, int))
    assert chosen("x.npz", TEXT) == "generate"
    (tmp_path / "x.json").write_text(json.dumps({"length": [1], "prompt": [[1, 2]]}))
    assert chosen("x.json", TEXT) == "generate"
    (tmp_path / "list.json").write_text("[[1, 2]]")
    assert chosen("list.json", TEXT) == "serving_default"
    (tmp_path / "b64.json").write_text('[{"b64": "aGk="}]')
    assert chosen("b64.json", IMAGES) == "bytes"


def test_what_does_not_fit_is_told_what_does(folder):
    image, both = one(folder / "b.png"), IMAGES
    with pytest.raises(InputError) as caught:
        inputs.choose(both, [image], "serving_default")
    assert str(caught.value) == (
        f"input '{folder}/b.png': is an image file; serving_default takes images "
        "float32[any, 4, 4, 1]; --signature bytes or score_bytes would take it"
    )
    with pytest.raises(InputError, match=r"a text; serving_default takes .* \(image files\); gen"):
        inputs.choose(
            {k: both[k] for k in ("serving_default", "bytes", "generate")},
            [one(folder / "notes.md")],
        )
    with pytest.raises(InputError, match="--signature='nonsense': must be one of score, bytes"):
        inputs.choose(both, [image], "nonsense")
    with pytest.raises(InputError, match="--signature: must be given, one of score_bytes, more"):
        bytes_ = both["bytes"]
        inputs.choose({"score_bytes": bytes_, "more": bytes_}, [image])
    assert inputs.choose(both, [image], "score_bytes") == "score_bytes"


def test_files_of_two_signatures_are_given_apart(folder):
    np.savez(folder / "x.npz", images=np.zeros((1, 4, 4, 1)))
    files = inputs.listed([str(folder / "b.png"), str(folder / "x.npz")])
    with pytest.raises(InputError, match=r"x.npz': is arrays named images, for .*must be given se"):
        inputs.choose(IMAGES, files)


def test_rows_go_in_batches(tmp_path):
    for i, count in enumerate((2, 4, 1)):
        np.save(tmp_path / f"{i}.npy", np.full((count, 3), i))
    np.save(tmp_path / "3.npy", np.zeros((1, 5)))
    files = inputs.listed([str(tmp_path)])
    batches = list(inputs.batches(files, specs(x=("float32", [None, None])), 3, True))
    assert [x["x"][:, 0].tolist() for _, x in batches] == [[0, 0, 1], [1, 1, 1], [2], [0]]
    assert [x["x"].shape[1] for _, x in batches] == [3, 3, 3, 5]  # of one shape
    owners = [[path.rsplit("/")[-1] for path in paths] for paths, _ in batches]
    assert owners == [["0.npy"] * 2 + ["1.npy"], ["1.npy"] * 3, ["2.npy"], ["3.npy"]]
    whole = list(inputs.batches(files, specs(x=("float32", [None, None])), 3, False))
    assert [len(x["x"]) for _, x in whole] == [2, 4, 1, 1]


def test_large_rows_make_small_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "_ROOM", 100)
    np.save(tmp_path / "x.npy", np.zeros((5, 10), "float32"))  # 40 bytes per row
    batches = inputs.batches([one(tmp_path / "x.npy")], specs(x=("float32", [None, 10])), 32, True)
    assert [len(x["x"]) for _, x in batches] == [2, 2, 1]


def test_an_image_file_arrives_to_the_last_byte(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG + b"\0\0")
    (tmp_path / "b.png").write_bytes(PNG)
    files = inputs.listed([str(tmp_path)])
    ((_, arrays),) = inputs.batches(files, IMAGES["bytes"], 32, True)
    assert arrays["encoded"].tolist() == [PNG + b"\0\0", PNG]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"\x89PNG", "a.png' must be a readable image"),
        ("a.npz", b"PK", "must be an .npz of plain arrays"),
        ("a.npy", b"\x93NUMPY", "must be an .npy of numbers"),
        ("a.json", b"{", "must be JSON"),
        ("b.json", b'{"images": [[1], [2, 3]]}', "b.json: input 'images': lists at depth 1"),
        ("c.json", b'{"images": [[1, 2]]}', r"c.json: input 'images': shape \[1, 2\] must be"),
        ("d.json", b'{"images": []}', r"d.json: input 'images': shape \[0\] must be"),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        file = one(tmp_path / name)
        list(inputs.batches([file], IMAGES[inputs.choose(IMAGES, [file])], 2, True))
    assert "\n" not in str(caught.value)


def test_rows_must_agree(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros((2, 1)), b=np.zeros((3, 1)))
    pair = specs(a=("float32", [None, 1]), b=("float32", [None, 1]))
    with pytest.raises(InputError, match="a has 2, b has 3 rows; must be equal"):
        list(inputs.batches([one(tmp_path / "x.npz")], pair, 2, True))


def test_a_video_is_read_when_its_turn_comes(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype("uint8")
    video_files.write_video(tmp_path / "a.mp4", frames)
    ((_, arrays),) = inputs.batches([one(tmp_path / "a.mp4")], VIDEO["classify"], 2, True)
    assert arrays["video"].shape == (1, 3, 16, 16, 3) and arrays["video"].dtype == np.uint8

"""A folder of videos and one of faces, from files to answers, by the commands a user types."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from support import command
from tfzoo.data.videos import video_files

pytestmark = pytest.mark.slow

FRAMES, HEIGHT, WIDTH = 40, 48, 64


def write_videos(folder):
    """A bright square that moves to the left or to the right: 14 videos of each class."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("to left", "to right")):  # a name with a space
        (folder / name).mkdir(parents=True)
        for i in range(14):
            frames = rng.integers(0, 60, (FRAMES, HEIGHT, WIDTH, 3), dtype="uint8")
            top = int(rng.integers(0, HEIGHT - 16))
            for t in range(FRAMES):
                left = (t if label else FRAMES - 1 - t) + 4
                frames[t, top : top + 16, left : left + 16] = (220, 200, 180)
            video_files.write_video(folder / name / f"{i}.mp4", frames)


def write_faces(folder):
    """24 people, 10 pictures each: an ellipse with two eyes, in the person's colours."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:40j, -1:1:40j]
    for person in range(24):
        (folder / f"person {person}").mkdir(parents=True)
        skin, hair, width = rng.integers(90, 230, 3), rng.integers(0, 90, 3), rng.uniform(0.4, 0.8)
        for i in range(10):
            turn = rng.uniform(-0.2, 0.2)
            face = ((x - turn) / width) ** 2 + y**2 < 0.8
            eyes = (np.abs(np.abs(x - turn) - 0.25) < 0.08) & (np.abs(y + 0.2) < 0.08)
            picture = np.where(face[..., None], skin, hair)
            picture = np.where(eyes[..., None], 20, picture) + rng.normal(0, 6, (40, 40, 1))
            content = tf.io.encode_jpeg(np.clip(picture, 0, 255).astype("uint8")).numpy()
            (folder / f"person {person}" / f"{i}.jpg").write_bytes(content)


def tfzoo(*words):
    """Runs a command that must succeed; returns what it prints."""
    status, out, err = command("-m", "tfzoo_cli", *words, timeout=600)
    assert status == 0, err
    return out


CASES = {
    "skipclip/ut_interaction": (
        write_videos,
        ["data.name=tfzoo_video_folder", "classes=2", "data.held_out=null"]
        + ["epochs=1", "batch_size=8", "finetune.epochs=1", "finetune.batch_size=8"],
    ),
    "sdn/faces": (write_faces, ["epochs=1", "test_size=4"]),
}


@pytest.mark.parametrize("recipe", CASES)
def test_from_files_to_an_answer(recipe, tmp_path):
    write, words = CASES[recipe]
    folder, run, exports = tmp_path / "my files", tmp_path / "run", tmp_path / "exports"
    write(folder)
    tfzoo("train", recipe, f"data.path={folder}", *words, "--no-export", "--run-dir", run)
    trained = json.loads((run / "metrics.json").read_text())
    evaluated = dict(line.rsplit(" ", 1) for line in tfzoo("evaluate", run).splitlines())
    for name, value in trained["test"].items():
        assert float(evaluated[name]) == pytest.approx(value, rel=1e-3, abs=1e-3), name

    tfzoo("export", run, "--output", exports / "mine")
    about = json.loads((exports / "mine" / "1/assets.extra/signatures.json").read_text())
    rng = np.random.default_rng(1)
    for name, signature in about.items():
        inputs = {}
        for key, entry in signature["inputs"].items():
            shape = [size or 2 + i for i, size in enumerate(entry["shape"])]
            inputs[key] = rng.uniform(1, 255, shape).astype(entry["dtype"])  # masks are true
        np.savez(tmp_path / f"{name}.npz", **inputs)
    asked = {name: tmp_path / f"{name}.npz" for name in about}
    local = {n: json.loads(tfzoo("predict", run, f, "--signature", n)) for n, f in asked.items()}

    serve = [sys.executable, "-m", "tfzoo_cli", "serve", str(exports), "--rest_api_port=0"]
    with subprocess.Popen([*serve, "--port=0"], stdout=subprocess.PIPE, text=True) as server:
        try:
            base = re.search(r"REST (http://\S+?)/v1", server.stdout.readline())[1]
            for name, path in asked.items():
                url = f"{base}/v1/models/mine"
                answer = json.loads(tfzoo("predict", url, path, "--signature", name))
                assert local[name].keys() - answer.keys() <= {"labels"}  # a URL has no names
                for key, value in answer.items():
                    np.testing.assert_allclose(value, local[name][key], rtol=1e-3, atol=1e-4)
        finally:
            server.terminate()

"""`tfzoo predict` with local models and a server's."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo import registry, serving
from tfzoo.errors import InputError
from tfzoo.prediction import inputs, models
from tfzoo.recipes.image_signatures import classifier
from tfzoo.serving import Signature
from tfzoo_cli.main import main

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(5):
        content = tf.io.encode_png(RNG.integers(0, 256, (8, 8, 1)).astype("uint8")).numpy()
        (folder / f"{i}.png").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def signatures():
    """Signatures of a classifier, and one that mixes its rows."""
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    total = Signature(
        lambda x: {"total": tf.reduce_sum(x)},
        {"x": tf.TensorSpec([None, 2], tf.float32)},
        {"x": np.ones((4, 2))},
        batched=False,
    )
    return model, {**classifier(model, 8, 1), "total": total}


@pytest.fixture(scope="module")
def url(signatures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    first = serving.write(*signatures, folder / "small")
    shutil.copytree(first, folder / "small" / "2")
    with serving.serve(folder, rest_port=0, grpc_port=0, backend="in-process") as server:
        yield f"http://127.0.0.1:{server.rest_port}/v1/models/small"


def said(capsys, *words):
    status = main(["predict", *map(str, words)])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out) if out else None


def refused(capsys, *words):
    assert main(["predict", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1, err
    return err


def test_a_folder_of_images_is_asked_in_batches_like_one(url, signatures, pictures, capsys):
    answer = said(capsys, url, pictures, "--batch-size", 2)
    assert [name.rsplit("/")[-1] for name in answer["file"]] == [f"{i}.png" for i in range(5)]
    files = [np.array([path.read_bytes()], object) for path in sorted(pictures.iterdir())]
    wanted = [signatures[1]["bytes"](encoded=file)["probabilities"][0] for file in files]
    np.testing.assert_allclose(answer["probabilities"], wanted, rtol=1e-4, atol=1e-9)
    # words after an option, a quoted pattern, a version
    again = said(capsys, f"{url}/versions/1", f"{pictures}/0.png", "--signature", "bytes",
                 f"{pictures}/[1-4].png")  # fmt: skip
    np.testing.assert_allclose(again["probabilities"], wanted, rtol=1e-4, atol=1e-9)


def test_what_does_not_fit_a_served_signature_is_one_line(url, pictures, capsys):
    err = refused(capsys, url, pictures / "0.png", "--signature", "serving_default")
    assert "takes images float32[any, 8, 8, 1]; --signature bytes would take it" in err
    assert "--batch-size=0: must be at least 1" in refused(capsys, url, "x", "--batch-size", 0)
    assert "NAME" in refused(capsys, url.replace("/v1/models", ""), pictures)
    assert "404" in refused(capsys, f"{url}/versions/7", pictures)
    assert "UNAVAILABLE" in refused(capsys, "http://127.0.0.1:9/v1/models/x", pictures)


def test_a_served_signature_that_mixes_rows_gets_files_whole(url, tmp_path, capsys):
    np.savez(tmp_path / "a.npz", x=np.ones((40, 2)))
    np.savez(tmp_path / "b.npz", x=np.ones((1, 2)))
    assert said(capsys, url, tmp_path)["total"] == [80, 2]


def test_a_refused_row_is_named_by_its_file(signatures, tmp_path):
    def whole(x):
        tf.debugging.assert_less(x, 5.0, "too large")
        return {"y": x}

    signature = Signature(whole, {"x": tf.TensorSpec([None], tf.float32)}, {"x": np.zeros(4)})
    model = models.Model("m", {"serving_default": models._local(signature, ())})
    for i, value in enumerate((1, 2, 9)):
        np.save(tmp_path / f"{i}.npy", [value])
    with pytest.raises(InputError, match=r"2\.npy: .*too large"):
        model.answer(inputs.listed([str(tmp_path)]), None, 32, ".json")


def test_a_package_weight_answers_in_a_table_and_makes_no_mesh(pictures, tmp_path, capsys):
    said(capsys, "aft/digits", pictures, "--output", tmp_path / "o.csv")
    lines = (tmp_path / "o.csv").read_text().splitlines()
    assert len(lines) == 6 and lines[0].startswith("file,probabilities_0,")
    err = refused(capsys, "aft/digits", pictures / "0.png", "--output", tmp_path / "o.glb")
    assert "o.glb'" in err and ".npz, .csv, .json, for aft/digits" in err


def test_another_suffix_is_refused_before_work(capsys, tmp_path):
    err = refused(capsys, "no/such", "nothing", "--output", tmp_path / "o.txt")
    assert "must be a name that ends in .npz, .csv, .json, .obj, .ply" in err


class Reconstructor:
    """Echoes its arguments."""

    def reconstruct(self, images, cameras):
        import trimesh

        self.given = images.shape, cameras.shape
        return trimesh.creation.box()


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl", ".off"])
def test_a_mesh_of_images_and_cameras(suffix, tmp_path, monkeypatch, capsys):
    import trimesh

    model, recipe = Reconstructor(), registry.get_task("recon3d.occupancy")()

    class Resolved:
        info = None

    Resolved.recipe = recipe
    monkeypatch.setattr(recipe, "signatures", lambda model, info: {})
    monkeypatch.setattr(models.runner, "open_trained", lambda *_: (model, Resolved))
    images, k = np.zeros((2, 4, 4, 3)), np.stack([np.eye(3)] * 2)
    np.savez(tmp_path / "a.npz", images=images, k=k, r=k, t=np.ones((2, 3)))
    np.savez(tmp_path / "b.npz", images=images[None], cameras=np.ones((1, 2, 3, 7)))
    np.savez(tmp_path / "c.npz", images=np.zeros((3, 2, 4, 4, 3)), cameras=np.ones((3, 2, 3, 7)))
    for name in ("a.npz", "b.npz"):
        target = tmp_path / f"o{suffix}"
        said(capsys, "recon3d/solids", tmp_path / name, "--output", target)
        assert model.given == ((2, 4, 4, 3), (2, 3, 7))
        assert len(trimesh.load(target, force="mesh").faces) == 12
        target.unlink()
    output = ["--output", tmp_path / f"o{suffix}"]
    assert "must show one object" in refused(capsys, "recon3d/solids", tmp_path / "c.npz", *output)
    two = [tmp_path / "a.npz", tmp_path / "b.npz"]
    assert "one .npz or one folder" in refused(capsys, "recon3d/solids", *two, *output)
    assert "has none of transforms.json" in refused(capsys, "recon3d/solids", tmp_path, *output)

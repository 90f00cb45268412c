"""A user's own folder of images: class names and value range are kept from end to end."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo import runner, zoo
from tfzoo.errors import InputError
from tfzoo_cli.main import main

NAMES = ("ape", "bee", "cat")


def write_pixel(path):
    path.write_bytes(tf.io.encode_png(np.zeros((1, 1, 1), "uint8")).numpy())


def picture(label, rng):
    """8-bit pixels whose brightness encodes the class."""
    return np.clip(rng.normal(60 + 70 * label, 20, (8, 8, 1)), 0, 255).astype("uint8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        (root / name).mkdir()
        for i in range(30):
            content = tf.io.encode_png(picture(label, rng)).numpy()
            (root / name / f"{i}.png").write_bytes(content)
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    words = ["data.name=tfzoo_image_folder", f"data.path={folder}", "batch_size=16", "epochs=15"]
    words += ["finetune.steps=8", "finetune.trajectories=2", "finetune.trajectory_steps=10"]
    directory = tmp_path_factory.mktemp("run")
    metrics = runner.run_recipe(runner.resolve("metricopt/digits_mcr", words), directory)
    assert metrics["accuracy"] > 0.8  # without a key for its scale or its classes
    return directory


def test_the_mlp_sees_images_of_the_norm_that_its_rates_are_for(run, folder):
    model = keras.models.load_model(run / "model.keras")
    flat = next(layer for layer in model.layers if isinstance(layer, keras.layers.Flatten))
    files = sorted(folder.rglob("*.png"))
    images = np.stack([tf.io.decode_png(file.read_bytes(), 3).numpy() for file in files])
    seen = keras.Model(model.inputs, flat.output).predict(images.astype("float32"), verbose=0)
    assert np.square(seen).sum(1).mean() == pytest.approx(16, rel=0.2)  # of the training split


def test_the_models_file_says_where_it_comes_from(run, folder):
    about = tfzoo.metadata(run)
    assert tuple(about["info"]["classes"]) == NAMES
    assert (about["info"]["low"], about["info"]["high"]) == (0, 255)
    assert about["recipe"] == "metricopt/digits_mcr" and str(folder) in about["config"]
    keras.models.load_model(run / "model.keras")  # and stays a Keras file
    # a bare file knows its recipe
    model, resolved = runner.open_trained(str(run / "model.keras"))
    assert resolved.info.classes == NAMES
    assert resolved.recipe.signatures(model, resolved.info)["serving_default"].ranges == {
        "images": (0.0, 255.0)
    }


def test_metadata_leave_the_rest_of_a_file_alone(run, tmp_path):
    copy = tmp_path / "copy.keras"
    copy.write_bytes((run / "model.keras").read_bytes())
    zoo.write_metadata(copy, {"recipe": "mine"})
    assert zoo.metadata(copy) == {"recipe": "mine"}
    first, second = (keras.models.load_model(p) for p in (run / "model.keras", copy))
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    (tmp_path / "broken.keras").write_bytes(b"PK")
    with pytest.raises(InputError, match="not a .keras file"):
        zoo.metadata(tmp_path / "broken.keras")


def test_an_export_names_its_classes(run):
    (version,) = (run / "export" / "digits_mcr").glob("[0-9]*")
    assert (version / "assets.extra" / "labels.txt").read_text().split() == list(NAMES)
    says = json.loads((version / "assets.extra" / "signatures.json").read_text())
    assert says["serving_default"]["ranges"] == {"images": [0, 255]}
    assert "from 0 to 255" in says["serving_default"]["description"]
    served = tf.saved_model.load(str(version))
    files = [tf.io.encode_png(picture(i, np.random.default_rng(5))) for i in (2, 0)]
    answer = served.signatures["bytes"](encoded=tf.stack(files))
    np.testing.assert_array_equal(
        answer["labels"].numpy(), [NAMES[i].encode() for i in answer["classes"]]
    )
    assert answer["labels"].numpy().tolist() == [b"cat", b"ape"]


def test_predict_prints_names(run, tmp_path, capsys):
    images = np.repeat(picture(2, np.random.default_rng(1))[None], 3, -1).astype("float32")
    np.savez(tmp_path / "in.npz", images=images)
    assert main(["predict", str(run), str(tmp_path / "in.npz")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["labels"] == ["cat"] and answer["classes"] == [2]


@pytest.mark.parametrize("scale", [1 / 255, 4.0])
def test_input_on_another_scale_is_refused_in_one_line(run, tmp_path, capsys, scale):
    images = np.repeat(picture(1, np.random.default_rng(1))[None], 3, -1) * scale
    np.savez(tmp_path / "in.npz", images=images)
    assert main(["predict", str(run), str(tmp_path / "in.npz")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "input 'images'" in err and "from 0 to 255" in err


def fails(capsys, *words):
    assert main([str(w) for w in words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def test_a_dry_run_looks_at_the_path(tmp_path, capsys):
    for recipe in ("recon3d/meshes", "sdn/faces", "skipclip/ut_interaction", "uwac/transitions"):
        err = fails(capsys, "train", recipe, "data.path=/no/such", "--dry-run")
        assert "/no/such" in err
    for person in range(12):
        (tmp_path / f"p{person}").mkdir()
        for i in range(12):
            write_pixel(tmp_path / f"p{person}" / f"{i}.png")
    small = ["batch_size=4", "image_size=16", "--dry-run"]
    words = ["train", "sdn/faces", f"data.path={tmp_path}", *small]
    err = fails(capsys, *words)  # one of the twelve is for the test
    assert "test_size=" in err and "test sets" in err
    more = [tmp_path / f"q{i}" for i in range(10)]
    for path in more:
        path.mkdir()
        for i in range(20):
            write_pixel(path / f"{i}.png")
    assert main([*words, "test_size=4"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.split("data: ")[1].splitlines()[0])["examples"] == 18
    assert "guessed" not in out


def test_meshes_are_counted_without_being_rendered(tmp_path, capsys):
    for category, count in (("rod", 6), ("cup", 5)):
        (tmp_path / category).mkdir()
        for i in range(count):
            (tmp_path / category / f"{i}.obj").touch()
    words = ["train", "recon3d/meshes", f"data.path={tmp_path}", "batch_size=2", "--dry-run"]
    assert "data.unseen='lamp'" in fails(capsys, *words, "data.unseen=[lamp]")
    assert "batch_size=5: must be" in fails(capsys, *words, "data.unseen=[cup]", "batch_size=5")
    assert main([*words, "data.unseen=[cup]"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.split("data: ")[1].splitlines()[0])["examples"] == 4


def test_what_a_dry_run_guesses_it_calls_a_guess(capsys):
    small = ["model.width=8", "model.bottleneck=4", "model.prior_hidden=[8]", "image_size=32"]
    assert main(["train", "sdn/vggface2", *small, "--dry-run"]) == 0
    assert "guessed" in capsys.readouterr().out

"""Skip-Clip's recipes: motions learn, resume exactly, are served; the paper's on mocked data."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo import data, runner
from tfzoo.data.videos import motions, splits, video_files
from tfzoo.errors import InputError
from tfzoo.skipclip import ActionRecognizer, Clips, SkipClip, readout, streams, training
from tfzoo.skipclip.optim import make_optimizer

FAST = ["deterministic=false", "epochs=1", "model.width=2", "steps_per_epoch=2", "batch_size=4"]
FAST += ["pretext.frames=2", "pretext.futures=2", "pretext.skip=2", "finetune.clips=2"]
FAST += ["augment.resize=28", "augment.size=16", "finetune.epochs=1", "finetune.batch_size=6"]


@pytest.fixture(scope="module")
def few():
    """Motions with two videos per class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motions, "COUNTS", {"train": 24, "validation": 12, "test": 12})
        patch.setattr(motions.TfzooMotions, "VERSION", "8.8.8")
        yield


@pytest.fixture(scope="module")
def run(few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("motions")
    words = ["pretext.rotation_weight=0.1", "pretext.head=conv1x1", "pretext.head_width=3"]
    resolved = runner.resolve("skipclip/motions", [*FAST, *words])
    return folder, runner.run_recipe(resolved, folder)


def test_a_run_leaves_encoder_recognizer_and_figures(run):
    folder, metrics = run
    assert set(metrics) == {
        "accuracy", "clip_accuracy", "loss", "count", "retrieval_1", "pair_accuracy",
    }  # fmt: skip
    assert metrics["count"] == 12 and all(np.isfinite(v) for v in metrics.values())
    pretrained = keras.models.load_model(folder / "pretrained.keras")
    model = keras.models.load_model(folder / "model.keras")
    assert isinstance(pretrained, SkipClip) and isinstance(model, ActionRecognizer)
    for a, b in zip(pretrained.encoder.weights, model.encoder.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert "rotation_accuracy" in (folder / "log-pretrain.csv").read_text()
    assert model.view == (16, 16 / 28)


def test_signatures_take_any_length_and_size(run):
    model, resolved = runner.open_trained(str(run[0]))
    signatures = resolved.recipe.signatures(model)
    assert set(signatures) == {"serving_default", "classify", "rank"}
    rng = np.random.default_rng(0)
    for shape in ((1, 1, 1), (7, 33, 20)):
        video = rng.integers(0, 256, (2, *shape, 3)).astype("uint8")
        answer = signatures["classify"](video=video)
        np.testing.assert_allclose(answer["probabilities"].sum(1), 1, rtol=1e-5)
        assert signatures["serving_default"](video=video)["features"].shape == (2, 8)
        assert signatures["rank"](context=video, future=video)["scores"].shape == (2,)


def test_predict_reads_a_video_file(run, tmp_path, capsys):
    from tfzoo_cli.main import main

    path = tmp_path / "a.mp4"
    video_files.write_video(path, motions.make_video("left", (1,)))
    assert main(["predict", str(run[0]), str(path), "--signature", "classify"]) == 0
    assert "probabilities" in capsys.readouterr().out
    path.write_bytes(b"broken")
    assert main(["predict", str(run[0]), str(path)]) == 2
    assert "cannot be decoded" in capsys.readouterr().err


def test_streams_repeat_by_seed_and_start_at_any_step(few):
    config = runner.resolve("skipclip/motions", FAST).config
    source = splits.open_split(data.builder(config.data), "train", 8)
    view = dataclasses.replace(config.augment, brightness=0.5, shift=1)

    def stream(seed, rotate=True):
        return streams.tuples(
            source, config.pretext.clips, view, rotate=rotate, batch_size=4, seed=seed
        )

    first = [x.numpy() for x, _ in stream(0).from_step(0).take(3)]
    (x, turns), *_ = list(stream(0).from_step(2).take(1))
    np.testing.assert_array_equal(x, first[2])
    assert x.shape == (4, 3, 2, 16, 16, 3) and x.dtype == tf.uint8
    assert set(turns.numpy()) <= {0, 1, 2, 3}
    other = next(iter(stream(1).from_step(0)))[0].numpy()
    assert (other != first[0]).any()
    x, order = next(
        iter(streams.orders(source, config.pretext.clips, view, batch_size=4, seed=0).from_step(0))
    )
    assert x.shape == (4, 3, 2, 16, 16, 3) and order.numpy().max() < 6


def test_few_labels_are_drawn_by_class(few):
    config = runner.resolve("skipclip/motions", FAST).config
    source = splits.open_split(data.builder(config.data), "train", 8)
    one = streams.few(source, 1, 0)
    assert one.count == 12
    assert sorted(int(e["label"]) for e in one.dataset) == list(range(12))


def test_rates_follow_the_schedule():
    def rates(*words):
        words = [f"optimizer.{word}" for word in words]
        config = runner.resolve("skipclip/motions", words).config.optimizer
        rate = make_optimizer(config, steps_per_epoch=10, epochs=4)._learning_rate
        return [float(rate(t)) if callable(rate) else float(rate) for t in (0, 5, 20, 39)]

    assert rates("method=adam", "schedule=constant") == pytest.approx([0.002] * 4)
    cosine = [0.002 * (1 + np.cos(np.pi * t / 40)) / 2 for t in (0, 5, 20, 39)]
    assert rates("method=adam") == pytest.approx(cosine, rel=1e-4)  # as before the key existed
    assert rates("method=sgd", "schedule=cosine") == pytest.approx(cosine, rel=1e-4)
    steps = ["drop_epochs=[2]", "drop_factor=0.5"]
    for method in ("method=adam", "method=sgd"):
        assert rates(method, "schedule=steps", *steps)[:4:3] == pytest.approx([0.002, 0.001])
    warm = rates("method=sgd", "schedule=cosine", "warmup_steps=10")
    assert warm[:2] == pytest.approx([0.0, 0.001]) and warm[2] > warm[3]
    with pytest.raises(InputError, match="optimizer.warmup_steps=3: must be 0 with the schedule"):
        rates("schedule=constant", "warmup_steps=3")
    with pytest.raises(InputError, match="pretext.negatives=12: must be below batch_size=12"):
        words = ["pretext.cross_video_negatives=true", "pretext.negatives=12"]
        runner.resolve("skipclip/motions", words)


def test_far_futures_are_judged_where_videos_are_long_enough():
    class Ranks:
        """A perfect ranker: by the time between two clips, which their pixels encode."""

        def rank(self, context, future):
            middle = [
                tf.reduce_mean(tf.cast(x, tf.float32), [1, 2, 3, 4]) for x in (context, future)
            ]
            return -tf.abs(middle[0] - middle[1])

    clips = np.arange(64, dtype="uint8")[None, :, None, None, None].repeat(28, 2).repeat(28, 3)
    videos = tf.data.Dataset.from_tensors({"video": clips[0].repeat(3, -1)})
    source = splits.VideoSplit(1, 0, False, (28, 28), None, videos)
    config = runner.resolve("skipclip/motions_v2", ["augment.size=28"]).config
    far = Clips(8, 1, 2, training.FAR - 8)
    scores = training.order_scores(Ranks(), source, config, far)
    np.testing.assert_allclose(scores, [[-8, -training.FAR]], atol=0.01)
    short = dataclasses.replace(source, dataset=videos.map(lambda x: {"video": x["video"][:47]}))
    assert not len(training.order_scores(Ranks(), short, config, far))


def test_a_probe_as_a_dense_layer_says_the_same():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    x = rng.normal(size=(60, 5)) + 2 * np.eye(3, 5)[y]
    for keep, classes in ((y < 3, 3), (y < 2, 3)):
        probe = readout.linear_probe((x[keep], y[keep]), (x[keep], y[keep]))
        kernel, bias = readout.as_dense(probe, classes)
        np.testing.assert_array_equal((x @ kernel + bias).argmax(1)[keep], probe.predict(x[keep]))
    order = readout.retrieve(np.array([[1.0, 0.1]]), np.array([[0.0, 1.0], [5.0, 0.0]]))
    np.testing.assert_array_equal(order, [[1, 0]])
    assert readout.recall(order, [7], [7, 8]) == 0 and readout.recall(order, [7], [7, 8], 2) == 1


def test_videos_are_judged_by_the_mean_of_their_clips():
    logits = np.log(np.array([[[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]]))
    metrics = readout.accuracies(logits, np.array([0]))
    assert metrics["accuracy"] == 1 and metrics["clip_accuracy"] == pytest.approx(1 / 3)
    assert metrics["loss"] == pytest.approx(-np.log(1.7 / 3))


class MockedVideos:
    """What the recipe reads from TFDS's `ucf101`: whole videos of JPEG frames of any size."""

    name, data_dir = "ucf101", "nowhere"

    def __init__(self):
        import tensorflow_datasets as tfds

        class Split:
            num_examples, num_bytes = 6, 6_000

        class Info:
            features = tfds.features.FeaturesDict(
                {
                    "video": tfds.features.Video(shape=(None, None, None, 3)),
                    "label": tfds.features.ClassLabel(num_classes=101),
                }
            )
            splits = dict.fromkeys(["train", "test", "train[:90%]", "train[90%:]"], Split)

        self.info = Info()

    def as_dataset(self, split, decoders=None, **keywords):
        assert decoders, "frames are cut out before they are decoded"

        def examples():
            rng = np.random.default_rng(0)
            for i in range(6):
                frames = rng.integers(0, 256, (9 if i else 2, 20, 26, 3)).astype("uint8")
                yield {
                    "video": [tf.io.encode_jpeg(f).numpy() for f in frames],
                    "label": np.int64(i),
                }

        spec = {"video": tf.TensorSpec([None], tf.string), "label": tf.TensorSpec([], tf.int64)}
        return tf.data.Dataset.from_generator(examples, output_signature=spec)


@pytest.mark.slow
def test_the_papers_recipes_train_a_step_on_mocked_data(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "builder", lambda config: MockedVideos())
    small = [*FAST, "model.kind=small", "steps_per_epoch=1", "augment.resize=18", "data.short=drop"]
    first = runner.resolve("skipclip/ucf101_pretrain", small)
    metrics = runner.run_recipe(first, tmp_path / "a", export=False)
    assert "1 of 6 videos of split 'train' have fewer than 6 frames" in capsys.readouterr().err
    assert 0 <= metrics["pair_accuracy"] <= 1 and metrics["count"] == 6
    words = [*small, f"pretext.source={tmp_path / 'a' / 'pretrained.keras'}"]
    second = runner.resolve("skipclip/ucf101", words)
    metrics = runner.run_recipe(second, tmp_path / "b", export=False)
    assert "accuracy" in metrics
    assert keras.models.load_model(tmp_path / "b" / "model.keras").classes == 101


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.kind=c3d", "model.kind='c3d'"),
        ("pretext.kind=jigsaw", "pretext.kind='jigsaw'"),
        ("pretext.margin=0.5", "pretext.margin=0.5"),
        ("pretext.futures=1", "pretext.futures=1"),
        ("pretext.source=a.keras", "pretext.kind='skipclip'"),
        ("augment.size=99", "augment.resize=28"),
        ("finetune.mode=half", "finetune.mode='half'"),
        ("finetune.dropout=1", "finetune.dropout=1"),
        ("optimizer.method=lbfgs", "optimizer.method='lbfgs'"),
        ("data.short=pad", "data.short='pad'"),
        ("optimizer.schedule=linear", "optimizer.schedule='linear'"),
        ("augment.colours=frame", "augment.colours='frame'"),
        ("model.form=torchvision", "model.form='torchvision'"),
    ],
)
def test_values_out_of_range(override, words):
    with pytest.raises(InputError, match=words):
        runner.resolve("skipclip/motions", [override])

"""Videos: motions, files through PyAV, arrays, and the splits made of them."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf

from tfzoo import data
from tfzoo.data import prepare
from tfzoo.data.videos import motions, splits, sweeps, video_files
from tfzoo.data.videos.video_arrays import read_arrays, rows
from tfzoo.errors import InputError

av = pytest.importorskip("av")


def clip(frames=6, height=20, width=24, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (frames, 3, 4, 3)).astype("uint8")
    return small.repeat(-(-height // 3), 1)[:, :height].repeat(width // 4 + 1, 2)[:, :, :width]


def test_decode_equals_pyavs_frames(tmp_path):
    path = tmp_path / "a.mp4"
    video_files.write_video(path, clip(9, 21, 25))
    with av.open(str(path)) as container:
        expected = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    frames = video_files.read_video(path)
    assert frames.shape == (9, 20, 24, 3) and frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, expected)
    assert np.abs(frames.astype(int) - clip(9, 21, 25)[:, :20, :24]).mean() < 20  # it is lossy
    assert video_files.read_video(path, 10).shape == (9, 10, 12, 3)


def test_one_frame_and_bad_files(tmp_path):
    path = tmp_path / "one.avi"
    video_files.write_video(path, clip(1))
    assert video_files.read_video(path).shape == (1, 20, 24, 3)
    for name, content in (("text.mp4", b"no video" * 50), ("empty.mp4", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.*cannot be decoded"):
            video_files.read_video(tmp_path / name)
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), "int16"), "s16", "mono")
        silence.sample_rate = 8000
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    with pytest.raises(InputError, match="holds no video stream"):
        video_files.read_video(tmp_path / "sound.mkv")
    with pytest.raises(InputError, match="no such file"):
        video_files.read_video(tmp_path / "none.mp4")
    with pytest.raises(InputError, match="must be uint8"):
        video_files.write_video(tmp_path / "b.mp4", np.zeros((0, 4, 4, 3), "uint8"))
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".webm", ".mpg", ".mp4"])
def test_a_video_that_decodes_in_part_is_broken(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    video_files.write_video(path, clip(60, 48, 64))
    whole = path.read_bytes()
    assert len(video_files.read_video(path)) == 60
    middle = len(whole) // 2
    noise = np.random.default_rng(0).bytes(400)
    for part in (whole[:middle], whole[: len(whole) * 9 // 10]):
        path.write_bytes(part)
        with pytest.raises(InputError, match=f"a{suffix}.*(damaged|cannot be decoded)"):
            video_files.read_video(path)
    path.write_bytes(whole[:middle] + noise + whole[middle + 400 :])
    with pytest.raises(InputError, match=f"a{suffix}.*(damaged|cannot be decoded)"):
        video_files.read_video(path)


def upright(path, array, degrees, **flips):
    """A file of frames with a display matrix."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("PyAV before 18 writes no display matrix")
        stream.height, stream.width, stream.pix_fmt = *array.shape[1:3], "yuv420p"
        stream.set_display_rotation(degrees, **flips)
        for frame in array:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("degrees", "flips", "shown"),
    [
        (90, {}, lambda x: np.rot90(x, 1, (1, 2))),
        (-90, {}, lambda x: np.rot90(x, -1, (1, 2))),
        (180, {}, lambda x: x[:, ::-1, ::-1]),
        (0, {"hflip": True}, lambda x: x[:, :, ::-1]),
        (90, {"vflip": True}, lambda x: np.rot90(x, 1, (1, 2))[:, ::-1]),
    ],
)
def test_frames_are_upright(tmp_path, degrees, flips, shown):
    corner = np.zeros((2, 32, 48, 3), "uint8")
    corner[:, :8, :16, 0] = 200  # red, at the top left
    corner[:, 24:, :8, 2] = 200  # blue, at the bottom left
    upright(tmp_path / "a.mp4", corner, degrees, **flips)
    frames, expected = video_files.read_video(tmp_path / "a.mp4"), shown(corner)
    assert frames.shape == expected.shape
    assert np.abs(frames.astype(int) - expected).mean() < 4
    small = video_files.read_video(tmp_path / "a.mp4", 16)
    assert small.shape[1:3] == tuple(n // 2 for n in expected.shape[1:3])


def timed(path, levels, milliseconds):
    """A file of plain frames at given times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for level, at in zip(levels, milliseconds, strict=True):
            array = np.full((16, 16, 3), level, "uint8")
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_frames_of_unequal_length_are_taken_by_time(tmp_path):
    path = tmp_path / "a.mkv"
    timed(path, [10, 60, 110, 160, 210], [0, 33, 67, 500, 533])

    def plain(fps):
        return [round(float(x.mean()), -1) for x in video_files.read_video(path, fps=fps)]

    assert plain(None) == [10, 60, 110, 160, 210]
    assert plain(30) == [10, 60, *[110] * 13, 160, 210, 210]
    assert plain(6) == [10, 110, 110, 160]
    timed(path, [10, 60, 110, 160], [0, 33, 67, 100])  # milliseconds of 30 frames a second
    assert plain(30)[:4] == [10, 60, 110, 160] and plain(15)[:2] == [10, 110]
    timed(path, [10, 60], [0, 10**9])
    with pytest.raises(InputError, match="a.mkv.*frame 1 is shown 1e[+]06 s after the first"):
        plain(30)


def test_a_gif_without_its_end_is_broken(tmp_path):
    image = pytest.importorskip("PIL.Image")
    frames = [image.fromarray(frame) for frame in clip(30, 40, 40)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    whole = (tmp_path / "a.gif").read_bytes()
    assert len(video_files.read_video(tmp_path / "a.gif")) == 30
    for share in range(1, 8):
        (tmp_path / "b.gif").write_bytes(whole[: len(whole) * share // 8])
        with pytest.raises(InputError, match="b.gif"):
            video_files.read_video(tmp_path / "b.gif")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for k, name in enumerate(("jump", "run")):
        (root / name).mkdir()
        for i in range(12):
            frames = 3 if i == 5 else 6 + i % 3
            video_files.write_video(root / name / f"{i:02}.avi", clip(frames, seed=100 * k + i))
    for name in ("0a", "0b"):  # more than one, so that training has some for any draw
        (root / "run" / f"{name}.avi").write_bytes(b"broken" * 99)
    return root


def test_a_folder_of_files_skips_by_count(folder, capsys):
    config = splits.VideoDataConfig("tfzoo_video_folder", path=str(folder), short_side=10)
    with pytest.raises(InputError, match=r"0[ab].avi.*cannot be decoded.*data.on_error=skip"):
        data.builder(config)
    config = dataclasses.replace(config, on_error="skip")
    builder = data.builder(config)
    again = data.builder(config)  # the count is kept with the prepared data
    (said,) = (line for line in capsys.readouterr().err.splitlines() if "left out" in line)
    assert "left out 2 (data.on_error=skip)" in said and "0a.avi" in said and "0b.avi" in said
    assert {p[-6:] for p in again.info.metadata["skipped"]} == {"0a.avi", "0b.avi"}
    counts = [builder.info.splits[s].num_examples for s in data.SPLITS]
    assert sum(counts) == 24 and builder.info.features["label"].names == ["jump", "run"]
    parts = [splits.open_split(builder, s, 6) for s in data.SPLITS]
    said = capsys.readouterr().err
    assert sum(p.dropped for p in parts) == 2 and "have fewer than 6 frames" in said
    assert "data.short=drop" in said
    assert sum(p.count for p in parts) == 22
    assert parts[0].size == (10, 12) and parts[0].lookup is not None
    seen = [e["video"].shape for e in parts[0].dataset]
    assert len(seen) == parts[0].count and min(s[0] for s in seen) == 6
    looped = splits.open_split(builder, "train", 6, "loop")
    assert looped.count == counts[0] and looped.dropped == 0
    with pytest.raises(
        InputError, match=r"data.short='error': \d+ of .*fewer than 6.*=drop.*=loop"
    ):
        splits.open_split(builder, "train", 6, "error")
    with pytest.raises(InputError, match=r"data.short='drop': .* than 99 frames.*data.short=loop"):
        splits.open_split(builder, "train", 99)


def test_a_part_of_a_damaged_video_is_used_on_demand(tmp_path, capsys):
    for i in range(11):
        video_files.write_video(tmp_path / f"{i:02}.avi", clip(12, 48, 64, seed=i))
    for cut in ("03.avi", "07.avi"):
        whole = (tmp_path / cut).read_bytes()
        (tmp_path / cut).write_bytes(whole[: len(whole) * 85 // 100])
    (tmp_path / "10.avi").write_bytes(b"broken" * 99)
    config = splits.VideoDataConfig("tfzoo_video_folder", path=str(tmp_path), partial=True)
    with pytest.raises(InputError, match=r"10.avi.*cannot be decoded.*data.on_error=skip"):
        data.builder(config)
    builder = data.builder(dataclasses.replace(config, on_error="skip", fps=12.5))
    said = capsys.readouterr().err.splitlines()
    assert sum("left out 1" in line and "10.avi" in line for line in said) == 1
    (line,) = (line for line in said if "2 are used in part (data.partial=true)" in line)
    assert "03.avi" in line and "07.avi" in line and "uses 3 frames" in line
    lengths = [len(e["video"]) for s in data.SPLITS for e in splits.open_split(builder, s).dataset]
    assert len(lengths) == 10 and sorted(lengths)[2:] == [6] * 8  # 12 frames at 25 a second
    assert 1 <= min(lengths) < 6
    for key, value in (("fps", 5.0), ("partial", True)):
        with pytest.raises(InputError, match=f"{key}=.*unless name is tfzoo_video_folder"):
            splits.VideoDataConfig("tfzoo_motions", **{key: value})


def test_examples_are_the_files_frames(folder):
    config = splits.VideoDataConfig(
        "tfzoo_video_folder", path=str(folder), short_side=None, on_error="skip"
    )
    part = splits.open_split(data.builder(config), "train")
    frames = {p.parent.name: [] for p in folder.glob("*/*.avi")}
    for path in folder.glob("*/[0-9][0-9].avi"):
        frames[path.parent.name].append(video_files.read_video(path).tobytes())
    names = ["jump", "run"]
    for example in part.dataset:
        assert example["video"].numpy().tobytes() in frames[names[int(example["label"])]]


def test_a_folder_without_labels_and_large_ones(tmp_path, monkeypatch):
    for i in range(12):
        video_files.write_video(tmp_path / f"{i}.avi", clip(4, 20 + 2 * (i % 2), seed=i))
    config = splits.VideoDataConfig("tfzoo_video_folder", path=str(tmp_path), short_side=None)
    part = splits.open_split(data.builder(config), "train", 4)
    assert not part.labelled and part.lookup is None  # frames of two sizes
    stream = part.stream(
        batch_size=2, seed=0, map_fn=lambda x, seed: tf.shape(x["video"])
    ).from_step(0)
    assert next(iter(stream)).shape == (2, 4)
    monkeypatch.setattr(splits, "IN_MEMORY_BYTES", 1000)
    assert splits.open_split(data.builder(config), "train", 4).lookup is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: (root / "a").mkdir(), "too few"),
        (lambda root: (root / "note.txt").write_text("x"), "must be one of .mp4"),
        (lambda root: [(root / n).mkdir() for n in ("train", "other")], "'other' beside 'train'"),
    ],
)
def test_other_layouts(tmp_path, make, words):
    make(tmp_path)
    with pytest.raises(InputError, match=words):
        data.builder(splits.VideoDataConfig("tfzoo_video_folder", path=str(tmp_path)))


def arrays(folder, **changes):
    rng = np.random.default_rng(0)
    seq = np.repeat(np.arange(1, 9), 3)
    columns = {"x": rng.integers(0, 256, (24, 4, 6, 6, 3)).astype("uint8"), "y": np.arange(24) % 3}
    columns |= {"seq": seq, "set": 1 + (seq > 4), "classes": np.array(["a", "b", "c"])} | changes
    np.savez(folder / "v.npz", **{k: v for k, v in columns.items() if v is not None})
    return str(folder / "v.npz")


def test_leave_one_sequence_out_stays_within_the_set(tmp_path):
    path = arrays(tmp_path)
    columns = read_arrays(path)
    parts = rows(path, columns, None, 4)
    assert set(columns["seq"][parts["test"]]) == {4} and set(
        columns["seq"][parts["validation"]]
    ) == {1}
    assert set(columns["seq"][parts["train"]]) == {2, 3}
    config = splits.VideoDataConfig("tfzoo_video_arrays", path=path, held_out=4)
    built = data.builder(config)
    part = splits.open_split(built, "test", 4)
    examples = list(part.dataset.as_numpy_iterator())
    np.testing.assert_array_equal([e["video"] for e in examples], columns["x"][9:12])
    assert [e["label"] for e in examples] == [0, 1, 2]
    assert data.builder(splits.VideoDataConfig("tfzoo_video_arrays", path=path)).data_dir != (
        built.data_dir
    )


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"x": np.zeros((24, 4, 6, 6, 3))}, {}, "x is float64"),
        ({"y": np.zeros(3, int)}, {}, "y is int64"),
        ({"seq": None}, {"held_out": 1}, "has no seq"),
        ({}, {"held_out": 77}, "held_out=77"),
        ({}, {"subset": 3}, "subset=3"),
        ({}, {"subset": 1, "held_out": 5}, "held_out=5"),
        ({"classes": np.array(["a"])}, {}, "y has 3 classes"),
    ],
)
def test_wrong_arrays(tmp_path, changes, options, words):
    path = arrays(tmp_path, **changes)
    with pytest.raises(InputError, match=words):
        data.builder(splits.VideoDataConfig("tfzoo_video_arrays", path=path, **options))


@pytest.mark.parametrize(
    ("name", "module"), [("tfzoo_motions", motions), ("tfzoo_motions:2.0.0", sweeps)]
)
def test_motions_are_fixed_and_labelled(name, module, monkeypatch, tmp_path):
    one = module.make_video("left", (1, 2))
    assert one.shape == (module.FRAMES, 28, 28, 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, module.make_video("left", (1, 2)))
    assert (one != module.make_video("left", (1, 3))).any()
    monkeypatch.setattr(module, "COUNTS", {"train": 24, "validation": 12, "test": 12})
    builder = data.builder(splits.VideoDataConfig(name, data_dir=str(tmp_path)))
    assert builder.info.full_name.endswith("1.0.0" if module is motions else "2.0.0")
    assert builder.info.features["label"].names == list(module.MOTIONS)
    part = splits.open_split(builder, "train", module.FRAMES)
    labels = [int(e["label"]) for e in part.dataset]
    assert labels == [i % 12 for i in range(24)]
    assert "tfzoo_motions" in prepare._OURS


def test_new_motions_are_many_of_each_class():
    assert sweeps.COUNTS["train"] >= 4000
    assert all(count % len(sweeps.MOTIONS) == 0 for count in sweeps.COUNTS.values())


def test_a_new_motion_is_one_sweep_that_never_comes_back():
    """The swept quantity is strictly monotonic, the others are constant; played backwards, it is
    the opposite motion."""
    for motion, (name, sense) in sweeps._MOVES.items():
        path = sweeps.sweep(motion, np.random.RandomState(3), sweeps.FRAMES)
        steps = {key: np.diff(path[key]) for key in sweeps.SWEEPS}
        assert (sense * steps.pop(name) > 0).all()
        assert not any(s.any() for s in steps.values())
    for one, other in itertools.pairwise(sweeps.MOTIONS):
        if sweeps._MOVES[one][0] == sweeps._MOVES[other][0]:
            a, b = (sweeps.make_video(m, (3,)) for m in (one, other))
            np.testing.assert_array_equal(a, b[::-1])
    right = sweeps.make_video("right", (4,)).astype(float)
    weight = np.abs(right - np.minimum(right[:1], right[-1:])).sum(-1)  # where the shape is
    centres = (weight.sum(1) @ np.arange(28)) / np.maximum(weight.sum((1, 2)), 1e-9)
    assert centres[48] > centres[16] + 2


def test_new_motions_show_their_progress_and_keep_off_the_border():
    """Pixels alone allow ranking, unlike in the old videos."""

    def ordered(make, names):
        right = []
        for i in range(48):
            video = make(names[i % 12], (5, i), 48).astype("float32")
            away = np.abs(video - video[:1]).mean((1, 2, 3))
            right.append(away[8] < away[40])
        return np.mean(right)

    assert ordered(sweeps.make_video, sweeps.MOTIONS) > 0.95
    assert ordered(motions.make_video, motions.MOTIONS) < 0.7
    for i in range(48):
        video = sweeps.make_video(sweeps.MOTIONS[i % 12], (6, i))
        for edge in (video[:, 0], video[:, -1], video[:, :, 0], video[:, :, -1]):
            np.testing.assert_array_equal(edge, np.broadcast_to(edge[:1], edge.shape))


def test_ground_and_texture_do_not_tell_the_motion():
    """The same seed gives the same background for any motion."""
    videos = [sweeps.make_video(m, (7,)).astype(int) for m in sweeps.MOTIONS]
    still = [(v == v[:1]).all((0, 3)) for v in videos]
    for video, where in zip(videos[1:], still[1:], strict=True):
        both = still[0] & where
        assert both.mean() > 0.3
        differ = (video[0] != videos[0][0]).any(-1) & both
        assert differ.mean() < 0.06  # a static shape where the other one never was


def test_the_motion_is_what_the_class_says():
    """A video of `left` is one of `right` played backwards, and so on, starting at a middle
    frame."""
    for name, other in (("left", "right"), ("up", "down"), ("clockwise", "counterclockwise")):
        a, b = (motions.make_video(m, (3,), 5).astype(int) for m in (name, other))
        np.testing.assert_array_equal(a[0], b[0])
        assert np.abs(a[1] - b[1]).max() > 10
    shift = [motions.make_video(m, (3,), 2, 64).astype(float) for m in ("right", "down")]
    for video, axis in zip(shift, (1, 0), strict=True):
        errors = [np.abs(np.roll(video[0], k, axis) - video[1]).mean() for k in range(-4, 5)]
        assert int(np.argmin(errors)) - 4 in (1, 2)  # moves by 1.3 to 2.5 of 64 pixels


@pytest.mark.slow
@pytest.mark.parametrize("module", [motions, sweeps])
def test_a_single_frame_cannot_solve_motions(module):
    """At a random time, position, angle and size have the same distribution for every motion."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)

    def frames(start, count):
        x, y = [], []
        for i in range(start, start + count):
            video = module.make_video(module.MOTIONS[i % 12], (5, i))
            x.append(video[rng.integers(len(video))][::2, ::2].reshape(-1) / 128 - 1)
            y.append(i % 12)
        return np.array(x), np.array(y)

    train, test = frames(0, 600), frames(600, 360)
    classifier = LogisticRegression(C=0.01, max_iter=200).fit(*train)
    assert classifier.score(*train) > 0.2  # it does fit the training data
    assert classifier.score(*test) < 1 / 12 + 0.06  # chance plus 4 deviations

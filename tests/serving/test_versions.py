"""The life cycle of versions: loading in the background, switching, retrying, forgetting, labels,
unloading."""

import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import InputError
from tfzoo.serving import manager as manager_module
from tfzoo.serving.config_files import Batching, ModelConfig, models_of, read_models
from tfzoo.serving.errors import RequestFailed
from tfzoo.serving.manager import Manager
from tfzoo.serving.options import ServerOptions
from tfzoo.serving.servable import Servable

X = {"x": np.array([1.0, 2.0], "float32")}


class Times(tf.Module):
    """`y = factor * x`."""

    def __init__(self, factor):
        super().__init__()
        self.factor = tf.Variable(float(factor))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False)
    def times(self, x):
        return {"y": self.factor * x}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders of versions whose factors are 1, 2 and 3."""
    folder = tmp_path_factory.mktemp("saved")
    for factor in (1, 2, 3):
        model = Times(factor)
        tf.saved_model.save(model, str(folder / str(factor)), signatures=model.times)
    return folder


@pytest.fixture
def folder(tmp_path, saved):
    (tmp_path / "m").mkdir()
    shutil.copytree(saved / "1", tmp_path / "m" / "1")
    return tmp_path / "m"


def run(models, **options):
    options = {"file_system_poll_wait_seconds": 0.02, "load_retry_interval_micros": 0} | options
    return Manager(models, ServerOptions(**options))


@pytest.fixture
def manager(folder):
    manager = run([ModelConfig("m", folder)])
    manager.wait()
    yield manager
    manager.close()


def factor(manager, **which):
    with manager.use("m", **which) as servable:
        return servable.run("serving_default", X)["y"][0]


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def state(manager, version):
    try:
        return manager.states("m", version)[version].name
    except RequestFailed:
        return None


def test_a_version_that_fails_is_tried_again_when_its_folder_changes(manager, folder, saved):
    (folder / "2").mkdir()
    until(lambda: state(manager, 2) == "END")
    told = manager.states("m", 2)[2]
    assert told.code != "OK" and told.message and "\n" not in told.message
    assert factor(manager) == 1
    shutil.copytree(saved / "2", folder / "2", dirs_exist_ok=True)  # completed
    until(lambda: state(manager, 2) == "AVAILABLE")
    assert factor(manager) == 2
    (folder / "3").mkdir()
    (folder / "3" / "saved_model.pb").write_bytes(b"broken")
    until(lambda: state(manager, 3) == "END")
    shutil.rmtree(folder / "3")  # deleted: no state is kept
    until(lambda: state(manager, 3) is None)
    shutil.copytree(saved / "3", folder / "3")
    until(lambda: state(manager, 3) == "AVAILABLE")
    shutil.rmtree(folder / "3")
    until(lambda: state(manager, 3) == "END")
    assert manager.states("m", 3)[3].code == "OK" and factor(manager) == 2


def test_retries_end_and_wait_longer_and_longer(folder, monkeypatch):
    times = []

    def fail(*arguments):
        times.append(time.monotonic())
        raise ValueError("no")

    monkeypatch.setattr(manager_module, "Servable", fail)
    manager = run(
        [ModelConfig("m", folder)], max_num_load_retries=2, load_retry_interval_micros=100_000
    )
    try:
        with pytest.raises(InputError, match="no version can be loaded: 1: no"):
            manager.wait()
        until(lambda: len(times) == 3)
        time.sleep(0.3)
        assert len(times) == 3
        assert times[1] - times[0] >= 0.1 and times[2] - times[1] >= 0.2
    finally:
        manager.close()


def test_the_old_version_answers_while_the_new_one_loads(manager, folder, saved, monkeypatch):
    begun, go = threading.Event(), threading.Event()
    plain = manager_module.warm_up

    def slow(servable, path):
        begun.set()
        assert go.wait(30)
        return plain(servable, path)

    monkeypatch.setattr(manager_module, "warm_up", slow)
    shutil.copytree(saved / "2", folder / ".tmp")
    (folder / ".tmp").rename(folder / "2")
    assert begun.wait(30)
    assert state(manager, 2) == "LOADING" and factor(manager) == 1
    with pytest.raises(RequestFailed, match=r"Specific\(m, 2\)"):
        factor(manager, version=2)
    go.set()
    until(lambda: state(manager, 2) == "AVAILABLE")
    assert factor(manager) == 2


def test_a_version_in_use_is_not_closed(manager, folder, saved):
    shutil.copytree(saved / "2", folder / "2")
    until(lambda: state(manager, 2) == "AVAILABLE")
    with manager.use("m", 1) as servable:
        shutil.rmtree(folder / "1")
        until(lambda: state(manager, 1) == "UNLOADING")
        assert servable.run("serving_default", X)["y"][0] == 1
        with pytest.raises(RequestFailed, match="not found"):
            factor(manager, version=1)
    until(lambda: state(manager, 1) == "END")


def test_policies_and_labels(folder, saved):
    for number in (2, 3):
        shutil.copytree(saved / str(number), folder / str(number))
    (folder / "4").mkdir()  # does not load
    newest = ModelConfig("m", folder, latest=1)
    manager = run([newest])
    try:
        with pytest.raises(InputError, match="4: "):
            manager.wait()
        shutil.rmtree(folder / "4")
        until(lambda: state(manager, 3) == "AVAILABLE")
        assert state(manager, 1) is None and factor(manager) == 3
        (folder / "4").mkdir()
        until(lambda: state(manager, 4) == "END")
        assert factor(manager) == 3  # an old version is better than none
        labels = {"stable": 1, "canary": 2, "next": 9}
        manager.configure([ModelConfig("m", folder, specific=frozenset({1, 2}), labels=labels)])
        manager.wait()
        assert factor(manager) == 2
        assert [factor(manager, label=name) for name in ("stable", "canary")] == [1, 2]
        for name in ("next", "none"):
            with pytest.raises(RequestFailed, match=f"Unrecognized servable version label: {name}"):
                factor(manager, label=name)
        until(lambda: state(manager, 3) == "END")
        manager.configure([ModelConfig("n", folder, latest=1, specific=frozenset({3}))])
        assert manager.names() == ["n"]
    finally:
        manager.close()


CONFIG = 'model_config_list {{ config {{ name: "m" base_path: "{}" {} }} }}'


def test_the_config_file_is_read_again(folder, saved, tmp_path):
    shutil.copytree(saved / "2", folder / "2")
    path = tmp_path / "models.config"
    path.write_text(CONFIG.format(folder, ""))
    manager = Manager(
        read_models(str(path)),
        ServerOptions(file_system_poll_wait_seconds=0.02, model_config_file_poll_wait_seconds=0.02),
        config_file=str(path),
    )
    try:
        manager.wait()
        assert factor(manager) == 2 and state(manager, 1) is None
        path.write_text(CONFIG.format(folder, "model_version_policy { specific { versions: 1 } }"))
        until(lambda: state(manager, 2) == "END")  # a roll-back
        assert factor(manager) == 1
        path.write_text("nonsense")
        time.sleep(0.1)
        assert factor(manager) == 1
    finally:
        manager.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have a model_config_list"),
        ("model_config_list { config { name: 'm' } }", "base_path"),
        (
            "model_config_list { config { name: 'm' base_path: '/a' } "
            "config { name: 'm' base_path: '/b' } }",
            "twice",
        ),
        (
            "model_config_list { config { name: 'm' base_path: '/a' model_platform: 'jax' } }",
            "must be 'tensorflow'",
        ),
        ("rubbish", "must be ModelServerConfig in text form"),
    ],
)
def test_wrong_config_files(tmp_path, text, words):
    (tmp_path / "c").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_models(str(tmp_path / "c"))
    assert "\n" not in str(caught.value) and "model_config_file" in str(caught.value)


def test_policies_are_those_of_the_proto():
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    def of(policy):
        text = CONFIG.format("/m", policy)
        message = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        return list(models_of(message)[0].wanted({1: "a", 2: "b", 3: "c"}))

    assert of("") == [3]
    assert of("model_version_policy { latest { num_versions: 2 } }") == [3, 2]
    assert of("model_version_policy { all {} }") == [3, 2, 1]
    assert of("model_version_policy { specific { versions: 1 versions: 7 } }") == [1]


def test_models_of_any_making(tmp_path):
    """A TensorFlow 1 graph with a TensorFlow 1 variable."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        weight = tf.compat.v1.get_variable("w", initializer=3.0, use_resource=False)
        y = weight * x
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(
            session, str(tmp_path / "old" / "1"), {"x": x}, {"y": y}
        )
    for joining in (None, Batching()):  # whose variables no batch can capture
        servable = Servable("m", 1, tmp_path / "old" / "1", joining)
        np.testing.assert_array_equal(servable.run("serving_default", X)["y"], [3, 6])
        servable.close()

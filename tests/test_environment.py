"""The machine of a measurement, and which parts work on which backend."""

import sys
from functools import reduce
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest

import tfzoo  # noqa: F401  registers everything
from support import command
from tfzoo import environment
from tfzoo.errors import InputError

TEXTS = {
    "processor\t: 0\nmodel name\t: A B\nflags\t\t: fpu avx avx2\n": "A B, avx2",
    "model name\t: C\nflags\t\t: fpu avx avx2 avx512f avx512bw\n": "C, avx512f",
    "model name\t: D\nflags\t\t: fpu\n": "D",
}


def told(monkeypatch, text):
    real = Path.read_text
    fake = lambda p, *a, **k: text if str(p) == "/proc/cpuinfo" else real(p, *a, **k)  # noqa: E731
    monkeypatch.setattr(Path, "read_text", fake)


@pytest.mark.parametrize("text", TEXTS)
def test_a_processor_is_told_with_its_vectors(monkeypatch, text):
    told(monkeypatch, text)
    assert environment.environment()["processor"] == TEXTS[text]


def test_a_processor_of_another_kind_is_told_by_the_system(monkeypatch):
    told(monkeypatch, "CPU architecture: 8\n")
    monkeypatch.setattr(environment.platform, "processor", lambda: "aarch64")
    assert environment.environment()["processor"] == "aarch64"


def test_the_command_has_no_folder_of_this_machine(monkeypatch):
    words = [
        "bench",
        "x",
        "--output",
        "/tmp/a/b",
        "data.path=/srv/x.npz,/y",
        "http://h/v1",
        "a/b",
    ]
    monkeypatch.setattr(sys, "argv", ["/opt/bin/__main__.py", *words])
    command = environment.environment()["command"]
    assert command == "tfzoo bench x --output b data.path=x.npz,y http://h/v1 a/b"
    monkeypatch.setattr(sys, "argv", ["/opt/newcomer.py"])
    assert environment.environment()["command"] == "newcomer.py"


def test_threads_are_told(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    assert environment.environment()["variables"]["TF_NUM_INTRAOP_THREADS"] == "1"


@pytest.mark.parametrize("place", environment.LIMITS)
def test_what_is_limited_refuses_another_backend_in_one_line(place, monkeypatch):
    module = max((m for m in sys.modules if place.startswith(f"{m}.")), key=len)
    function = reduce(getattr, place.removeprefix(f"{module}.").split("."), sys.modules[module])
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    allowed = " or ".join(environment.LIMITS[place].backends)
    with pytest.raises(
        InputError, match=f"^KERAS_BACKEND='numpy': must be {allowed} for .+, wh.+$"
    ):
        function(SimpleNamespace())


def test_a_refusal_names_the_class_that_was_used(monkeypatch):
    class Base:
        @environment.only_on("tensorflow", "jax", why="which is a toy")
        def fit(self, x):
            return x

    class Model(Base):
        pass

    assert Model().fit(x=3) == 3
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    said = "KERAS_BACKEND='torch': must be tensorflow or jax for Model.fit, which is a toy"
    with pytest.raises(InputError) as error:
        Model().fit(x=3)
    assert str(error.value) == said


@pytest.mark.slow
def test_the_command_line_refuses_another_backend(tmp_path):
    pytest.importorskip("jax")
    words = ("-m", "tfzoo_cli.main", "train", "aft/digits", "--run-dir", tmp_path / "run")
    status, out, err = command(*words, env={"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"})
    assert (status, out) == (2, "") and not (tmp_path / "run").exists()
    assert err.splitlines()[-1].startswith("tfzoo: KERAS_BACKEND='jax': must be tensorflow for rec")
    assert "Traceback" not in err

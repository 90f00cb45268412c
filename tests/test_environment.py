"""What a number was measured on."""

from pathlib import Path

import pytest

from tfzoo import environment

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


def test_threads_are_told(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    assert environment.environment()["variables"]["TF_NUM_INTRAOP_THREADS"] == "1"

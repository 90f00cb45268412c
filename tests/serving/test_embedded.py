"""`export/embedded.c`: a SavedModel in a program without Python."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from support import TESTS
from tfzoo import runner, zoo
from tfzoo.serving.signature import ROWS

SOURCE = TESTS.parent / "export" / "embedded.c"


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Built as described in export/README.md, against the installed package."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    package = Path(tf.__file__).parent
    path = tmp_path_factory.mktemp("embedded") / "embedded"
    libraries = [package / f"libtensorflow_{name}.so.2" for name in ("cc", "framework")]
    words = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", f"-I{package / 'include'}"]
    words += ["-o", path, SOURCE, *libraries, f"-Wl,-rpath,{package}"]
    subprocess.run(words, check=True, timeout=120)
    return path


def ask(program, *words):
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr.strip().split("\n")[-1]


def answers(text):
    """Its output lines as arrays by output name."""
    arrays = {}
    for line in text.splitlines():
        name, shape, values = re.fullmatch(r"(\w+) \[([^]]*)\] ?(.*)", line).groups()
        array = np.array(values.split())
        number = not any(re.search("[A-Za-z]{4}", value) for value in array)
        arrays[name] = (array.astype(float) if number else array).reshape(
            [*map(int, shape.split())]
        )
    return arrays


def given(folder, arrays):
    """Arrays as files, and the arguments that name them."""
    for name, value in arrays.items():
        np.save(folder / f"{name}.npy", value)
    return [f"{name}={folder / name}.npy" for name in arrays]


def test_it_has_at_most_150_lines():
    assert len(SOURCE.read_text().splitlines()) <= 150


def test_it_prints_the_signatures(program, exported):
    status, out, error = ask(program, exported / "dense" / "1")
    assert status == 0, error
    entries = dict(re.findall(r"^(\w+)\n((?:  .*\n)+)", out, re.M))
    assert set(entries) >= {"serving_default", "mix", "strings", "small"}
    assert "  input first float32 [ -1 -1 ]\n" in entries["mix"]
    assert "  input second int64 [ -1 ]\n" in entries["mix"]
    assert "  output upper string [ -1 ]\n" in entries["strings"]


def test_it_answers_by_name(program, exported, tmp_path):
    rows = {
        "first": np.ones((2, 3), "float32"),
        "second": np.array([5, 7], "int64"),
        "flag": np.array([True, False]),
        "seed": np.array([1, 2], "int32"),
    }
    words = given(tmp_path, rows)
    status, out, error = ask(program, exported / "dense" / "1", "mix", *words)
    assert status == 0, error
    np.testing.assert_array_equal(answers(out)["mixed"], [[6.0] * 3, [-8.0] * 3])
    (tmp_path / "text").write_text("abc")
    status, out, _ = ask(program, exported / "dense" / "1", "strings", f"text={tmp_path / 'text'}")
    assert status == 0 and "upper [ 1 ] ABC\n" in out


def test_what_is_wrong_is_one_line(program, exported, tmp_path):
    folder = exported / "dense" / "1"
    [x] = given(tmp_path, {"x": np.ones((1, 3), "float64")})
    np.save(tmp_path / "wide.npy", np.ones((1, 4), "float32"))
    wide = f"x={tmp_path / 'wide.npy'}"
    for words, said in (
        ([tmp_path], "Could not find SavedModel"),
        ([folder, "nonsense"], "nonsense: no such signature"),
        ([folder, "logits"], "x: must be given as NAME=FILE"),
        ([folder, "logits", "x=/nowhere"], "/nowhere: cannot be read"),
        ([folder, "logits", x], "dtype <f8: is not read here"),
        ([folder, "logits", wide, wide], "2 inputs are given: must be 1"),
        ([folder, "logits", wide], "Matrix size-incompatible"),
    ):
        status, out, error = ask(program, *words)
        assert status == 2 and not out and said in error, (words, error)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(zoo.list_models()) - {"ala/controller"}))
def test_every_weights_signatures_equal_keras(program, name, tmp_path):
    model, resolved = runner.open_trained(name)
    version = runner.write_export(model, resolved, tmp_path / "model")
    for key, signature in resolved.recipe.signatures(model, resolved.info).items():
        arrays = signature.examples
        expected = signature(**arrays)
        for row in range(ROWS if signature.batched else 1):
            some = {k: v[row : row + 1] if signature.batched else v for k, v in arrays.items()}
            words = []
            for k, v in some.items():
                path = tmp_path / k
                if v.dtype == object:
                    path.write_bytes(v[0])
                else:
                    np.save(path := tmp_path / f"{k}.npy", v)
                words.append(f"{k}={path}")
            status, out, error = ask(program, version, key, *words)
            assert status == 0, (key, error)
            for output, values in answers(out).items():
                whole = expected[output]
                wanted = whole[row : row + 1] if signature.batched else whole
                if wanted.dtype == object:
                    wanted = np.array([v.decode() for v in wanted.ravel()]).reshape(wanted.shape)
                    np.testing.assert_array_equal(values, wanted, err_msg=key)
                else:
                    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-4, err_msg=key)

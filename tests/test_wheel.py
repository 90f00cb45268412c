"""The wheel: its content, and that it runs without the checkout."""

import os
import zipfile

import pytest

from support import TESTS, command
from tfzoo import registry, zoo

ROOT = TESTS.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    words = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    status, out, err = command("-m", "pip", "--quiet", *words, cwd=folder)
    assert status == 0, out + err
    (wheel,) = folder.glob("tfzoo-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_holds_the_library_and_its_command_alone(unpacked):
    top = {path.name.split("-")[0] for path in unpacked.iterdir()}
    assert top == {"tfzoo", "tfzoo_cli"}
    for package in ("tfzoo", "tfzoo_cli"):
        assert (unpacked / package / "py.typed").is_file()
        wanted = {p.relative_to(ROOT) for p in (ROOT / package).rglob("*.py")}
        assert {p.relative_to(unpacked) for p in (unpacked / package).rglob("*.py")} >= wanted
    recipes = {str(p.relative_to(unpacked / "tfzoo/configs")) for p in unpacked.rglob("*.yaml")}
    assert recipes == {f"{name}.yaml" for name in zoo.list_recipes()}
    weights = {p.name for p in (unpacked / "tfzoo" / "weights").iterdir()}
    assert weights == {p.name for p in zoo.WEIGHTS.iterdir()}
    assert all((unpacked / "tfzoo" / m / "README.md").is_file() for m in registry.methods())


def run(unpacked, folder, *words):
    """A command with the wheel in front of the checkout."""
    program = "import tfzoo_cli.main as m, sys; print(m.__file__); sys.exit(m.main(sys.argv[1:]))"
    environment = {"PYTHONPATH": str(unpacked), "PATH": os.environ["PATH"], "COLUMNS": "0"}
    status, out, err = command("-c", program, *words, cwd=folder, env=environment, timeout=600)
    assert status == 0 and out.startswith(str(unpacked)), (out + err)[-2000:]
    return out


def test_its_command_lists_the_recipes(unpacked, tmp_path):
    lines = run(unpacked, tmp_path, "list").splitlines()[1:]
    assert [line.split()[0] for line in lines] == zoo.list_recipes()
    assert run(unpacked, tmp_path, "train", "aft/digits", "--print-config").count("\n") > 20


@pytest.mark.slow
def test_its_demo(unpacked, tmp_path):
    out = run(unpacked, tmp_path, "demo")
    assert "REST: this is a" in out and "gRPC: this is a" in out
    assert (tmp_path / "tfzoo-demo" / "run" / "metrics.json").is_file()

"""The layers of the code: which module may import which, and which may import TensorFlow.

Imports are read from the sources, including those inside functions and `TYPE_CHECKING` blocks.
"""

import ast
import importlib
import re

import pytest

from support import TESTS
from tfzoo import registry

ROOT = TESTS.parent
METHODS = tuple(p.parent.name for p in sorted((ROOT / "tfzoo").glob("*/recipe.py")))
WINGS = tuple(
    f"data.{p.parent.name}" for p in sorted((ROOT / "tfzoo" / "data").glob("*/__init__.py"))
)
LAYERS = (
    ("errors", "typing"),  # errors and annotations of all rooms
    ("files",),
    ("config", "environment", "_moved"),
    ("registry", "zoo"),
    ("data.common", "layers", "metrics", "optim", "serving", "training"),
    WINGS,
    ("data",),
    ("recipe",),
    ("recipes",),
    ("runner", *METHODS),
    ("experiments", "prediction"),
    tuple(f"{method}.experiments" for method in METHODS),
    ("tfzoo",),
    ("tfzoo_cli", "tools"),
)
"""Rooms, from the ground floor up; a room imports from those below it and from itself alone."""

TENSORFLOW = (
    r"data\..+",  # tf.data, TFDS
    r"serving\..+",  # SavedModels
    r"recipes\..+",  # tf.data pipelines
    r"runner",
    r"training\.(distribute|run|two_player)",  # strategies, tapes
    rf"({'|'.join(METHODS)})\.(recipe|signatures)",  # tf.data pipelines, specs of SavedModels
    r"sdn\.judge_recipe",
    r"aft\.generation",  # loops of a served graph, draws by a seed for each row
    r"afv\.(closed_forms|gradients|noting|readout)",  # tapes, forward mode
    r"ala\.children",  # tapes under vectorized_map, strategies
    r"ala\.experiments\.surface",  # tapes
    r"bottleneck\.dynamics\.(descent|finite)",  # loops with growing arrays, forward mode
    r"bottleneck\.psd_kernels",  # TFP
    r"collegial\.ntk",  # tapes
    r"collegial\.experiments\.descent",
    r"skipclip\.(augment|sampling|streams)",  # tf.data pipelines
    r"uwac\.(agent|environments|online|policy|training)",  # TF-Agents, tf.data
)
"""Modules that may import TensorFlow, or packages based on it, when they are imported."""


def sources():
    """Path by module name, `__init__` of a package as the package."""
    paths = [p for part in ("tfzoo", "tfzoo_cli", "tools") for p in (ROOT / part).rglob("*.py")]
    return {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
        for p in paths
    }


SOURCES = sources()


def run_on_import(node):
    """The nodes of a module that run when it is imported."""
    for child in ast.iter_child_nodes(node):
        late = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        checking = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not late and not checking:
            yield child
            yield from run_on_import(child)


def imported(path, inside=True):
    """Modules that a file imports; with `inside`, also in functions and `TYPE_CHECKING` blocks."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if inside else run_on_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in SOURCES else node.module


GRAPH = {
    name: {other for other in imported(path) if other in SOURCES and other != name}
    for name, path in SOURCES.items()
}


def room(module):
    """The room of a module."""
    top, *rest = module.split(".")
    if top != "tfzoo" or not rest:
        return top
    if rest[0] == "data" and len(rest) > 1:
        wing = f"data.{rest[1]}"
        return wing if wing in WINGS else "data.common"
    if rest[0] in METHODS and rest[1:2] == ["experiments"]:
        return f"{rest[0]}.experiments"
    return rest[0]


FLOORS = {name: floor for floor, rooms in enumerate(LAYERS) for name in rooms}


def test_every_module_lies_in_a_room():
    assert {room(module) for module in SOURCES} == set(FLOORS)


def test_imports_run_downward():
    for module, others in GRAPH.items():
        here = room(module)
        for other in others:
            there = room(other)
            assert here == there or FLOORS[there] < FLOORS[here], f"{module} imports {other}"


def test_no_circle():
    done, open_ = set(), []

    def visit(module):
        if module in done:
            return
        assert module not in open_, " -> ".join([*open_[open_.index(module) :], module])
        open_.append(module)
        for other in sorted(GRAPH[module]):
            visit(other)
        done.add(open_.pop())

    for module in GRAPH:
        visit(module)


def test_the_ground_floor_is_small():
    assert len([p for p in (ROOT / "tfzoo").glob("*.py") if p.name != "__init__.py"]) <= 10


@pytest.mark.parametrize("method", METHODS)
def test_methods_have_the_same_rooms(method):
    files = {p.name for p in (ROOT / "tfzoo" / method).iterdir()}
    assert {"__init__.py", "config.py", "recipe.py", "README.md"} <= files
    experiments = {p.name for p in (ROOT / "tfzoo" / method / "experiments").iterdir()}
    assert {"__init__.py", "study.py", "bench.py"} <= experiments
    assert method in registry.methods()


HEAVY = ("tensorflow", "tensorflow_probability", "tensorflow_datasets", "tf_agents")


def test_tensorflow_is_imported_in_its_rooms_alone():
    allowed = re.compile(rf"tfzoo\.({'|'.join(TENSORFLOW)})")
    for module, path in SOURCES.items():
        heavy = [name for name in imported(path, False) if name.split(".")[0] in HEAVY]
        assert not heavy or allowed.fullmatch(module), f"{module} imports {heavy[0]}"


def test_every_tensorflow_room_is_one():
    needed = {
        module.removeprefix("tfzoo.")
        for module, path in SOURCES.items()
        if any(name.split(".")[0] in HEAVY for name in imported(path, False))
    }
    for pattern in TENSORFLOW:
        assert any(re.fullmatch(pattern, module) for module in needed), pattern


def test_the_command_line_imports_nothing_of_tfzoo_at_first():
    for module, path in SOURCES.items():
        if room(module) == "tfzoo_cli":
            first = {name.split(".")[0] for name in imported(path, False)}
            assert not first & {"tfzoo", "numpy", "keras", *HEAVY}, module


def references():
    """The strings "module:name" in the sources, which are not imports."""
    texts = set()
    for path in SOURCES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(r"tfzoo(_cli)?(\.\w+)*:\w+", text):
                texts.add(text)
    return sorted(texts)


def test_there_are_references():
    assert len(references()) >= 3 * len(METHODS)


@pytest.mark.parametrize("reference", references())
def test_what_a_string_refers_to_is_there(reference):
    module, name = reference.split(":")
    names = vars(importlib.import_module(module))
    if name.endswith("_"):  # the beginning of an f-string
        values = [value for key, value in names.items() if key.startswith(name)]
    else:
        values = [names[name]]
    assert values and all(callable(value) for value in values)


def test_the_data_that_prepare_knows_are_there():
    from tfzoo.data import register

    register()


def test_no_file_is_left_behind():
    """Folders without modules, as left by a move."""
    for folder in (ROOT / "tfzoo").rglob("*"):
        if folder.is_dir() and folder.name not in ("__pycache__", "weights"):
            assert any(folder.rglob("*.py")), folder


@pytest.mark.parametrize("part", ["tfzoo", "tfzoo_cli", "tests", "tools"])
def test_names_say_what_a_value_is(part):
    vague, bound = {"found", "made"}, []
    for path in sorted((ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Name(id=name, ctx=ast.Store()) if name in vague:
                    bound.append(f"{path.relative_to(ROOT)}:{node.lineno}")
                case ast.arg(arg=name) | ast.alias(asname=name) if name in vague:
                    bound.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not bound, "name what the value holds, in place of found or made"

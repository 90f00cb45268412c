"""Modules are still importable under their names of tfzoo 0.1."""

import importlib
import sys
import warnings

import pytest

import tfzoo
from support import command
from tfzoo._moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_the_old_name_is_the_moved_module(old):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=rf"^{old} is now {MOVED[old]};") as warned:
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__name__ == module.__spec__.name == MOVED[old]
    assert any(w.filename == importlib.__file__ for w in warned)  # the importing module


def test_the_warning_names_the_line_of_the_import():
    sys.modules.pop("tfzoo.study", None)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        from tfzoo.study import Arm
    assert [w.filename for w in warned] == [__file__]
    assert Arm is tfzoo.experiments.study.Arm


def test_new_names_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        for new in MOVED.values():
            importlib.import_module(new)


def test_names_of_modules_that_became_packages_stay():
    """The names shown in the cards of 0.1, and other public ones."""
    for package, names in {
        "control": "collect rollout ControlTask PENDULUM POINT_MASS TASKS MIXTURES",
        "images": "to_size shift deit padded_crop color_jitter",
        "text": "read_bytes train_windows byte_windows eval_windows",
        "videos": "open_split VideoSplit VideoDataConfig frames short_side",
    }.items():
        module = importlib.import_module(f"tfzoo.data.{package}")
        assert all(callable(getattr(module, n)) or n.isupper() for n in names.split()), package
    assert callable(tfzoo.data.transitions)


def test_names_of_the_module_of_tables_warn():
    from tfzoo.data import tables
    from tfzoo.data.tables import csv

    for name in ("read", "stratified", "TfzooTable", "TfzooBreastCancer", "TableConfig"):
        with pytest.warns(DeprecationWarning, match=f"tables.{name} is now tfzoo.data.tables.csv"):
            assert getattr(tables, name) is getattr(csv, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = tables.nothing


@pytest.mark.slow
def test_the_old_command_line_runs():
    status, out, err = command("-m", "tfzoo.cli", "list")
    assert status == 0 and out.startswith("aft/cifar10"), err

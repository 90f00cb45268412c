"""Names are taken once."""

import pytest

from tfzoo import registry
from tfzoo.errors import InputError


def test_a_second_object_of_a_name_is_refused(monkeypatch):
    monkeypatch.setattr(registry, "objects", {})

    class Thing:
        def get_config(self):
            return {}

    registry.serializable("test_registry")(Thing)
    assert registry.objects == {"tfzoo.test_registry>Thing": Thing}
    with pytest.raises(ValueError, match="tfzoo.test_registry>Thing is already registered"):
        registry.serializable("test_registry")(Thing)


def test_a_second_task_or_experiment_of_a_name_is_refused():
    registry.task("test.once")(object)
    with pytest.raises(ValueError, match="test.once"):
        registry.task("test.once")(object)
    registry.experiment("study", "test_once", "json:dumps")
    with pytest.raises(ValueError, match="test_once"):
        registry.experiment("study", "test_once", "json:loads")
    assert registry.get_experiment("study", "test_once")([]) == "[]"


def test_unknown_names_list_the_known():
    registry.experiment("bench", "test_known", "json:dumps")
    with pytest.raises(InputError, match="nonsense.*test_known"):
        registry.get_experiment("bench", "nonsense")
    with pytest.raises(InputError, match="nonsense"):
        registry.get_task("nonsense")

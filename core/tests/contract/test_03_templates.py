"""Section 3: environment variables in the values of parameters."""

from __future__ import annotations

from typing import Any

import pytest

from pypz.core.commons.parameters import OptionalParameter, RequiredParameter
from pypz.core.specs.misc import BlankPlugin


class Tuned(BlankPlugin):
    count = RequiredParameter(int, alt_name="recordCount", description="how many")
    prefix = OptionalParameter(str)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.count = None
        self.prefix = "HelloWorld"


def test_environment_templates_are_resolved_when_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPZ_TEST_A", "a")
    plugin = Tuned("p")
    plugin.set_parameter("prefix", "<${env:PYPZ_TEST_A}${env:PYPZ_TEST_NONE}${other}>")
    plugin.set_parameter("x", {"${env:PYPZ_TEST_A}": ["${env:PYPZ_TEST_A}", {"${env:PYPZ_TEST_A}1"}]})
    assert plugin.prefix == "<a>"
    assert plugin.get_parameter("x") == {"${env:PYPZ_TEST_A}": ["a", {"a1"}]}
    assert "currentValue: <a>" in str(plugin)


def test_a_resolved_template_is_text_whatever_it_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPZ_TEST_A", "3")
    plugin = Tuned("p")
    plugin.set_parameter("x", "${env:PYPZ_TEST_A}")
    assert plugin.get_parameter("x") == "3"
    with pytest.raises(TypeError):
        plugin.set_parameter("recordCount", "${env:PYPZ_TEST_A}")


def test_defaults_of_the_constructor_are_resolved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPZ_TEST_A", "a")
    plugin = Tuned("p")
    plugin.prefix = "${env:PYPZ_TEST_A}"
    assert plugin.prefix == "a"


def test_execution_templates_stay_until_execution_and_always_in_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPZ_TEST_A", "a")
    plugin = Tuned("p")
    plugin.set_parameter("prefix", "$(env:PYPZ_TEST_A)$(env:PYPZ_TEST_NONE)!")
    assert plugin.prefix == "$(env:PYPZ_TEST_A)$(env:PYPZ_TEST_NONE)!"
    before = plugin.get_dto()
    plugin._pypz_resolve_references()
    assert plugin.prefix == "a!"
    assert plugin.get_dto() == before
    plugin.set_parameter("prefix", "new")
    assert plugin.get_dto().parameters == {"recordCount": None, "prefix": "new"}

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


@pytest.mark.parametrize("value", [None, ""])
def test_a_default_takes_the_place_of_a_variable_that_is_not_set_or_empty(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("PYPZ_TEST_A", raising=False)
    if value is not None:
        monkeypatch.setenv("PYPZ_TEST_A", value)
    plugin = Tuned("p")
    plugin.set_parameter("x", ["${env:PYPZ_TEST_A:-here}:${env:PYPZ_TEST_A:-}", "${env:PYPZ_TEST_A:-a:-b}"])
    plugin.set_parameter("y", "$(env:PYPZ_TEST_A:-there)")
    assert plugin.get_parameter("x") == ["here:", "a:-b"]
    plugin._pypz_resolve_references()
    assert plugin.get_parameter("y") == "there"
    monkeypatch.setenv("PYPZ_TEST_A", "set")
    plugin.set_parameter("x", "${env:PYPZ_TEST_A:-here}")
    assert plugin.get_parameter("x") == "set"


def test_a_secret_with_a_default_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYPZ_SECRET_A", raising=False)
    plugin = Tuned("p")
    plugin.set_parameter("x", "$(env:PYPZ_SECRET_A:-none)")
    plugin._pypz_resolve_references()
    assert plugin.get_parameter("x") == "none"

"""Settings for a location that is looked at by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypz.cli.location import location_options
from pypz.core.commons.errors import ConfigurationError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYPZ_PARAMETERS", raising=False)
    return tmp_path


def test_the_command_line_prevails_over_variables_and_these_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert location_options([]) == {}
    (folder / "pypz.toml").write_text('[parameters.">>channelConfig"]\n"client.id" = "file"\n')
    assert location_options(["writer.count=3"]) == {"client.id": "file"}
    monkeypatch.setenv("PYPZ_PARAMETERS", "'>>channelConfig={client.id: variable, check.crcs: true}'")
    assert location_options([]) == {"client.id": "variable", "check.crcs": "true"}
    for prefix in (">>", "##", ">#"):
        assert location_options([f"{prefix}channelConfig={{client.id: line}}"]) == {"client.id": "line"}


@pytest.mark.parametrize("left, right", [("${", "}"), ("$(", ")")])
def test_secrets_come_from_the_environment_and_one_that_is_not_set_is_named_with_its_place(
    left: str, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [f">>channelConfig={{sasl.password: '{left}env:SOME_WORD{right}', sasl.username: hidden}}"]
    with pytest.raises(ConfigurationError, match=r"channelConfig.*: environment variable SOME_WORD is not set; set it"):
        location_options(given)
    monkeypatch.setenv("SOME_WORD", "x")
    assert location_options(given) == {"sasl.password": "x", "sasl.username": "hidden"}
    monkeypatch.delenv("SOME_WORD")
    assert location_options([given[0].replace("WORD", "WORD:-y")])["sasl.password"] == "y"


@pytest.mark.parametrize(
    "name", ["channelConfig", "writer.out.channelConfig", "writer.>channelConfig", ">channelConfig"]
)
def test_settings_that_are_not_for_all_ports_are_refused_without_their_secrets(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not for all ports.*expected -p '>>channelConfig=") as caught:
        location_options([f"{name}={{sasl.password: never-shown}}"])
    assert "never-shown" not in str(caught.value)

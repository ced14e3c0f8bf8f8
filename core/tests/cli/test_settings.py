"""Defaults from ``pypz.toml`` and the environment, and who wins."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pypz.cli.given import unexpected
from pypz.cli.main import app
from pypz.cli.settings import Settings, read_settings
from pypz.cli.target import load_pipeline
from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.origins import origin_of


@pytest.fixture(autouse=True)
def _forget(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("PYPZ_PARAMETERS", "PYPZ_PIPELINE", "PYPZ_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield
    sys.modules.pop("shop", None)


TOML = """
pipeline = "shop:ShopPipeline"
name = "corner"
log = false

[parameters]
">>channelLocation" = "memory:toml"
">count" = 1
"""


def test_without_a_file_there_are_the_defaults() -> None:
    assert read_settings() == Settings()


def test_the_file_is_found_upwards_and_names_pipeline_and_parameters(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pypz.toml").write_text(TOML)
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    pipeline: Any = load_pipeline(None)
    assert pipeline.get_full_name() == "corner"
    assert str(origin_of(pipeline.writer.out, "channelLocation")) == "../../pypz.toml, cascade from corner"
    assert read_settings().log is False


def test_what_is_set_later_wins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "pypz.toml").write_text(TOML)
    monkeypatch.setenv("PYPZ_PARAMETERS", ">count=2 '>note=two words'")
    first: Any = load_pipeline(None)
    assert (first.writer.count, str(origin_of(first.writer, "count"))) == (2, "PYPZ_PARAMETERS, cascade from corner")
    assert first.writer.get_parameter("note") == "two words"
    second: Any = load_pipeline(None, parameters=[">count=3"])
    assert (second.writer.count, str(origin_of(second.writer, "count"))) == (3, "-p, cascade from corner")
    (told,) = unexpected(second)
    assert told.startswith("PYPZ_PARAMETERS '>note=two words': nothing in the pipeline expects 'note'")


def test_a_file_s_values_are_named_after_it(project: Path) -> None:
    original = load_pipeline("shop:ShopPipeline", parameters=[">count=7"])
    (project / "shop.yaml").write_text(str(original))
    again: Any = load_pipeline("shop.yaml", parameters=[">>channelLocation=memory:x"])
    assert (again.writer.count, str(origin_of(again.writer, "count"))) == (7, "shop.yaml")
    assert str(origin_of(again.reader.input, "channelLocation")) == "-p, cascade from shop_pipeline"


def test_a_yaml_file_is_relative_to_the_settings(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "shop.yaml").write_text(str(load_pipeline("shop:ShopPipeline")))
    (project / "pypz.toml").write_text('pipeline = "shop.yaml"')
    (project / "deep").mkdir()
    monkeypatch.chdir(project / "deep")
    assert load_pipeline(None).get_full_name() == "shop_pipeline"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('pipelin = "x"', "pypz.toml: unknown key 'pipelin'; meant 'pipeline'?"),
        ("zzz = 1", "pypz.toml: unknown key 'zzz'; there are pipeline, name, log, strict, parameters"),
        ("log = 3", "pypz.toml: key 'log' is 3, expected true or false"),
        ("parameters = 3", r"pypz.toml: key 'parameters' is 3, expected a table"),
        ("log = ", "pypz.toml: cannot be read: Invalid value .at end of document"),
        ('[parameters]\n">>channelLocation" = 5', "pypz.toml '>>channelLocation=5': .* is of type int"),
        ("[parameters]\nx = 2026-11-24", "pypz.toml 'x=2026-11-24': .* is of type date"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_way_out(project: Path, text: str, words: str) -> None:
    (project / "pypz.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        load_pipeline("shop:ShopPipeline")


def test_an_open_quote_in_the_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPZ_PARAMETERS", "'x=1")
    with pytest.raises(ConfigurationError, match="PYPZ_PARAMETERS: No closing quotation"):
        load_pipeline("shop:ShopPipeline")


def test_without_any_pipeline_the_ways_to_name_one_are_told() -> None:
    with pytest.raises(ConfigurationError, match=r"no pipeline is named: .*pypz.toml"):
        load_pipeline(None)


def test_the_command_takes_all_of_them(pypz: Any, project: Path) -> None:
    (project / "pypz.toml").write_text(TOML)
    done = pypz("run", PYPZ_PARAMETERS=">count=5")
    assert (done.returncode, done.stdout) == (0, "got 5\n"), done.stderr
    assert pypz("run", PYPZ_PIPELINE="shop:Nothing").returncode == 1


def test_what_is_named_in_the_pipeline_of_the_settings_needs_no_pipeline(project: Path) -> None:
    (project / "pypz.toml").write_text(TOML)
    assert CliRunner().invoke(app, ["params", "writer.out"]).stdout.startswith("corner.writer.out  (")
    assert "no channel 'corner.reader.input'" in CliRunner().invoke(app, ["peek", "reader.input"]).stderr
    assert "no run of corner is open" in CliRunner().invoke(app, ["retire", "reader"]).stderr
    assert CliRunner().invoke(app, ["params", "shop:Reader"]).stdout.startswith("reader  (shop:Reader)")

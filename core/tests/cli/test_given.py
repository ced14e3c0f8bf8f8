"""Parameters given outside of code: all faults at once, those of one operator or port, defaults that give way to code."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pypz.cli.given import set_given, unexpected
from pypz.cli.main import app
from pypz.cli.target import load_pipeline
from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.origins import origin_of

FIRM = """
from shop import ShopPipeline

class FirmPipeline(ShopPipeline):
    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.writer.set_parameter("count", 5)
        self.set_parameter(">>channelLocation", "memory:code")
        self.reader.set_parameter("note", None)
"""


@pytest.fixture(autouse=True)
def _forget(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (project / "firm.py").write_text(FIRM)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("PYPZ_PARAMETERS", raising=False)
    yield
    for name in ("shop", "firm"):
        sys.modules.pop(name, None)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


BAD = (
    "-p",
    ">count=many",
    "-p",
    "writer.fails=3.5",
    "-p",
    "nonsense",
    "-p",
    "wirter.count=1",
    "-p",
    ">commitIntervalMs=-1",
)


def test_a_plan_tells_every_wrong_parameter_and_all_that_is_missing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPZ_PARAMETERS", "also-nonsense")
    result = call("plan", "shop:ShopPipeline", "--json", *BAD)
    assert result.exit_code == 1
    told = json.loads(result.stdout)["errors"]
    for words in (
        "PYPZ_PARAMETERS 'also-nonsense': expected NAME=VALUE",
        "-p 'nonsense': expected NAME=VALUE",
        "-p '>count=many': shop_pipeline.writer: parameter 'count' is of type str, expected int",
        "-p 'writer.fails=3.5': shop_pipeline.writer: parameter 'fails' is of type float, expected bool",
        "-p 'wirter.count=1': nothing named 'wirter' is nested in shop_pipeline; meant 'writer'?",
        "shop_pipeline.writer: parameter 'commitIntervalMs' is -1",
        "shop_pipeline.writer.out: required parameter 'channelLocation' has no value",
    ):
        assert len([one for one in told if one.startswith(words)]) == 1, (words, told)
    assert not any("for text write" in one for one in told)


def test_other_commands_tell_every_wrong_parameter_a_line_each() -> None:
    result = call("graph", "shop:ShopPipeline", *BAD)
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("pypz: error: -p '") for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "shop:Nothing"),
        ("params", "shop:Nothing"),
        ("params", "shop:ShopPipeline", "nobody"),
        ("graph", "shop:Nothing"),
        ("peek", "shop:Nothing", "reader.input"),
        ("peek", "--location", "nowhere:x", "a.b.c"),
        ("retire", "shop:Nothing", "writer"),
        ("retire", "shop:ShopPipeline"),
        ("retire", "shop:ShopPipeline", "--all", "--yes"),
        ("graph", "shop:ShopPipeline", "-p", "x"),
    ],
)
def test_json_is_an_object_with_errors_when_a_command_fails(arguments: tuple[str, ...]) -> None:
    result = call(*arguments, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert len(told["errors"]) == 1
    assert f"pypz: error: {told['errors'][0]}\n" == result.stderr


def test_a_run_that_is_refused_is_told_as_json(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline", "--json", "-p", "a", "-p", "b")
    told = json.loads(done.stdout)
    assert (done.returncode, told["outcome"], told["pipeline"], told["exit_codes"]) == (1, "refused", None, {})
    assert [line[:7] for line in told["error"].splitlines()] == ["-p 'a':", "-p 'b':"]
    missing = json.loads(pypz("run", "shop:ShopPipeline", "--json").stdout)
    assert (missing["outcome"], missing["pipeline"]) == ("refused", "shop_pipeline")
    assert "channelLocation" in missing["error"]


def test_a_parameter_reaches_one_operator_one_port_or_all_ports_of_one_operator() -> None:
    given = ["writer.count=7", "writer.out.channelLocation=memory:a", "reader.>channelLocation=memory:b"]
    made: Any = load_pipeline("shop:ShopPipeline", parameters=[*given, "shop_pipeline.reader.replicationFactor=1"])
    assert (made.writer.count, made.reader.has_parameter("count")) == (7, False)
    assert made.writer.out.get_parameter("channelLocation") == "memory:a"
    assert made.reader.input.get_parameter("channelLocation") == "memory:b"
    assert (made.writer.get_group_size(), made.reader.get_group_size()) == (1, 2)
    assert str(origin_of(made.writer, "count")) == "-p"
    assert list(unexpected(made, given)) == []


def test_a_name_with_dots_that_the_pipeline_has_is_that_one() -> None:
    whole = load_pipeline("shop:ShopPipeline")
    whole.set_parameter("writer.count", 0)
    assert set_given(whole, ["writer.count=3", "#a.b=4"]) == []
    assert (whole.get_parameter("writer.count"), whole.get_parameter("a.b")) == (3, 4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("writer.ot.x=1", "nothing named 'ot' is nested in shop_pipeline.writer; meant 'out'?"),
        ("zzz.x=1", "nothing named 'zzz' is nested in shop_pipeline; there are: writer, reader"),
        ("reader_0.x=1", "nothing named 'reader_0' is nested in shop_pipeline; meant 'reader'?"),
        ("writer.=1", "names no parameter of 'writer'; expected such as 'writer.NAME=VALUE'"),
        ("writer.out.>=1", "names no parameter of 'out'"),
    ],
)
def test_who_is_not_there_is_told_with_the_nearest(given: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_pipeline("shop:ShopPipeline", parameters=[given])
    assert str(caught.value).startswith(f"-p '{given}': {words}")


def test_a_misspelt_parameter_of_one_operator_is_noticed() -> None:
    given = ["writer.cuont=7"]
    made = load_pipeline("shop:ShopPipeline", parameters=given)
    assert list(unexpected(made, given)) == [
        "-p 'writer.cuont=7': nothing in shop_pipeline.writer expects 'cuont'; meant 'count'?"
    ]


def test_a_long_value_is_not_repeated_whole() -> None:
    given = ["cuont=" + "x" * 10_000]
    (told,) = unexpected(load_pipeline("shop:ShopPipeline", parameters=given), given)
    assert told.startswith("-p 'cuont=xxx")
    assert "xxx…': nothing in the pipeline expects 'cuont'" in told
    assert len(told) < 300


@pytest.mark.parametrize("given", ["writer.kubernetes={}", ">kubernetes={}", "#kubernetes={}"])
def test_the_settings_of_pods_are_expected_by_every_operator(given: str) -> None:
    assert list(unexpected(load_pipeline("shop:ShopPipeline", parameters=[given]), [given])) == []


@pytest.mark.parametrize("given", ["kubernetes={}", "writer.>kubernetes={}"])
def test_the_settings_of_pods_are_expected_by_nothing_else(given: str) -> None:
    made = load_pipeline("shop:ShopPipeline", parameters=[given])
    assert any("expects 'kubernetes'" in told for told in unexpected(made, [given]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("count=7", "reaches nothing that expects 'count'; meant '>count'?"),
        (">>count=7", "reaches nothing that expects 'count'; meant '>count'?"),
        (">lingerMs=0", "reaches nothing that expects 'lingerMs'; meant '>>lingerMs'?"),
        ("writer.lingerMs=0", "reaches nothing that expects 'lingerMs'; meant 'writer.>lingerMs'?"),
        ("cuont=7", "nothing in the pipeline expects 'cuont'; meant '>count'?"),
        (">cuont=7", "nothing in the pipeline expects 'cuont'; meant 'count'?"),
        ("#count=7", None),
        ("##count=7", None),
        ("writer.>lingerMs=0", None),
    ],
)
def test_a_parameter_at_the_wrong_level_is_noticed_with_the_right_spelling(given: str, words: str | None) -> None:
    made = load_pipeline("shop:ShopPipeline", parameters=[given])
    told = [one for one in unexpected(made, [given]) if not words or one == f"-p {given!r}: {words}"]
    assert len(told) == (1 if words else 0), list(unexpected(made, [given]))


def test_defaults_do_not_override_what_code_says_and_p_does(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "pypz.toml").write_text(
        '[parameters]\n">count" = 8\n">note" = "toml"\n"reader.>channelLocation" = "memory:t"'
    )
    monkeypatch.setenv("PYPZ_PARAMETERS", "'>>channelLocation=memory:env' '>fails=true'")
    made: Any = load_pipeline("firm:FirmPipeline")
    assert (made.writer.count, made.writer.fails) == (5, True)
    assert made.writer.out.get_parameter("channelLocation") == "memory:code"
    assert made.reader.get_parameter("note") == "toml", "None is no value"
    told = [one for one in unexpected(made) if "has no effect" in one]
    assert told == [
        "pypz.toml 'reader.>channelLocation=memory:t': has no effect, firm_pipeline.reader.input is set by code; -p overrides",
        (
            "PYPZ_PARAMETERS '>>channelLocation=memory:env': has no effect, firm_pipeline.writer.out, "
            "firm_pipeline.reader.input are set by code; -p overrides"
        ),
    ]
    again: Any = load_pipeline("firm:FirmPipeline", parameters=["writer.count=9"])
    assert (again.writer.count, str(origin_of(again.writer, "count"))) == (9, "-p")


def test_defaults_do_not_override_a_file_except_where_it_repeats_the_class_s_own(project: Path) -> None:
    original = load_pipeline("shop:ShopPipeline", parameters=["reader.input.channelLocation=memory:file"])
    (project / "shop.yaml").write_text(str(original))
    (project / "pypz.toml").write_text('[parameters]\n">>channelLocation" = "memory:t"\n"writer.count" = 2')
    made: Any = load_pipeline("shop.yaml")
    assert made.reader.input.get_parameter("channelLocation") == "memory:file"
    assert made.writer.out.get_parameter("channelLocation") == "memory:t"
    assert made.writer.count == 2


def test_a_secret_is_in_no_message(project: Path) -> None:
    (project / "safe.py").write_text(
        "from shop import *\n"
        "class Safe(Writer):\n"
        "    key = OptionalParameter(str, secret=True)\n"
        "class SafePipeline(Pipeline):\n"
        "    def __init__(self, name, *args, **kwargs):\n"
        "        super().__init__(name, *args, **kwargs)\n"
        "        self.safe = Safe()\n"
    )
    given = ["safe.key=77123", ">key=77123", "saf.channelLocation=kafka://me:77123@b"]
    faults: list[str] = []
    made = load_pipeline("safe:SafePipeline", parameters=given, faults=faults)
    told = "\n".join([*faults, *unexpected(made, given)])
    assert len(faults) == 3
    assert "77123" not in told
    assert "-p 'safe.key=***': " in told


def test_a_default_for_an_operator_that_is_not_there_is_told_and_no_error(project: Path) -> None:
    (project / "pypz.toml").write_text('[parameters]\n"wirter.count" = 2\nwriter.count = 3')
    told = list(unexpected(load_pipeline("shop:ShopPipeline")))
    assert told[0].startswith(
        "pypz.toml 'wirter.count=2': nothing named 'wirter' is nested in shop_pipeline; meant 'writer'?"
    )
    assert told[1].endswith('a parameter of writer is written "writer.NAME", in quotes')

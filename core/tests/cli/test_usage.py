"""Options and arguments that make no sense, told in our words; help and tables in 80 columns."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pypz.cli.commands import KNOWN
from pypz.cli.main import app


@pytest.fixture(autouse=True)
def _forget(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "80")
    yield
    sys.modules.pop("shop", None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run --nope", "there is no option '--nope'; meant '--mode' or '--name'?; `pypz run --help`"),
        ("--zzz", "there is no option '--zzz'; `pypz --help`"),
        ("run --max-restarts x", "--max-restarts is 'x', expected a whole number, 0 or more; "),
        ("run --max-restarts=-1", "--max-restarts is '-1', expected a whole number, 0 or more; "),
        ("run --isolation foo", "--isolation is 'foo', expected thread or process; "),
        ("run --log=3", "option '--log' takes no value; "),
        ("graph --format x", "--format is 'x', expected text or mermaid; "),
        ("plan -p", "option '-p' needs a value behind it; "),
        ("run a b c", "nothing is expected at 'b c'; arguments are PIPELINE; "),
        ("scale shop.shelf x", "N is 'x', expected a whole number; `pypz scale --help`"),
        ("scale -n space shop.shelf --dry-run 1.5", "N is '1.5', expected a whole number; `pypz scale --help`"),
        ("scale shop.shelf -- -x", "N is '-x', expected a whole number; `pypz scale --help`"),
        ("destroy", "NAME is missing: A pipeline, or one of its operators by full name; `pypz destroy --help`"),
    ],
)
def test_what_is_wrong_with_an_option_is_told_on_one_line(arguments: str, words: str) -> None:
    result = CliRunner().invoke(app, arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"pypz: error: {words}"), result.stderr
    assert result.stderr.count("\n") == 1


def test_a_variable_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPZ_LOG", "maybe")
    result = CliRunner().invoke(app, ["run", "shop:ShopPipeline"])
    assert result.exit_code == 2
    assert "environment variable PYPZ_LOG is 'maybe', expected 1 or 0" in result.stderr


def test_help_fits_80_columns_and_breaks_no_word() -> None:
    for name, known in KNOWN.items():
        if not known.target:
            continue
        shown = CliRunner().invoke(app, [name, "--help"]).stdout
        assert max(map(len, shown.splitlines())) <= 80, name
        assert "…" not in shown, name
        cells = [re.sub(r"\s{2,}", "\t", line.strip("│ ")).split("\t") for line in shown.splitlines() if "│" in line]
        broken = [cell for row in cells for cell in row if re.match(r"\||>$|.*\|$", cell)]
        assert broken == [], name


def test_parameters_keep_addresses_and_words_whole_in_80_columns() -> None:
    place = "kafka://broker-1.example.org:9092,broker-2.example.org:9092"
    given = ["shop:ShopPipeline", "-p", f">>channelLocation={place}"]
    shown = CliRunner().invoke(app, ["params", *given]).stdout
    assert f" {place}\n" in shown
    assert [line for line in shown.splitlines() if len(line) > 80 and place not in line] == []
    planned = CliRunner().invoke(app, ["plan", "--offline", *given]).stdout
    assert "kafka://broker-1.example.org:9092," in planned
    assert max(len(line) for line in planned.splitlines() if "──" in line) <= 80

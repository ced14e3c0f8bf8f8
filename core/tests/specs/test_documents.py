"""Descriptions as text: what is YAML or JSON, and yet not taken."""

import subprocess
import sys
from pathlib import Path

import pytest

from pypz.core.commons.errors import ConfigurationError
from pypz.core.specs._documents import MOST_LEVELS, parse
from pypz.core.specs.pipeline import Pipeline
from pypz.runnables.operator import read_pipeline

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: p\nname: q", "at line 2, column 1: key 'name' stands here a second time, first at line 1, column 1"),
        ("name: p\nspec: {a: 1, b: 2, a: 3}", "at line 2, column 20: key 'a' stands here a second time"),
        ('{"name": "p",\n "spec": {"a": 1,\n "a": 2}}', "at line 3, column 2: key 'a' stands here a second time"),
        ("x: !!set {a, b, a}", "at line 1, column 17: key 'a' stands here a second time"),
        (BOMB, "at line 5, column 4: the aliases (*name) in it stand for more than 100,000 values"),
        ("a: &a\n  b: *a", "at line 1, column 4: it contains itself, by an alias"),
    ],
)
def test_doubled_keys_and_aliases_that_make_much_of_little_are_refused_with_their_place(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pipeline.create_from_string(text)
    assert words in str(caught.value)


def test_aliases_and_merges_that_stand_for_little_are_taken() -> None:
    assert parse("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}
    merged = "x: {y: &a {<<: {k: 1, l: 3}, k: 2}}\nc: {<<: *a, l: 4}"
    assert parse(merged) == {"x": {"y": {"k": 2, "l": 3}}, "c": {"k": 2, "l": 4}}


def test_a_text_nested_too_deeply_is_refused_and_does_not_end_the_process() -> None:
    code = (
        "from pypz.core.specs._documents import parse, DocumentError\n"
        "for text in ('[' * 200_000, '- ' * 200_000, '{\"a\":' * 200_000, '{a: ' * 101 + '1' + '}' * 101):\n"
        "    try:\n"
        "        parse(text)\n"
        "    except DocumentError as error:\n"
        "        print(error.line, error.problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"1 it is nested more than {MOST_LEVELS} levels deep\n" * 4
    assert parse("{a: " * MOST_LEVELS + "1" + "}" * MOST_LEVELS)


def test_the_runner_names_file_and_place(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("name: p\nname: q")
    with pytest.raises(ConfigurationError, match=r"config\.yaml, line 2, column 1: cannot be taken: key 'name' stands"):
        read_pipeline(tmp_path / "config.yaml")

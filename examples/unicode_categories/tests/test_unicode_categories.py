"""What the pipeline finds in the file is what Python itself knows of Unicode."""

from __future__ import annotations

import sys
import unicodedata
from collections import Counter

import pytest
from unicode_categories import UnicodeCategories

from pypz.executors.pipeline.executor import PipelineExecutor

VERSION = "15.0.0"


@pytest.fixture(scope="module")
def categories() -> dict[int, str]:
    pipeline = UnicodeCategories("unicode")
    pipeline.set_parameter(">>channelLocation", "memory:unicode")
    assert set(PipelineExecutor(pipeline).start().values()) == {0}
    return pipeline.tally.categories


def test_every_character_of_the_file_is_counted_once(categories: dict[int, str]) -> None:
    # Unicode 15.0: 149,186 graphic and format characters, 65 control codes, 2,048 surrogates, 137,468 for private use.
    assert len(categories) == 149_186 + 65 + 2_048 + 137_468
    counts = Counter(categories.values())
    assert (counts["Cc"], counts["Cs"], counts["Co"], counts["Zs"]) == (65, 2_048, 137_468, 17)


def test_python_knows_each_of_them_with_the_same_category(categories: dict[int, str]) -> None:
    known = {
        code: category for code in range(sys.maxunicode + 1) if (category := unicodedata.category(chr(code))) != "Cn"
    }
    if unicodedata.unidata_version == VERSION:
        assert categories == known
    both = categories.keys() & known.keys()
    assert len(both) > 280_000
    # Another version of Python knows more characters or fewer, and a few dozen that Unicode has put into another category.
    assert sum(categories[code] != known[code] for code in both) < 50

"""The page about parameters has every parameter that our classes describe, as they describe it."""

from __future__ import annotations

import re
from typing import Any

from docs.make_parameters_page import PAGE, TABLE, list_described, make_page
from pypz.core.specs.misc import BlankOperator, BlankPlugin
from pypz.core.specs.pipeline import Pipeline
from tests.docs.pages import ROOT

SOURCES = ("core", "plugins/*", "deployers/*", "sniffer_tui")


class Carrier(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.plugin = BlankPlugin()


class Whole(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.operator = Carrier()


def test_the_tables_say_what_the_classes_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == make_page(text), "run: .venv/bin/python docs/make_parameters_page.py"


def test_every_class_that_describes_parameters_has_a_table() -> None:
    modules = set()
    for source in (path for folder in SOURCES for path in ROOT.glob(f"{folder}/src/pypz/**/*.py")):
        text = source.read_text(encoding="utf-8")
        if re.search(r"(Required|Optional)Parameter\(\s*\w", text) and "class ExpectedParameter" not in text:
            parts = source.relative_to(ROOT).with_suffix("").parts
            modules.add(".".join(parts[parts.index("src") + 1 :]).removesuffix(".__init__"))
    described = list_described(
        sorted(module for module in modules if not module.startswith(("pypz.cli.demo", "pypz.testing")))
    )
    assert described <= set(TABLE.findall(PAGE.read_text(encoding="utf-8")))


def test_the_table_of_cascades_is_true() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Cascades")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| `([>#]*)x` \| (.*?)\|(.*?)\|(.*?)\|$", section)
    assert len(rows) == 7
    for prefix, *reached in rows:
        pipeline = Whole("whole")
        pipeline.set_parameter(f"{prefix}x", 1)
        instances = (pipeline, pipeline.operator, pipeline.operator.plugin)
        assert [i.has_parameter("x") for i in instances] == [cell.strip() == "yes" for cell in reached], prefix

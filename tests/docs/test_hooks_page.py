"""The page about hooks says what the code says, and four lists of hooks are one."""

from __future__ import annotations

import ast
import re
from typing import Final

from docs.make_hooks_page import PAGE, make_page
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.loader import HOOKS
from tests.docs.pages import ROOT

SOURCES: Final = ("core", "plugins/*", "deployers/*", "sniffer_tui")
HOOK_TESTS: Final = ROOT / "core" / "tests" / "hooks" / "test_hooks.py"


def test_the_page_says_what_the_specification_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == make_page(), "run: .venv/bin/python docs/make_hooks_page.py"


def test_specification_facade_page_and_tests_have_the_same_hooks() -> None:
    specified = set(HOOKS)
    facade = {f"pypz_{name}" for name in vars(PluginHost) if f"pypz_{name}" in specified}
    documented = set(re.findall(r"^### (pypz_\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    tree = ast.parse(HOOK_TESTS.read_text(encoding="utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    tested = {name.replace("test_hook_", "pypz_") for name in functions if name.startswith("test_hook_")}
    assert facade == specified
    assert documented == specified
    assert tested == specified


def test_every_hook_is_used_by_a_plugin_of_ours() -> None:
    used = set()
    for source in (path for folder in SOURCES for path in ROOT.glob(f"{folder}/src/pypz/**/*.py")):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(ast.unparse(one) == "hookimpl" for one in node.decorator_list):
                used.add(node.name)
    assert used == set(HOOKS)

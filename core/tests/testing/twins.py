"""Runs each promise of a kit against its faulty twin, in a pytest of its own: each must fail in the test, not around it."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pypz.testing import promises_of

ROOT = Path(__file__).parents[3]
PATIENCE_S = 1.5
"""Seconds that a twin's test waits for what its fault keeps from coming."""


def twin_classes(kit: type, faults: Mapping[int, Any], fixtures: Callable[[Any], dict[str, Any]]) -> dict[str, type]:
    """One test class for each fault, with the one test that must refuse it."""
    made: dict[str, type] = {}
    tests = {promise.number: promise.test for promise in promises_of(kit)}
    for number, fault in faults.items():
        others: dict[str, Any] = {test: None for test in tests.values() if test != tests[number]}
        made[f"TestTwin{number:02}"] = type(f"TestTwin{number:02}", (kit,), {**others, **fixtures(fault)})
    return made


def run_twins(module: str, folder: Path) -> dict[tuple[str, str], str]:
    """Run the twins' classes of a module; give what became of each (class, test): passed, skipped, error, failure."""
    report = folder / "twins.xml"
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "--maxfail=1000", "-p", "no:cacheprovider"),
            *("-o", f"pythonpath={ROOT}", f"--junitxml={report}", str(Path(__file__).with_name(module))),
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        timeout=280,
    )
    outcomes: dict[tuple[str, str], str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        twin = str(case.get("classname")).rpartition(".")[2]
        outcomes[twin, str(case.get("name"))] = kinds[0] if kinds else "passed"
    return outcomes

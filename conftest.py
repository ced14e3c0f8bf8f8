"""What all tests share: a skip for want of a thing that is there is a failure where the environment says so."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

REQUIRED_VARIABLE = "PYPZ_REQUIRED"
"""Names of variables, separated by blanks; ``.ci/run`` sets it. A skip whose reason names one of them fails."""


def missing_of(reason: str) -> list[str]:
    """Tell which required variables a skip's ``reason`` names."""
    return [name for name in os.environ.get(REQUIRED_VARIABLE, "").split() if name in reason]


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip for want of something required into a failure."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    named = missing_of(reason)
    if named:
        report.outcome = "failed"
        report.longrepr = f"skipped for want of {', '.join(named)}, which {REQUIRED_VARIABLE} says is there: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report

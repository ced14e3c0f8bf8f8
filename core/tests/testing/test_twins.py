"""Each kit refuses, for each of its promises, an implementation that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from core.tests.testing.twins import run_twins

from pypz.testing import (
    CodecConformance,
    DeployerConformance,
    LoggerConformance,
    TransportConformance,
    promises_of,
)

WHOLE = "TestTwin00"
"""The class of what breaks nothing, where a module has one: what the others are made of."""


@pytest.mark.parametrize(
    ("kit", "module"),
    [
        (TransportConformance, "twins_of_transport.py"),
        (CodecConformance, "faulty_codecs.py"),
        (LoggerConformance, "faulty_loggers.py"),
        (DeployerConformance, "faulty_deployers.py"),
    ],
    ids=["transport", "codec", "logger", "deployer"],
)
def test_each_promise_refuses_its_faulty_twin(
    kit: type, module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promises = promises_of(kit)
    outcomes = run_twins(module, tmp_path)
    twins = {key: outcome for key, outcome in outcomes.items() if key[0] != WHOLE}
    assert twins == {(f"TestTwin{promise.number:02}", promise.test): "failure" for promise in promises}
    assert {outcome for key, outcome in outcomes.items() if key[0] == WHOLE} <= {"passed"}
    with capsys.disabled():
        print(f"\n{kit.__name__}: {len(promises)} promises, {len(twins)} faulty twins refused")

"""Each kit refuses, for each of its promises, an implementation that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from core.tests.testing.faulty_transports import FAULTY
from core.tests.testing.twins import run_twins

from pypz.testing import TransportConformance, promises_of


@pytest.mark.parametrize(
    ("kit", "faults", "module"), [(TransportConformance, FAULTY, "twins_of_transport.py")], ids=["transport"]
)
def test_each_promise_refuses_its_faulty_twin(
    kit: type, faults: dict[int, object], module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promises = promises_of(kit)
    outcomes = run_twins(module, tmp_path)
    assert {promise.test: outcomes.get(promise.test) for promise in promises} == {
        promise.test: "failure" for promise in promises
    }
    with capsys.disabled():
        print(f"\n{kit.__name__}: {len(promises)} promises, {len(outcomes)} faulty twins refused")

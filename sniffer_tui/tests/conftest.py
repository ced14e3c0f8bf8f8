"""What the sniffer's tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "project"))


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests gets in between."""
    for name in ("PYPZ_SNIFFER_PLAIN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

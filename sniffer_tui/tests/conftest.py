"""What the sniffer's tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests gets in between."""
    for name in ("PYPZ_SNIFFER_PLAIN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

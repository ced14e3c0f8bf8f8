"""What pytest loads wherever pypz is installed: the fixture `run_pipeline`. Imports nothing of pypz before it is used."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "pypz.testing.codec",
    "pypz.testing.deployer",
    "pypz.testing.logger",
    "pypz.testing.promises",
    "pypz.testing.transport",
)

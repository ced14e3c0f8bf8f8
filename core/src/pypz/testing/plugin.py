"""What pytest loads wherever pypz is installed: the fixture `run_pipeline`. Imports nothing of pypz before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pypz.testing.pipelines import PipelineResult

pytest.register_assert_rewrite(
    "pypz.testing.codec",
    "pypz.testing.deployer",
    "pypz.testing.logger",
    "pypz.testing.promises",
    "pypz.testing.transport",
)


@pytest.fixture
def run_pipeline() -> Callable[..., PipelineResult]:
    """Executes a pipeline, or the class of an operator, in memory: see `pypz.testing.pipelines.run_pipeline`."""
    from pypz.testing.pipelines import run_pipeline as run

    return run

"""Kits by which authors prove transports, codecs, loggers and deployers, and the way to test a pipeline in memory.

Needs pytest: ``pip install "pypz[testing]"``. Nothing is imported before it is asked for: pytest loads the plugin of this
package in every project where pypz is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypz.testing.clock import FakeClock
    from pypz.testing.codec import CodecConformance
    from pypz.testing.deployer import DeployerConformance
    from pypz.testing.logger import LoggerConformance
    from pypz.testing.pipelines import LogLine, Pause, PipelineResult, run_pipeline
    from pypz.testing.promises import Promise, promise, promises_of
    from pypz.testing.transport import TransportConformance

__all__ = [
    "CodecConformance",
    "DeployerConformance",
    "FakeClock",
    "LogLine",
    "LoggerConformance",
    "Pause",
    "PipelineResult",
    "Promise",
    "TransportConformance",
    "promise",
    "promises_of",
    "run_pipeline",
]

_HOMES = {
    "CodecConformance": "pypz.testing.codec",
    "DeployerConformance": "pypz.testing.deployer",
    "LoggerConformance": "pypz.testing.logger",
    "FakeClock": "pypz.testing.clock",
    "LogLine": "pypz.testing.pipelines",
    "Pause": "pypz.testing.pipelines",
    "PipelineResult": "pypz.testing.pipelines",
    "run_pipeline": "pypz.testing.pipelines",
    "Promise": "pypz.testing.promises",
    "TransportConformance": "pypz.testing.transport",
    "promise": "pypz.testing.promises",
    "promises_of": "pypz.testing.promises",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)

"""Plugins made for a test: each a module and a dist-info of its own on sys.path, as pip would install it."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pypz.core.hooks.events import (
    ChannelStatus,
    DeployedRef,
    ErrorInfo,
    LogRecord,
    OperatorRef,
    PipelineRef,
    PortRef,
    ProcessStatus,
)
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl


class Observer:
    """Observes every hook and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    @hookimpl
    def pypz_pipeline_started(self, pipeline: PipelineRef) -> None:
        self.told.append(("pipeline_started", pipeline))

    @hookimpl
    def pypz_pipeline_finished(self, pipeline: PipelineRef, outcome: str) -> None:
        self.told.append(("pipeline_finished", pipeline, outcome))

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, old: str, new: str) -> None:
        self.told.append(("operator_state_changed", operator, old, new))

    @hookimpl
    def pypz_operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        self.told.append(("operator_failed", operator, during, error))

    @hookimpl
    def pypz_operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        self.told.append(("operator_finished", operator, exit_code))

    @hookimpl
    def pypz_port_opened(self, port: PortRef) -> None:
        self.told.append(("port_opened", port))

    @hookimpl
    def pypz_port_closed(self, port: PortRef) -> None:
        self.told.append(("port_closed", port))

    @hookimpl
    def pypz_channel_status(self, status: ChannelStatus) -> None:
        self.told.append(("channel_status", status))

    @hookimpl
    def pypz_process_status(self, status: ProcessStatus) -> None:
        self.told.append(("process_status", status))

    @hookimpl
    def pypz_log(self, record: LogRecord) -> None:
        self.told.append(("log", record))

    @hookimpl
    def pypz_deployment_changed(self, member: DeployedRef, state: str, reason: str) -> None:
        self.told.append(("deployment_changed", member, state, reason))


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
def host() -> Iterator[PluginHost]:
    """A host without any plugin."""
    made = PluginHost(load=False)
    yield made
    made.close()


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a plugin: its name and the source of its module."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def add(name: str, source: str, dist: str | None = None, target: str = "") -> None:
        dist = dist or f"test-{name}"
        module = f"{dist.replace('-', '_')}_module"
        (site / f"{module}.py").write_text("from pypz.core.hooks.spec import hookimpl\n" + textwrap.dedent(source))
        info = site / f"{dist.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[pypz.v1]\n{name} = {module}{target}\n")

    yield add
    for module in set(sys.modules) - before:
        if module.startswith("test_") and module.endswith("_module"):
            del sys.modules[module]

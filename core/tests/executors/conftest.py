"""What the executor's tests share: an operator with one plugin of each kind, doubles of run and session, an observer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pypz.core.hooks.events import ErrorInfo, OperatorRef, PipelineRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import (
    ExtendedPlugin,
    InputPortPlugin,
    OutputPortPlugin,
    Plugin,
    ResourceHandlerPlugin,
    ServicePlugin,
)

DEADLINE_S = 20.0
"""Seconds after which a wait of a test has failed."""

Behaviour = Callable[[], Any]


class Notebook:
    """Calls in their order, and what each is to do: a test puts a function under ``<instance>.<method>``."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.errors: list[tuple[str, Any, BaseException]] = []
        self.signals: list[tuple[str, int | None]] = []
        self.threads: dict[str, str] = {}
        self.does: dict[str, Behaviour] = {}

    def call(self, instance: Any, method: str, default: Any) -> Any:
        key = f"{instance.get_simple_name()}.{method}"
        self.calls.append(key)
        self.threads[key] = threading.current_thread().name
        return self.does[key]() if key in self.does else default

    def raises(self, key: str, error: BaseException) -> None:
        def fail() -> Any:
            raise error

        self.does[key] = fail

    def answers(self, key: str, *answers: Any) -> None:
        """Give one answer after the other."""
        left = list(answers)
        self.does[key] = lambda: left.pop(0)

    def of(self, *methods: str) -> list[str]:
        return [call for call in self.calls if call.split(".")[1] in methods]


class Noting(Plugin):
    """Interrupts and errors of every plugin of these tests."""

    notebook: Notebook

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        NOTES[0].signals.append((self.get_simple_name(), system_signal))

    def _on_error(self, source: Any, exception: Exception) -> None:
        NOTES[0].errors.append((self.get_simple_name(), source, exception))


NOTES: list[Notebook] = []
"""The notebook of the test that runs."""


def note(instance: Any, method: str, default: Any = True) -> Any:
    return NOTES[0].call(instance, method, default)


class NotingService(Noting, ServicePlugin):
    def _on_service_start(self) -> bool:
        return note(self, "start")  # type: ignore[no-any-return]

    def _on_service_shutdown(self) -> bool:
        return note(self, "stop")  # type: ignore[no-any-return]


class NotingResource(Noting, ResourceHandlerPlugin):
    def _on_resource_creation(self) -> bool:
        return note(self, "create")  # type: ignore[no-any-return]

    def _on_resource_deletion(self) -> bool:
        return note(self, "delete")  # type: ignore[no-any-return]


class NotingInput(Noting, InputPortPlugin):
    def _on_port_open(self) -> bool:
        return note(self, "open")  # type: ignore[no-any-return]

    def _on_port_close(self) -> bool:
        return note(self, "close")  # type: ignore[no-any-return]

    def can_retrieve(self) -> bool:
        return note(self, "can_retrieve", default=False)  # type: ignore[no-any-return]

    def retrieve(self) -> Any:
        return note(self, "retrieve", default=[])

    def commit_current_read_offset(self) -> None:
        note(self, "commit")


class NotingOutput(Noting, OutputPortPlugin):
    def _on_port_open(self) -> bool:
        return note(self, "open")  # type: ignore[no-any-return]

    def _on_port_close(self) -> bool:
        return note(self, "close")  # type: ignore[no-any-return]

    def send(self, data: Any) -> Any:
        return note(self, "send")


class NotingExtended(Noting, ExtendedPlugin):
    def _pre_execution(self) -> None:
        note(self, "pre")

    def _post_execution(self) -> None:
        note(self, "post")


class BareOperator(BlankOperator):
    """An operator without plugins."""

    def _on_init(self) -> bool:
        return note(self, "init")  # type: ignore[no-any-return]

    def _on_running(self) -> bool | None:
        return note(self, "run")  # type: ignore[no-any-return]

    def _on_shutdown(self) -> bool:
        return note(self, "shutdown")  # type: ignore[no-any-return]

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        NOTES[0].signals.append((self.get_simple_name(), system_signal))

    def _on_error(self, source: Any, exception: Exception) -> None:
        NOTES[0].errors.append((self.get_simple_name(), source, exception))


class FullOperator(BareOperator):
    """An operator with one plugin of each kind."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.extended = NotingExtended()
        self.service = NotingService()
        self.resource = NotingResource()
        self.input = NotingInput()


class SessionDouble:
    """Stands in for a member's channels, and notes what the executor asks of it."""

    def __init__(self) -> None:
        self.ref = OperatorRef("pipeline", "run", "op", 0, "start")
        self.already_closed = False
        self.owes_deletion = False
        self.has_channel_inputs = False
        self.fenced = False
        self.asked: list[Any] = []
        self.handed_out: list[int] = []
        self.can: list[bool] = []
        self.on_wait: Callable[[float | None], None] = lambda timeout_s: None
        self.raises_at_finish: Exception | None = None
        self.interrupted = threading.Event()

    def take_up_deletion(self) -> None:
        self.asked.append("take up deletion")

    def iteration_started(self) -> None:
        self.asked.append("started")

    def iteration_failed(self, error: Exception) -> bool:
        return False

    def iteration_ended(self) -> int:
        self.asked.append("ended")
        return self.handed_out.pop(0) if self.handed_out else 0

    def can_retrieve(self) -> bool:
        return self.can.pop(0) if self.can else False

    def wait(self, timeout_s: float | None) -> None:
        self.asked.append(("wait", timeout_s))
        self.on_wait(timeout_s)

    def wake(self) -> None:
        pass

    def interrupt(self) -> None:
        self.interrupted.set()

    def finish(self, outcome: str) -> None:
        self.asked.append(("finish", outcome))
        if NOTES:
            NOTES[0].calls.append("session.finish")
        if self.raises_at_finish is not None:
            raise self.raises_at_finish

    def close(self) -> None:
        self.asked.append("close")

    @property
    def outcomes(self) -> list[str]:
        return [entry[1] for entry in self.asked if isinstance(entry, tuple) and entry[0] == "finish"]

    @property
    def waits(self) -> list[float | None]:
        return [entry[1] for entry in self.asked if isinstance(entry, tuple) and entry[0] == "wait"]


class RunDouble:
    """A run with one session."""

    def __init__(self, session: SessionDouble) -> None:
        self.id = "run"
        self.session = session
        self.on_enter: Callable[[], None] = lambda: None

    def enter(self, operator: Any, mode: Any) -> Any:
        self.on_enter()
        return self.session


class Observer:
    """Notes what plugins are told."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str, str]] = []
        self.failures: list[tuple[str, str, ErrorInfo]] = []
        self.ends: dict[str, int] = {}
        self.runs: list[Any] = []

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, old: str, new: str) -> None:
        self.states.append((operator.name, old, new))

    @hookimpl
    def pypz_operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        self.failures.append((operator.name, during, error))

    @hookimpl
    def pypz_operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        self.ends[operator.name] = exit_code

    @hookimpl
    def pypz_pipeline_started(self, pipeline: PipelineRef) -> None:
        self.runs.append(pipeline.name)

    @hookimpl
    def pypz_pipeline_finished(self, pipeline: PipelineRef, outcome: str) -> None:
        self.runs.append(outcome)


@pytest.fixture
def notes() -> Iterator[Notebook]:
    NOTES.insert(0, Notebook())
    yield NOTES[0]
    NOTES.pop(0)


@pytest.fixture
def session() -> SessionDouble:
    return SessionDouble()


@pytest.fixture
def run(session: SessionDouble) -> RunDouble:
    return RunDouble(session)


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
def host(observer: Observer) -> Iterator[PluginHost]:
    made = PluginHost(load=False)
    made.register(observer, "observer of the test")
    yield made
    made.close()


@pytest.fixture
def doubles() -> Any:
    """The classes of this file, which tests cannot import."""

    class Doubles:
        input = NotingInput
        output = NotingOutput
        service = NotingService
        resource = NotingResource
        extended = NotingExtended
        bare = BareOperator
        full = FullOperator
        note = staticmethod(note)
        deadline_s = DEADLINE_S

    return Doubles


@pytest.fixture
def make_operator(notes: Notebook) -> Callable[..., Any]:
    """Build an operator inside a pipeline; plugins are given by name as classes."""

    def make(base: type[Any] = BareOperator, **plugins: type[Any]) -> Any:
        class Made(base):  # type: ignore[misc]
            def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
                super().__init__(name, *args, **kwargs)
                for plugin_name, plugin in plugins.items():
                    setattr(self, plugin_name, plugin())

        class Around(Pipeline):
            def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
                super().__init__(name, *args, **kwargs)
                self.op = Made()

        return Around("pipeline").op

    return make

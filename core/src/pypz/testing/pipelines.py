"""Runs a user's pipeline, or one operator of it, in memory: ports fed by the test, what is sent and logged given back."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.core.commons.errors import ConfigurationError, PipelineFailedError, TransportTimeoutError
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.instance import Internals
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import LoggerPlugin, PortPlugin
from pypz.executors.pipeline.executor import PipelineExecutor

TIMEOUT_S: Final = 30.0
"""Seconds after which a pipeline under test is interrupted (chosen)."""


@dataclass(frozen=True)
class LogLine:
    """One event that an operator, or a plugin of it, has logged."""

    level: str
    """``error``, ``warning``, ``info`` or ``debug``."""
    operator: str
    """Simple name of the operator."""
    text: str


@dataclass
class PipelineResult:
    """What became of a pipeline."""

    exit_codes: dict[str, int]
    """By the operator's name, replicas included: 0, or the code of the state that failed."""
    sent: dict[str, list[Any]]
    """Records by the name of the output port that sent them, ``operator.port``, or ``port`` for a lone operator; in order
    per replica."""
    logs: list[LogLine] = field(default_factory=list)
    error: BaseException | None = None
    """What the first operator that failed has raised; None when all went well."""


@dataclass(frozen=True)
class Pause:
    """Among the records of ``feed``: what comes behind it is sent so many seconds later."""

    seconds: float


class _Feeder(BlankOperator):
    """Sends what the test gives, and ends."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = ChannelOutputPort()
        self.records: list[Any] = []

    def _on_running(self) -> bool:
        clock = self.get_clock()
        for is_pause, given in groupby(self.records, lambda record: isinstance(record, Pause)):
            if not is_pause:
                self.port.send(list(given))
                continue
            for pause in given:
                if clock.sleep(pause.seconds):
                    return False  # interrupted
        return True


class _Collector(BlankOperator):
    """Keeps what an output port sends."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = ChannelInputPort()
        self.records: list[Any] = []

    def _on_running(self) -> None:
        self.records += self.port.retrieve()


_logs: dict[str, list[LogLine]] = defaultdict(list)
"""Lines by the token of the run under test: replicas have plugins of their own, but share this."""


class _Recorder(LoggerPlugin):
    """Keeps what its operator logs."""

    token = OptionalParameter(str, alt_name="token", description="Whose lines these are")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.token = ""

    def _keep(self, level: str, event: str | None) -> None:
        _logs[self.token].append(LogLine(level, self.get_context().get_simple_name(), event or ""))

    def _error(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._keep("error", event)

    def _warning(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._keep("warning", event)

    def _info(self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        self._keep("info", event)

    def _debug(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._keep("debug", event)


class _Lone(Pipeline):
    """Holds an operator that is tested by itself."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.operator = kwargs["operator_class"]()


class PipelineBench:
    """One pipeline on its way through one test."""

    def __init__(
        self,
        tested: Pipeline | type[Operator],
        parameters: Mapping[str, Any],
        only: Sequence[str],
        clock: Clock = PROCESS_CLOCK,
    ) -> None:
        """Take a pipeline, which is changed by this, or the class of an operator that is tested by itself.

        Raises:
            ConfigurationError: ``only`` names an operator that is not there.
        """
        self._is_lone = isinstance(tested, type)
        self._pipeline = _Lone("tested", operator_class=tested) if isinstance(tested, type) else tested
        self._token = uuid.uuid4().hex
        self._clock = clock
        self._collectors: dict[str, Any] = {}
        for name, value in parameters.items():
            target: Any = self._pipeline.operator if isinstance(self._pipeline, _Lone) else self._pipeline
            target.set_parameter(name, value)
        if only:
            self._leave_out_but(only)
        self._operators = {op.get_simple_name(): op for op in self._members() if not isinstance(op, Operator.Replica)}

    def feed(self, records: Mapping[str, Sequence[Any]]) -> None:
        """Have records sent to input ports, each by a writer of its own, which then ends.

        Raises:
            ConfigurationError: There is no such port; tells those that are there. Or its records are no list.
        """
        for number, (name, given) in enumerate(records.items()):
            port = self._port(name, "in")
            if isinstance(given, str | bytes | Mapping):  # their parts would be taken for records
                text = f"feed[{name!r}] is a {type(given).__name__}, expected a list of records"
                raise ConfigurationError(f"{text}; for one record write [...] around it")
            feeder = _Feeder(f"fed_{number}", context=self._pipeline)
            setattr(self._pipeline, f"fed_{number}", feeder)
            feeder.records = list(given)
            self._connect(feeder.port, port)

    def collect(self) -> None:
        """Have all that output ports send kept."""
        for name, port in self._ports("out").items():
            attribute = f"sent_{len(self._collectors)}"
            self._collectors[name] = _Collector(attribute, context=self._pipeline)
            setattr(self._pipeline, attribute, self._collectors[name])
            self._connect(self._collectors[name].port, port)

    def run(self, timeout_s: float) -> PipelineResult:
        """Execute what is left of the pipeline.

        Raises:
            TransportTimeoutError: It did not end in time; tells which operators were still running, and was interrupted.
            ConfigurationError: A setting makes no sense; nothing was executed.
        """
        self._record_logs()
        for port in self._all_ports():
            port.set_parameter("channelLocation", f"memory:{self._token}")
            port.set_parameter("channelConfig", {})
        host = PluginHost()
        keeper = MemoryTransport(self._token, clock=self._clock)
        try:
            codes, error = self._execute(PipelineExecutor(self._pipeline, host=host, clock=self._clock), timeout_s)
        finally:
            keeper.close()
            host.close()
        ours = {f"fed_{number}" for number in range(len(codes))} | {f"sent_{number}" for number in range(len(codes))}
        named = {full.removeprefix(f"{self._pipeline.get_full_name()}."): code for full, code in codes.items()}
        return PipelineResult(
            {name: code for name, code in named.items() if name not in ours},
            {name: collector.records for name, collector in self._collectors.items()},
            _logs.pop(self._token, []),
            error,
        )

    def _execute(self, executor: PipelineExecutor, timeout_s: float) -> tuple[dict[str, int], BaseException | None]:
        late = threading.Event()

        def interrupt() -> None:
            late.set()
            executor.interrupt()

        timer = threading.Timer(timeout_s, interrupt)
        timer.daemon = True
        timer.start()
        try:
            codes: dict[str, int] = executor.start()
            error = None
        except PipelineFailedError as failure:
            codes, error = failure.exit_codes, failure.__cause__ or failure
        finally:
            timer.cancel()
            timer.join()
        if late.is_set():
            raise TransportTimeoutError(
                f"pipeline {self._pipeline.get_full_name()!r} did not end within {timeout_s:g} s and was interrupted; does "
                "_on_running return True, or None with input ports that end? Feed each input port, or raise timeout_s"
            )
        return codes, error

    # --- within ---

    def _members(self) -> list[Any]:
        return list(Internals(self._pipeline).nested_instances.values())

    def _all_ports(self) -> list[Any]:
        members = [op for op in self._members() if not isinstance(op, Operator.Replica)]
        plugins = [plugin for op in members for plugin in Internals(op).nested_instances.values()]
        return [plugin for plugin in plugins if isinstance(plugin, ChannelInputPort | ChannelOutputPort)]

    def _ports(self, direction: str) -> dict[str, Any]:
        found = {}
        for name, operator in self._operators.items():
            for plugin in Internals(operator).nested_instances.values():
                if isinstance(plugin, ChannelInputPort | ChannelOutputPort) and plugin.direction == direction:
                    port = plugin.get_simple_name()
                    found[port if self._is_lone else f"{name}.{port}"] = plugin
        return found

    def _port(self, name: str, direction: str) -> Any:
        ports = self._ports(direction)
        if name not in ports:
            raise ConfigurationError(
                f"there is no input port {name!r} to feed, expected one of {', '.join(sorted(ports)) or 'none'}"
            )
        return ports[name]

    @staticmethod
    def _connect(own: Any, port: Any) -> None:
        own.set_schema(port.get_schema())
        own.content_type = port.content_type
        own.connect(port)

    def _record_logs(self) -> None:
        for operator in self._operators.values():
            operator.recorder_of_test = _Recorder("recorder_of_test", context=operator)
            operator.recorder_of_test.set_parameter("token", self._token)

    def _leave_out_but(self, only: Sequence[str]) -> None:
        """Take the other operators out, and their ports off those that stay."""
        members = self._members()
        names = {op.get_simple_name() for op in members if not isinstance(op, Operator.Replica)}
        if absent := set(only) - names:
            raise ConfigurationError(f"only={sorted(absent)}: no such operator, expected some of {sorted(names)}")
        staying = [op for op in members if (op.get_group_principal() or op).get_simple_name() in only]
        for operator in staying:
            for plugin in Internals(operator).nested_instances.values():
                if isinstance(plugin, PortPlugin) and not isinstance(operator, Operator.Replica):
                    connected = vars(plugin)["_pypz_connected"]
                    connected -= {port for port in connected if port.get_context() not in staying}
        nested = Internals(self._pipeline).nested_instances
        for name, operator in list(nested.items()):
            if operator not in staying:
                del nested[name]


def run_pipeline(
    tested: Pipeline | type[Operator],
    *,
    feed: Mapping[str, Sequence[Any]] | None = None,
    only: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    timeout_s: float = TIMEOUT_S,
    clock: Clock = PROCESS_CLOCK,
) -> PipelineResult:
    """Execute a pipeline, or one operator, in this process and in memory, and give what became of it.

    Args:
        tested: The pipeline, which is changed by this: make it in the test. Or the class of an operator.
        feed: Records by the name of the input port that gets them, ``operator.port``, or ``port`` for a lone operator. They
            come besides what other operators write there, and end then. A `Pause` among them lets time pass.
        only: Operators that are executed; left out: all. The others are taken out, with their connections.
        parameters: Set before the start, as `set_parameter` does, on the pipeline or the lone operator.
        timeout_s: Seconds until it is interrupted, of the process's own time.
        clock: By which it goes; a `FakeClock` jumps to what is due next when all sleep.

    Raises:
        TransportTimeoutError: It did not end in time.
        ConfigurationError: A name or a setting makes no sense; nothing was executed.
        LookupError: A required parameter has no value.
    """
    bench = PipelineBench(tested, parameters or {}, only, clock)
    bench.feed(feed or {})
    bench.collect()
    return bench.run(timeout_s)

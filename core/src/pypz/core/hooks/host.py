"""The plugins of this process, and one typed method for each hook that asks or tells them.

The core calls hooks through `PluginHost` only. Building hooks ask plugins before the core itself, in the order of their
names, until one answers. Observing hooks only queue: one thread a host tells the observers (see `dispatcher`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import pluggy

from pypz.core.commons.errors import PluginError, PypzError
from pypz.core.hooks import spec
from pypz.core.hooks.advice import Unanswered
from pypz.core.hooks.asking import TRIALS, answer_of, try_out
from pypz.core.hooks.dispatcher import Dispatcher, Observer
from pypz.core.hooks.loader import (
    HOOKS,
    PluginReport,
    asking_order,
    check_plugin,
    former_distributions,
    load_plugins,
    say,
    schemes_of,
)

if TYPE_CHECKING:
    from pypz.core.channels.spi import Transport
    from pypz.core.codecs.spi import Codec
    from pypz.core.commons.loggers import ContextLoggerInterface
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
    from pypz.core.specs.operator import Operator
    from pypz.deployers.base import Deployer

BUILDING: Final = ("pypz_make_transport", "pypz_make_codec", "pypz_make_logger", "pypz_make_deployer")
OBSERVING: Final = tuple(name for name in HOOKS if name not in BUILDING)

_making = threading.RLock()


class PluginHost:
    """Holds plugins and calls them. Thread-safe."""

    _default: PluginHost | None = None
    _is_making_default = False

    def __init__(self, load: bool = True, strict: bool = False) -> None:
        """Make a host.

        Args:
            load: Load all installed plugins; else the host starts empty, without even the core's own.
            strict: A plugin that cannot be loaded raises `PluginError`, instead of being reported.
        """
        self._lock = threading.RLock()
        self._plugins = pluggy.PluginManager("pypz")
        self._plugins.add_hookspecs(spec)
        self._dispatcher = Dispatcher()
        self._reports: dict[tuple[str, str], PluginReport] = {}
        self._told: set[str] = set()
        loaded = load_plugins(strict) if load else []
        for one in loaded:
            self._reports[one.report.name, one.report.dist] = one.report
        # Who is registered last is asked first: the core last of all, the others in the order of their names.
        for one in reversed(asking_order(loaded)):
            if one.plugin is not None:
                self._add(one.plugin, one.report.name)

    @classmethod
    def default(cls) -> PluginHost:
        """The host of this process, made and its plugins loaded at the first call."""
        host = cls._default
        if host is None:
            with _making:
                if cls._is_making_default:
                    raise PluginError("a plugin asked for the plugin host while it was being loaded; ask later")
                if cls._default is None:
                    cls._is_making_default = True
                    try:
                        cls._default = cls()
                    finally:
                        cls._is_making_default = False
                    cls._default._tell_of_failures()
                host = cls._default
        return host

    # --- plugins ------------------------------------------------------------------------------------------------------

    @property
    def reports(self) -> tuple[PluginReport, ...]:
        """What became of each plugin, by name."""
        with self._lock:
            return tuple(sorted(self._reports.values(), key=lambda report: (report.name, report.dist)))

    @property
    def cut_off(self) -> Mapping[str, str]:
        """Observers that are told nothing more, with the reason."""
        return self._dispatcher.cut_off

    def register(self, plugin: object, name: str | None = None) -> str:
        """Add a plugin: a module or an instance with functions marked ``@hookimpl``.

        Args:
            plugin: The plugin; observers are told what happens from now on.
            name: Name for messages and reports; left out, one is made from the plugin's own.

        Returns:
            The name.

        Raises:
            PluginError: It does not keep the contract, or the name is taken.
        """
        name = name or str(getattr(plugin, "__name__", "") or f"{type(plugin).__name__}-{id(plugin):x}")
        try:
            hooks = check_plugin(plugin)
        except PluginError as error:
            raise PluginError(f"plugin {name!r}: {error}") from error
        with self._lock:
            if self._plugins.has_plugin(name):
                raise PluginError(f"plugin {name!r}: this name is taken; unregister the other, or give another name")
            if self._plugins.is_registered(plugin):
                raise PluginError(f"plugin {name!r} is registered already, as {self._plugins.get_name(plugin)!r}")
            self._add(plugin, name)
            module = getattr(plugin, "__name__", None) or type(plugin).__module__
            self._reports[name, ""] = PluginReport(name, "", "", str(module), "loaded", hooks=hooks)
        return name

    def unregister(self, plugin: object) -> None:
        """Take a plugin out, by itself or its name; what waits for it is not told (`flush` before). Idempotent."""
        with self._lock:
            name = plugin if isinstance(plugin, str) else self._plugins.get_name(plugin)
            if name is not None and self._plugins.has_plugin(name):
                self._plugins.unregister(name=name)
                self._dispatcher.remove(name)
                self._reports = {key: report for key, report in self._reports.items() if key[0] != name}

    def flush(self, timeout_s: float) -> bool:
        """Wait until the observers were told everything that happened before this call; False at the time-out."""
        return self._dispatcher.flush(timeout_s)

    def close(self) -> None:
        """Tell observers nothing more and end the threads; `flush` first. Idempotent."""
        self._dispatcher.close()

    # --- building -----------------------------------------------------------------------------------------------------

    def make_transport(self, location: str, options: Mapping[str, str]) -> Transport:
        """Build the transport for a location; a new one at each call.

        Raises:
            ConfigurationError: No plugin knows the scheme, or an option makes no sense.
            PluginError: The plugin failed.
        """
        answer = self._ask("pypz_make_transport", location=location, options=options)
        if answer is None:
            raise self._unanswered().location(location)
        return cast("Transport", answer)

    def make_codec(self, schema: Any, content_type: str = "") -> Codec:
        """Build the codec for a schema; a new one at each call.

        Raises:
            ConfigurationError: No plugin knows this kind of schema or content type.
            SchemaError: The schema cannot be parsed.
            PluginError: The plugin failed.
        """
        answer = self._ask("pypz_make_codec", schema=schema, content_type=content_type)
        if answer is None:
            raise self._unanswered().schema(schema, content_type)
        return cast("Codec", answer)

    def make_logger(self, operator: Operator) -> ContextLoggerInterface | None:
        """Build a logger for an operator without logger plugin; None: it stays silent.

        Raises:
            PluginError: The plugin failed.
        """
        answer = self._ask("pypz_make_logger", operator=operator)
        return cast("ContextLoggerInterface | None", answer)

    def make_deployer(self, target: str, options: Mapping[str, str]) -> Deployer:
        """Build the deployer for a kind of place; a new one at each call.

        Raises:
            ConfigurationError: No plugin knows the target, or an option makes no sense.
            PluginError: The plugin failed.
        """
        answer = self._ask("pypz_make_deployer", target=target, options=options)
        if answer is None:
            raise self._unanswered().target(target)
        return cast("Deployer", answer)

    def wants(self, hook: str) -> bool:
        """Whether anybody observes this hook; costs next to nothing."""
        return self._dispatcher.wants(hook)

    # --- observing: these only queue, and cost next to nothing when nobody observes -----------------------------------

    def pipeline_started(self, pipeline: PipelineRef) -> None:
        """A run was started."""
        self._dispatcher.tell("pypz_pipeline_started", {"pipeline": pipeline})

    def pipeline_finished(self, pipeline: PipelineRef, outcome: str) -> None:
        """A run has ended for good: ``finished``, ``failed`` or ``interrupted``."""
        self._dispatcher.tell("pypz_pipeline_finished", {"pipeline": pipeline, "outcome": outcome})

    def operator_state_changed(self, operator: OperatorRef, old: str, new: str, at_utc: float | None = None) -> None:
        """A member went from one state to another; now, unless ``at_utc`` tells when."""
        told = {"operator": operator, "old": old, "new": new, "at_utc": time.time() if at_utc is None else at_utc}
        self._dispatcher.tell("pypz_operator_state_changed", told)

    def operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        """A member failed in the state ``during``."""
        self._dispatcher.tell("pypz_operator_failed", {"operator": operator, "during": during, "error": error})

    def operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        """A member ended."""
        self._dispatcher.tell("pypz_operator_finished", {"operator": operator, "exit_code": exit_code})

    def port_opened(self, port: PortRef) -> None:
        """A channel port is open."""
        self._dispatcher.tell("pypz_port_opened", {"port": port})

    def port_closed(self, port: PortRef) -> None:
        """A channel port was closed."""
        self._dispatcher.tell("pypz_port_closed", {"port": port})

    def channel_status(self, status: ChannelStatus) -> None:
        """Figures of a port on a channel; takes the place of older ones that still wait."""
        operator = status.port.operator
        key: Hashable = (operator.name, operator.start, status.port.name, status.channel)
        self._dispatcher.tell("pypz_channel_status", {"status": status}, key)

    def process_status(self, status: ProcessStatus) -> None:
        """What a process uses; takes the place of older ones that still wait."""
        self._dispatcher.tell("pypz_process_status", {"status": status}, ("process", status.host, status.process))

    def log(self, record: LogRecord) -> bool:
        """A member logged a line; gives whether observers will be told, which they are not while too many lines wait."""
        return self._dispatcher.offer("pypz_log", {"record": record})

    def deployment_changed(self, member: DeployedRef, state: str, reason: str) -> None:
        """A deployed member is in another state."""
        self._dispatcher.tell("pypz_deployment_changed", {"member": member, "state": state, "reason": reason})

    # --- within -------------------------------------------------------------------------------------------------------

    def _add(self, plugin: object, name: str) -> None:
        self._plugins.register(plugin, name)
        methods = {
            caller.name: _by_name(impl.function, impl.argnames)
            for caller in self._plugins.get_hookcallers(plugin) or ()
            for impl in caller.get_hookimpls()
            if impl.plugin is plugin and caller.name in OBSERVING
        }
        if methods:
            self._dispatcher.add(Observer(name, methods))

    def _ask(self, hook: str, **arguments: Any) -> object | None:
        """The first answer that is not None, and that has what it must have."""
        with self._lock:
            impls = list(getattr(self._plugins.hook, hook).get_hookimpls())
        failure: PluginError | None = None
        for impl in reversed(impls):
            try:
                given = [arguments[name] for name in impl.argnames]
                answer = answer_of(impl.plugin_name, hook, impl.function, given)
            except PluginError as error:
                failure = failure or error  # perhaps it was not even meant: others may answer
                continue
            except PypzError:
                self._tell_once(failure)
                raise
            if answer is not None:
                self._tell_once(failure)
                return answer
        if failure is not None:
            raise failure
        return None

    def try_out(self) -> Mapping[str, Sequence[str]]:
        """Ask every plugin's building hooks for what is nobody's, and for a transport of each scheme of its own.

        Building hooks do no I/O, so nothing but time is spent; what comes is closed.

        Returns:
            What is wrong, by the names of the plugins about which there is something to say.
        """
        found: dict[str, list[str]] = {}
        for hook in TRIALS:
            with self._lock:
                impls = list(getattr(self._plugins.hook, hook).get_hookimpls())
            for impl in impls:
                if troubles := try_out(impl, hook):
                    found.setdefault(impl.plugin_name, []).extend(troubles)
        return found

    def _tell_once(self, failure: PluginError | None) -> None:
        trouble = str(failure)
        with self._lock:
            is_new = failure is not None and trouble not in self._told
            self._told.add(trouble)
        if is_new:
            say(trouble)

    def _unanswered(self) -> Unanswered:
        with self._lock:
            plugins = self._plugins.get_plugins()
        schemes = {scheme for plugin in plugins for scheme in schemes_of(plugin)}
        targets = {str(target) for plugin in plugins for target in getattr(plugin, "PYPZ_TARGETS", ())}
        return Unanswered(
            sorted(schemes), sorted(targets), [report for report in self.reports if report.state != "loaded"]
        )

    def _tell_of_failures(self) -> None:
        if former := former_distributions():
            names = " ".join(name.partition(" ")[0] for name in former)
            say(
                f"{', '.join(former)} installed beside this version: they hold files of the same names; "
                f"`pip uninstall {names}`, then install pypz anew"
            )
        for report in self.reports:
            who = f"plugin {report.name!r} of {report.dist} {report.version}"
            if report.state == "failed":
                say(f"{who} was not loaded: {report.reason}")
            for note in report.notes:
                if note.startswith("scheme "):
                    say(f"{who}: {note}")


def _by_name(function: Callable[..., object], names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], object]:
    return lambda arguments: function(*[arguments[name] for name in names])

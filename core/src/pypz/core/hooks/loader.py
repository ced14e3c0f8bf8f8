"""Finds the installed plugins and loads each on its own; a broken one is reported with its reason, the others come.

Registers nothing: `PluginHost` does. ``PYPZ_PLUGINS_DISABLED=name,...`` leaves plugins out.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import io
import os
import re
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import pluggy

from pypz.core.commons.errors import PluginError
from pypz.core.hooks import spec

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

CORE_PLUGIN: Final = "core"
"""Name of the core's own plugin, which is asked last."""

DISABLED_VARIABLE: Final = "PYPZ_PLUGINS_DISABLED"

SLOW_LOAD_S: Final = 10.0
"""Seconds after which a plugin that is still loading is named on stderr (design)."""

HOOKS: Final[dict[str, Callable[..., Any]]] = {
    name: function for name, function in vars(spec).items() if hasattr(function, "pypz_spec")
}
"""Every hook of the specification by name, in the order of the specification."""

ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(inspect.signature(function).parameters) for name, function in HOOKS.items()
}
"""What each hook is called with."""


_REFERENCE: Final = re.compile(r"[\w.]+\s*(:\s*[\w.]+\s*)?(\[.*\])?\s*")
"""What an entry point may name."""

KEPT_CHARACTERS: Final = 10_000
"""Characters kept of what a plugin prints while it is loaded (chosen)."""

FORMER: Final = ("pypz-core", "pypz-io-sniffer", "pypz-k8s-deployer", "pypz-kafka-io", "pypz-rmq-io")
"""Distributions of earlier versions (0.10), which hold files of the same names as ours."""


@dataclass(frozen=True)
class PluginReport:
    """What became of one installed plugin."""

    name: str
    dist: str
    """Distribution that brought it; empty when it was registered by code."""
    version: str
    module: str
    """Where the entry point points to."""
    state: Literal["loaded", "disabled", "failed"]
    reason: str = ""
    """Why it is not loaded."""
    hooks: tuple[str, ...] = ()
    """Hooks that it implements."""
    notes: tuple[str, ...] = ()
    """What is odd about a plugin that is loaded: slow, prints, starts threads, wants another's scheme, answers nonsense."""


@dataclass(frozen=True)
class LoadedPlugin:
    """A report, and the plugin itself when it was loaded."""

    report: PluginReport
    plugin: object | None = field(default=None, repr=False)


def say(text: str) -> None:
    """Write one line for the user to stderr; never fails."""
    with contextlib.suppress(Exception):
        sys.stderr.write(f"pypz: {text}\n")
        sys.stderr.flush()


def disabled_names() -> frozenset[str]:
    """Plugins that the environment leaves out."""
    return frozenset(name.strip() for name in os.environ.get(DISABLED_VARIABLE, "").split(",") if name.strip())


def former_distributions() -> list[str]:
    """Name and version of each distribution installed here that overwrites our files, or is overwritten by them."""
    from importlib_metadata import PackageNotFoundError, distribution

    found = []
    for name in FORMER:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {distribution(name).version}")
    return found


def load_plugins(strict: bool = False) -> list[LoadedPlugin]:
    """Load every installed plugin, by name.

    Args:
        strict: Raise for the first one that cannot be loaded, or about which something is odd, instead of reporting it.

    Raises:
        PluginError: There is such a plugin and ``strict`` is set.
    """
    from importlib_metadata import entry_points  # 20 ms, and only needed here

    found = sorted(entry_points(group=spec.ENTRY_POINT_GROUP), key=lambda entry: (entry.name, _dist_of(entry)))
    disabled = disabled_names()
    taken: dict[str, str] = {}
    loaded: list[LoadedPlugin] = []
    for entry in found:
        if entry.name in disabled:
            one = LoadedPlugin(_report(entry, "disabled", reason=f"left out by {DISABLED_VARIABLE}"))
        elif entry.name in taken:
            reason = f"the name {entry.name!r} is taken by {taken[entry.name]}; one of the two must be uninstalled"
            one = LoadedPlugin(_report(entry, "failed", reason=reason))
        else:
            taken[entry.name] = _dist_of(entry)
            one = _load(entry)
        loaded.append(one)
    loaded = [_with_conflicts(one, loaded) for one in loaded]
    for report in (one.report for one in loaded if strict):
        if report.state == "failed" or report.notes:
            trouble = "; ".join(filter(None, (report.reason, *report.notes)))
            raise PluginError(f"plugin {report.name!r} of {report.dist} {report.version}: {trouble}")
    return loaded


def asking_order(loaded: Sequence[LoadedPlugin]) -> list[LoadedPlugin]:
    """Who is asked before whom: in the order of names, the core last."""
    return sorted(loaded, key=lambda one: (one.report.name == CORE_PLUGIN, one.report.name))


def schemes_of(plugin: object) -> tuple[str, ...]:
    """Schemes of locations that a plugin says are its own."""
    stated = getattr(plugin, "PYPZ_SCHEMES", ())
    return (
        tuple(str(scheme) for scheme in stated)
        if isinstance(stated, list | tuple | set | frozenset)
        else (str(stated),)
    )


def _with_conflicts(one: LoadedPlugin, loaded: Sequence[LoadedPlugin]) -> LoadedPlugin:
    """Note the schemes of this plugin that another one, which is asked first, answers for."""
    order = [other for other in asking_order(loaded) if other.plugin is not None]
    if one not in order:
        return one
    notes = [
        f"scheme {scheme}: is answered by plugin {other.report.name!r} of {other.report.dist}, which is asked first; "
        f"{DISABLED_VARIABLE}={other.report.name} leaves that one out"
        for scheme in schemes_of(one.plugin)
        for other in order[: order.index(one)]
        if scheme in schemes_of(other.plugin)
    ]
    return replace(one, report=replace(one.report, notes=(*one.report.notes, *notes))) if notes else one


def check_plugin(plugin: object) -> tuple[str, ...]:
    """Hold a plugin against the contract.

    Returns:
        The hooks that it implements, in the order of the specification; none is allowed.

    Raises:
        PluginError: It does not keep the contract; tells what is wrong and how to mend it.
    """
    if inspect.isclass(plugin):
        raise PluginError(f"{plugin.__qualname__} is a class; register a module or an instance")
    if isinstance(plugin, types.FunctionType | type(None) | int | float | str | bytes | list | tuple | dict | set):
        raise PluginError(f"it is of type {type(plugin).__name__}; register a module or an instance with hooks")
    stated = getattr(plugin, "PYPZ_CONTRACT", spec.CONTRACT)
    if stated != spec.CONTRACT:
        raise PluginError(f"it is made for contract {stated!r}, this pypz speaks contract {spec.CONTRACT}")
    hooks = [hook for name in dir(plugin) if (hook := _check_member(plugin, name)) is not None]
    twice = sorted({hook for hook in hooks if hooks.count(hook) > 1})
    if twice:
        raise PluginError(f"it implements {', '.join(twice)} more than once")
    trial = pluggy.PluginManager("pypz")
    trial.add_hookspecs(spec)
    try:
        trial.register(plugin, "trial")
    except pluggy.PluginValidationError as error:
        raise PluginError(" ".join(str(error).split())) from error
    return tuple(name for name in HOOKS if name in hooks)


def _check_member(plugin: object, name: str) -> str | None:
    """Name of the hook that this attribute implements; None for all that is no hook."""
    member = inspect.getattr_static(plugin, name, None)
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    marked = getattr(member, "pypz_impl", None) if isinstance(member, types.FunctionType) else None
    if not isinstance(marked, dict):
        if name.startswith("pypz_") and callable(member) and not hasattr(member, "pypz_spec"):
            if name in HOOKS:
                raise PluginError(f"{name} carries no @hookimpl, so it would never be called; mark it")
            raise PluginError(_unknown(name))
        return None
    hook = str(marked.get("specname") or name)
    if hook not in HOOKS:
        raise PluginError(_unknown(hook))
    if marked.get("wrapper") or marked.get("hookwrapper"):
        raise PluginError(f"{hook}: a hook cannot be wrapped; answer it, or return None")
    if inspect.iscoroutinefunction(member) or inspect.isgeneratorfunction(member):
        raise PluginError(f"{hook} must be a plain function, not a coroutine or generator")
    _check_arguments(hook, getattr(plugin, name))
    return hook


def _check_arguments(hook: str, function: Callable[..., Any]) -> None:
    given = ARGUMENTS[hook]
    shown = f"{hook} is called with ({', '.join(given)})"
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PluginError(f"{shown}, each by its name; it cannot take {parameter}")
        has_default = parameter.default is not parameter.empty
        if parameter.name not in given and not has_default:
            near = difflib.get_close_matches(parameter.name, given, 1)
            hint = f"; meant {near[0]!r}?" if near else ""
            raise PluginError(f"{shown}, it wants {parameter.name!r}{hint}")
        if parameter.name in given and (has_default or parameter.kind is parameter.KEYWORD_ONLY):
            raise PluginError(f"{shown}; {parameter.name!r} must be plain and without default, or it is not passed")


def _unknown(name: str) -> str:
    bare = {hook.removeprefix("pypz_"): hook for hook in HOOKS}
    near = difflib.get_close_matches(name.removeprefix("pypz_"), bare, 1)
    hint = f"; meant {bare[near[0]]}?" if near else f"; contract {spec.CONTRACT} has {', '.join(HOOKS)}"
    return f"unknown hook {name}{hint}"


def _load(entry: EntryPoint) -> LoadedPlugin:
    """Load one entry point; whatever it does but a Ctrl-C of the user's becomes a report."""
    printed = io.StringIO()
    threads = set(threading.enumerate())
    begun = time.monotonic()
    watch = threading.Timer(SLOW_LOAD_S, say, [_slow(entry, "has been loading for")])
    watch.daemon = True
    watch.start()
    threads.add(watch)
    try:
        if not _REFERENCE.fullmatch(entry.value):
            raise PluginError(
                f"its entry point names {entry.value!r}, expected 'package.module' or 'package.module:name'"
            )
        with _kept_quiet(printed):
            plugin = entry.load()
            hooks = check_plugin(plugin)
    except KeyboardInterrupt:
        raise
    except PluginError as error:
        return LoadedPlugin(_report(entry, "failed", reason=str(error), notes=_notes(printed)))
    except BaseException as error:  # noqa: BLE001 - a plugin may even call sys.exit when it is imported
        return LoadedPlugin(_report(entry, "failed", reason=_reason(error), notes=_notes(printed)))
    finally:
        watch.cancel()
    notes = (*_notes(printed), *_notes_of_threads(set(threading.enumerate()) - threads))
    if time.monotonic() - begun > SLOW_LOAD_S:
        notes = (_slow(entry, "took more than"), *notes)
    return LoadedPlugin(_report(entry, "loaded", hooks=hooks, notes=notes), plugin)


def _slow(entry: EntryPoint, verb: str) -> str:
    how = f"{DISABLED_VARIABLE}={entry.name} leaves it out"
    return f"plugin {entry.name!r} of {_dist_of(entry)} {verb} {SLOW_LOAD_S:g} s; {how}"


def _notes(printed: io.StringIO) -> tuple[str, ...]:
    text = " ".join(printed.getvalue().split())
    return (f"printed while it was loaded: {text[:200]}",) if text else ()


def _notes_of_threads(started: set[threading.Thread]) -> tuple[str, ...]:
    if not started:
        return ()
    names = ", ".join(sorted(thread.name for thread in started))
    stays = any(not thread.daemon for thread in started)
    end = ", and keeps the process from ending" if stays else ""
    return (f"started {len(started)} thread{'s' * (len(started) > 1)} while it was loaded ({names}){end}",)


def _reason(error: BaseException) -> str:
    """One line: what happened, and the last place of it in a file of the plugin or of what it imports."""
    text = " ".join(str(error).split())
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        text = error.msg
        places.append((error.filename, error.lineno))
    foreign = [place for place in places if place[0] != __file__ and not re.search(r"<frozen|[/\\]importlib", place[0])]
    where = f" ({foreign[-1][0]}, line {foreign[-1][1]})" if foreign else ""
    return f"{type(error).__name__}: {text}{where}"


def _dist_of(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown distribution"


def _report(
    entry: EntryPoint,
    state: Literal["loaded", "disabled", "failed"],
    reason: str = "",
    hooks: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> PluginReport:
    return PluginReport(
        name=entry.name,
        dist=entry.dist.name if entry.dist is not None else "",
        version=entry.dist.version if entry.dist is not None else "",
        module=entry.value,
        state=state,
        reason=reason,
        hooks=tuple(hooks),
        notes=tuple(notes),
    )


class _ThreadsOwn:
    """Stands in for a standard stream: keeps what one thread prints for a while, and passes on all else."""

    def __init__(self, kept: io.StringIO, other: Any) -> None:
        self._kept: io.StringIO | None = kept
        self._other = other  # Any: whatever stands in sys.stdout
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if self._kept is not None and threading.get_ident() == self._thread:
            self._kept.write(text[: max(0, KEPT_CHARACTERS - self._kept.tell())])
            return len(text)
        return int(self._other.write(text)) if self._other is not None else len(text)

    def let_go(self) -> None:
        """A logging handler made meanwhile may hold this object for ever: from now on it only passes on."""
        self._kept = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)


@contextlib.contextmanager
def _kept_quiet(printed: io.StringIO) -> Iterator[None]:
    """Catch what this thread prints, so that a plugin's greetings do not get between a user's records."""
    out, err = _ThreadsOwn(printed, sys.stdout), _ThreadsOwn(printed, sys.stderr)
    with contextlib.redirect_stdout(cast(Any, out)), contextlib.redirect_stderr(cast(Any, err)):
        try:
            yield
        finally:
            out.let_go()
            err.let_go()

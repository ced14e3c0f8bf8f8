"""One plugin's answer to one building hook: asked for, held against what it must be, and tried out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pluggy

from pypz.core.commons.errors import PluginError, PypzError
from pypz.core.hooks.loader import DISABLED_VARIABLE, say, schemes_of

BUSY_HOOK_S: Final = 10.0
"""Seconds after which a building hook that has not answered is named on stderr (as for a slow load)."""

_TRANSPORT_METHODS: Final = ("create_channel", "describe_channel", "delete_channel", "open_status", "open_client")
_DEPLOYER_METHODS: Final = ("deploy", "destroy", "is_deployed", "attach", "retrieve_pipeline_state")
_CODEC_METHODS: Final = ("encode", "join", "decoder")

NOBODYS: Final = "pypz-trial"
"""Stands for a place, a scheme, a format that nobody has."""

ANSWERS: Final[Mapping[str, tuple[str, ...]]] = {
    "pypz_make_transport": _TRANSPORT_METHODS,
    "pypz_make_codec": _CODEC_METHODS,
    "pypz_make_logger": (),
    "pypz_make_deployer": _DEPLOYER_METHODS,
}
"""What an answer to a building hook must have."""

TRIALS: Final[Mapping[str, Mapping[str, Any]]] = {
    "pypz_make_transport": {"location": f"{NOBODYS}://{NOBODYS}", "options": {}},
    "pypz_make_codec": {"schema": None, "content_type": NOBODYS},
    "pypz_make_deployer": {"target": NOBODYS, "options": {}},
}
"""What nobody has to answer to."""


def answer_of(name: str, hook: str, function: Callable[..., object], arguments: Sequence[object]) -> object | None:
    """What one plugin answers to a building hook.

    Args:
        name: The plugin's.
        hook: Name of the hook.
        function: The plugin's function.
        arguments: What it is called with.

    Raises:
        PypzError: What the plugin says about arguments that are its own.
        PluginError: It failed, or answered with something else.
    """
    how = f"{DISABLED_VARIABLE}={name} leaves it out"
    watch = threading.Timer(
        BUSY_HOOK_S, say, [f"plugin {name!r}: {hook} has not answered for {BUSY_HOOK_S:g} s; it may do no I/O; {how}"]
    )
    watch.daemon = True
    watch.start()
    try:
        answer = function(*arguments)
    except (PypzError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin may even call sys.exit
        raise PluginError(f"plugin {name!r}: {hook} raised {type(error).__name__}: {error}") from error
    finally:
        watch.cancel()
    missing = [method for method in ANSWERS[hook] if not callable(getattr(answer, method, None))]
    if answer is not None and missing:
        raise PluginError(
            f"plugin {name!r}: {hook} answered with a {type(answer).__name__}, which has no {', '.join(missing)}"
        )
    return answer


def try_out(impl: pluggy.HookImpl, hook: str) -> list[str]:
    """Ask a plugin for what is nobody's, and for a transport of each scheme of its own; gives what is wrong."""
    arguments = TRIALS[hook]
    own = [f"{scheme}://{NOBODYS}" for scheme in schemes_of(impl.plugin)] if "location" in arguments else []
    found = [_trial(impl, hook, arguments, is_own=False)]
    found += [_trial(impl, hook, {**arguments, "location": location}, is_own=True) for location in own]
    return list(dict.fromkeys(filter(None, found)))


def _trial(impl: pluggy.HookImpl, hook: str, asked: Mapping[str, Any], is_own: bool) -> str:
    """What is wrong with one answer; empty when nothing is."""
    shown = ", ".join(f"{name} {value!r}" for name, value in asked.items() if isinstance(value, str))
    try:
        answer = answer_of(impl.plugin_name, hook, impl.function, [asked[name] for name in impl.argnames])
    except PluginError as error:
        return str(error).removeprefix(f"plugin {impl.plugin_name!r}: ")
    except PypzError as error:
        return "" if is_own else f"{hook} refused {shown}, which is not its own: {error}"
    if answer is None:
        return f"{hook} does not answer to {shown}, though PYPZ_SCHEMES names it" if is_own else ""
    close = getattr(answer, "close", None)
    if callable(close):
        with contextlib.suppress(Exception):
            close()
    return "" if is_own else f"{hook} answers to {shown}, which is not its own"

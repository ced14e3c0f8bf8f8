"""What is wrong with options and arguments, in our words instead of the library's."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any


def in_words(error: Any, arguments: Sequence[str]) -> str:
    """Say what is wrong, with the value, what is accepted and the way out.

    Args:
        error: The library's error; known by what it carries, for its classes are not public.
        arguments: All that was given.
    """
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    command = context.command_path if context is not None else " ".join(["pypz", *arguments[:1]])
    return f"{_fault(error, param, context, arguments)}; `{command} --help` shows all"


def _fault(error: Any, param: Any, context: Any, arguments: Sequence[str]) -> str:
    message = error.format_message()
    option = getattr(error, "option_name", None)
    if hasattr(error, "possibilities"):
        near = " or ".join(repr(one) for one in sorted(error.possibilities or ()))
        return f"there is no option {option!r}" + (f"; meant {near}?" if near else "")
    if option is not None:
        takes_none = "does not take" in message
        return f"option {option!r} takes no value" if takes_none else f"option {option!r} needs a value behind it"
    if hasattr(error, "param_type"):
        return f"{_name(param)} is missing" + (f": {param.help.rstrip('.')}" if getattr(param, "help", None) else "")
    if param is not None:
        place, value = _given(param, context, arguments)
        return f"{place}{'' if value is None else f' is {value!r}'}, expected {_expected(message, param)}"
    extra = re.search(r"extra arguments? ?\(?s?\)? ?\((.*)\)", message)
    if extra is not None and context is not None:
        names = [_name(one) for one in context.command.params if not one.opts[0].startswith("-")]
        return f"nothing is expected at {extra[1]!r}; arguments are {' '.join(names) or 'none'}"
    return str(message).rstrip(".")


def _given(param: Any, context: Any, arguments: Sequence[str]) -> tuple[str, str | None]:
    """Where the value stands, and the value, as far as it is found."""
    for place in reversed(range(len(arguments))):
        option, is_one, value = arguments[place].partition("=")
        if option in param.opts and option.startswith("-"):
            return option, value if is_one else next(iter(arguments[place + 1 :]), None)
    if param.envvar and isinstance(param.envvar, str) and param.envvar in os.environ:
        return f"environment variable {param.envvar}", os.environ[param.envvar]
    if context is None or context.info_name not in arguments:
        return _name(param), None
    # What has no name before it stands where the library's own parser finds it.
    own = list(arguments[arguments.index(context.info_name) + 1 :])
    found = context.command.make_parser(context).parse_args(args=own)[0].get(param.name)
    return _name(param), None if found is None else str(found)


def _name(param: Any) -> str:
    name = str(param.opts[0])
    return name if name.startswith("-") else str(param.metavar or name).strip("[]").upper()


def _expected(message: str, param: Any) -> str:
    listed = re.search(r"one of (.*)\.?$", message)
    if listed is not None:
        return " or ".join(re.findall(r"'([^']*)'", listed[1]))
    low = getattr(param, "min", None)
    bound = "" if low is None else f", {low:g} or more"
    if "bool" in message:
        return "1 or 0"
    if "integer" in message or isinstance(low, int):
        return f"a whole number{bound}"
    if "number" in message or "greater than" in message:
        return f"a number{bound}"
    return f"something else: {message.rstrip('.')}"

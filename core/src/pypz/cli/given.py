"""Parameters that are given outside of code: how they are spelled, which instances they reach, what is wrong with them.

``x`` is a parameter of the pipeline, ``>>x`` one of all plugins (as `Instance.set_parameter` tells), ``writer.x`` one of
an operator, ``writer.out.x`` one of a port, ``writer.>x`` one of all plugins of an operator.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pypz.cli.settings import PARAMETERS_VARIABLE, parameters_of_environment, read_settings
from pypz.core.commons import origins, secrets
from pypz.core.commons.errors import ConfigurationError, PypzError, PypzWarning
from pypz.core.specs._documents import DocumentError, parse
from pypz.core.specs._interception import is_instance
from pypz.core.specs.instance import Instance, Internals
from pypz.core.specs.operator import Operator

COMMAND_LINE: Final = "-p"
SHOWN: Final = 200
"""Characters of a parameter that a message repeats at most (chosen)."""
OF_PODS: Final = "kubernetes"
"""Parameter that every operator may carry though none describes it: the settings of its pods."""

_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "~": None}


class SeveralFaultsError(ConfigurationError):
    """More than one thing is wrong; each has a text of its own."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__("\n".join(texts))
        self.texts = texts


@dataclass(frozen=True)
class Given:
    """One parameter that the user gave outside of code and files."""

    source: str
    """Where: ``-p``, ``PYPZ_PARAMETERS``, or the settings' file."""
    text: str
    """As it stands there, for messages about it."""
    name: str
    value: Any

    @property
    def is_default(self) -> bool:
        """Whether it gives way to what code or a description's file says."""
        return self.source != COMMAND_LINE


def given_parameters(parameters: Iterable[str], faults: list[str]) -> list[Given]:
    """All parameters that the user gave, in the order in which they are set: settings, environment, command line.

    Args:
        parameters: Those of the command line, ``NAME=VALUE`` each.
        faults: Takes a text for each that is not spelled as it should be; those are left out.
    """
    settings = read_settings()
    found = [Given(settings.source, f"{name}={value}", name, value) for name, value in settings.parameters.items()]
    try:
        of_environment = parameters_of_environment()
    except ConfigurationError as error:
        faults.append(str(error))
        of_environment = []
    sources = ((PARAMETERS_VARIABLE, of_environment), (COMMAND_LINE, parameters))
    for source, text in ((source, text) for source, texts in sources for text in texts):
        try:
            found.append(Given(source, text, *parse_parameter(text, source)))
        except ConfigurationError as error:
            faults.append(str(error))
    return found


def set_given(whole: Instance[Any], parameters: Iterable[str]) -> list[str]:
    """Set all parameters that the user gave, those that can be; tell what is wrong with the others."""
    faults: list[str] = []
    for given in given_parameters(parameters, faults):
        try:
            instance, name = _aim(whole, given)
        except ConfigurationError as error:
            if not given.is_default:  # what is a default for many pipelines need not reach something in each
                faults.append(str(error))
            continue
        with origins.setting_from(given.source, is_default=given.is_default), warnings.catch_warnings():
            if given.is_default:
                warnings.simplefilter("ignore", PypzWarning)
            fault = _set(instance, name, given)
        if fault is not None:
            faults.append(f"{_place(given, instance, name)}: {fault}")
    return faults


def unexpected(whole: Instance[Any], parameters: Iterable[str] = ()) -> Iterator[str]:
    """Tell of given parameters that nothing expects, or that code says otherwise; allowed, but mostly a slip."""
    for given in given_parameters(parameters, []):
        try:
            instance, prefixed = _aim(whole, given)
        except ConfigurationError as error:
            if given.is_default:
                yield str(error)
            continue
        name = prefixed.lstrip("#>")
        known = {name for _, _, name, _ in described_parameters(instance)}
        place = _place(given, instance, prefixed)
        if name in {nested.get_simple_name() for nested in nested_of(instance)} and isinstance(given.value, dict):
            yield f'{place}: sets one parameter {name!r}; a parameter of {name} is written "{name}.NAME", in quotes'
        elif name not in known and name == OF_PODS and _reaches_operators(instance, prefixed):
            continue
        elif name not in known:
            near = difflib.get_close_matches(name, known, 1)
            where = "the pipeline" if instance is whole else instance.get_full_name()
            hint = f"; meant {_ways_to(instance, near[0], prefixed, given)}?" if near else ""
            yield f"{place}: nothing in {where} expects {name!r}{hint}"
        elif not _reaches(instance, prefixed, name):
            yield f"{place}: reaches nothing that expects {name!r}; meant {_ways_to(instance, name, prefixed, given)}?"
        elif given.is_default:
            yield from _overruled(instance, prefixed, given, place)


def _reaches(instance: Instance[Any], prefixed: str, name: str) -> bool:
    """Whether something that the prefix leads to describes a parameter of this name."""
    return any(name in one.get_expected_parameters() for one, _ in instance._pypz_reached(prefixed))


def _reaches_operators(instance: Instance[Any], prefixed: str) -> bool:
    return any(isinstance(one, Operator) for one, _ in instance._pypz_reached(prefixed))


def _ways_to(instance: Instance[Any], name: str, prefixed: str, given: Given) -> str:
    """How to spell a described parameter: its name where the prefix is right already, else with the right ones."""
    if _reaches(instance, prefixed, name):
        return repr(name)
    path = given.name.removesuffix(prefixed)
    levels = {level for level, _, known, _ in described_parameters(instance) if known == name}
    return " or ".join(repr(f"{path}{'>' * level}{name}") for level in sorted(levels))


def described_parameters(instance: Any, level: int = 0) -> Iterator[tuple[int, Any, str, dict[str, Any]]]:
    """Level, instance, name and description of every described parameter of an instance and all nested in it."""
    for name, description in instance.get_expected_parameters().items():
        yield level, instance, name, description
    for nested in nested_of(instance):
        yield from described_parameters(nested, level + 1)


def nested_of(instance: Any) -> list[Any]:
    """What is nested in an instance, without the proxies of replicas."""
    return [nested for nested in Internals(instance).nested_instances.values() if is_instance(nested)]


def parse_parameter(given: str, source: str = COMMAND_LINE) -> tuple[str, Any]:
    """Split ``NAME=VALUE``; the value is a number, true, false, null, text, or YAML where it begins with [ { or a quote.

    >>> parse_parameter(">>channelLocation=localhost:9092")
    ('>>channelLocation', 'localhost:9092')
    >>> parse_parameter("hosts=[a, b]"), parse_parameter("count=3"), parse_parameter("version='3'")
    (('hosts', ['a', 'b']), ('count', 3), ('version', '3'))
    """
    name, found, text = given.partition("=")
    if not found or not name.strip("#> "):
        raise ConfigurationError(
            f"{source} {given!r}: expected NAME=VALUE, as in '>>channelLocation=localhost:9092' or 'operator.count=3'"
        )
    return name.strip(), _value(text.strip(), f"{source} {given!r}")


def _value(text: str, place: str) -> Any:
    if text[:1] in ("[", "{", '"', "'"):
        try:
            return parse(text)
        except DocumentError as error:
            where = "" if error.column is None else f" at character {error.column} of the value"
            raise ConfigurationError(f"{place}: is no YAML{where}: {error.problem}") from error
    if text in _WORDS:
        return _WORDS[text]
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?", text):
        return float(text)
    return text


def _aim(whole: Instance[Any], given: Given) -> tuple[Instance[Any], str]:
    """The instance that a name leads to, and the name there, with its prefix.

    Raises:
        ConfigurationError: Nothing of that name is nested there; tells the nearest.
    """
    instance, rest = whole, given.name
    while "." in rest and rest[0] not in "#>" and not _knows(instance, rest):
        first, _, behind = rest.partition(".")
        nested = {found.get_simple_name(): found for found in nested_of(instance)}
        if first in nested and behind.lstrip("#>"):
            instance, rest = nested[first], behind
        elif instance is whole and rest is given.name and first == whole.get_full_name() and behind.lstrip("#>"):
            rest = behind
        else:
            raise ConfigurationError(f"{_place(given, whole)}: {_not_nested(instance, first, list(nested))}")
    return instance, rest


def _place(given: Given, instance: Instance[Any], name: str = "") -> str:
    """What a message calls a parameter that was given, without secrets."""
    plain = given.name.rpartition(".")[2].lstrip("#>")
    if name and _is_secret(instance, name):
        return f"{given.source} '{given.name}=***'"
    hidden = secrets.conceal({plain: given.value})[plain]
    if hidden != given.value:
        return f"{given.source} '{given.name}={hidden}'"
    text = given.text if len(given.text) <= SHOWN else f"{given.text[: SHOWN - 1]}…"
    return f"{given.source} {text!r}"


def _is_secret(instance: Instance[Any], name: str) -> bool:
    return any(plain in one._pypz_secret_names() for one, plain in instance._pypz_reached(name))


def _knows(instance: Instance[Any], name: str) -> bool:
    return instance.has_parameter(name) or name in instance.get_expected_parameters()


def _not_nested(instance: Instance[Any], name: str, there: list[str]) -> str:
    near = difflib.get_close_matches(name, there, 3)
    if name in there:
        return f"names no parameter of {name!r}; expected such as '{name}.NAME=VALUE'"
    hint = f"meant {' or '.join(map(repr, near))}?" if near else f"there are: {', '.join(there) or 'none'}"
    return f"nothing named {name!r} is nested in {instance.get_full_name()}; {hint}"


def _set(instance: Instance[Any], name: str, given: Given) -> str | None:
    """Set a parameter; give what is wrong with it."""
    try:
        instance.set_parameter(name, given.value)
    except (TypeError, PypzError) as error:
        return f"{error}{_hint(given, str(error), _is_secret(instance, name))}"
    except Exception as error:  # noqa: BLE001 - a user's on_update may raise anything, and the others are still set
        return f"{instance.get_full_name()} refuses it: {type(error).__name__}: {error}"
    return None


def _hint(given: Given, told: str, is_secret: bool) -> str:
    """How a number is given as text, where text is what is expected."""
    is_text_expected = ", expected str " in told and isinstance(given.value, int | float)
    if given.is_default or not is_text_expected:
        return ""
    value = "..." if is_secret else given.text.partition("=")[2].strip()
    return f"; for text write -p \"{given.name}='{value}'\""


def _overruled(instance: Instance[Any], name: str, given: Given, place: str) -> Iterator[str]:
    """Say that a default has no effect at all, for all whom it reaches are told otherwise."""
    reached = instance._pypz_reached(name)
    other = [one for one, plain in reached if origins.is_firm(one, plain) and one.get_parameter(plain) != given.value]
    by = sorted({origins.origin_of(one, plain).source for one, plain in reached if origins.is_firm(one, plain)})
    if reached and len(other) == len(reached) and by != [COMMAND_LINE]:
        names = ", ".join(one.get_full_name() for one in other[:3]) + (", ..." if len(other) > 3 else "")
        verb = "is" if len(other) == 1 else "are"
        yield f"{place}: has no effect, {names} {verb} set by {' and '.join(by)}; -p overrides"

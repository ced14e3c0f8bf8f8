"""Secret values stay in memory: everywhere else stands a reference to an environment variable.

Secret are parameters described with ``secret=True``, passwords and keys inside ``channelConfig``, and the password in a
``channelLocation`` such as ``amqp://user:password@host``. In descriptions (DTO, YAML, repr) each is shown as
``$(env:PYPZ_SECRET_<PIPELINE>_<OPERATOR>_<PLUGIN>_<PARAMETER>[_<KEY>])``; whoever starts the processes of a pipeline
(deployer, process isolation) sets these variables to what `secrets_of` gives. A replica uses the variables of its principal.

A reference is resolved like every ``$(env:...)``, when an executor is built, but an unset ``PYPZ_SECRET_`` variable is
an error. What users refer to themselves, ``$(env:MY_PASSWORD)``, is no secret and stays as it stands.

For equality secrets count as equal whatever their value: an instance rebuilt from its description equals the original.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.utils import TemplateResolver, map_strings

if TYPE_CHECKING:
    from pypz.core.specs.instance import Instance

PREFIX: Final = "PYPZ_SECRET_"
"""What the name of every variable with a secret begins with."""

LOCATION_PARAMETERS: Final = frozenset({"channelLocation"})
CONFIG_PARAMETERS: Final = frozenset({"channelConfig"})

_KEYS_TO_HIDE: Final = (
    r"passw(or)?d|passphrase|secret|credential|user\.?info|jaas|api\.?key|private\.?key|(^|\.)key\.pem$|keystore\.pem|"
    r"(^|\.)ssl\.key$|oauthbearer\.config$|(?<!bearer\.)token$"
)
"""Keys of client options whose values are secret: librdkafka's CONFIGURATION.md, and the words others use."""

_KEYS_TO_SHOW: Final = r"(location|path|file|url)$"
"""Options that tell where a secret is, not what it is."""

_URL_WITH_LOGIN: Final = r"(?s)^([A-Za-z][A-Za-z0-9+.-]*://[^:@/?#]*:)(.+)(@[^@]*)$"
_ADDRESS_WITH_LOGIN: Final = r"(?s)^([^:@/]+:)(.+)(@[^@/:]+:\d+(?:,.*)?)$"
_IS_PORT: Final = r"\d+[/?#]"
_REFERENCE: Final = r"\$\(env:[^)]*\)"
_OWN_REFERENCE: Final = r"\$\(env:PYPZ_SECRET_[^)]*\)"
_HIDDEN: Final = "$(secret)"

on_execution_templates: Final = TemplateResolver("$(", ")")

_Replace = Callable[[tuple[str, ...], str], str]


def mask(full_name: str, parameters: Mapping[str, Any], secret_names: Collection[str] = ()) -> dict[str, Any]:
    """Copy parameters with every secret replaced by the reference to its variable.

    Args:
        full_name: Full name of the instance, of the group's principal where it is replicated.
        parameters: Its parameters; not changed.
        secret_names: Those that are secret as a whole.

    >>> mask("p.o.in", {"channelConfig": {"sasl.password": "x", "acks": "all"}})
    {'channelConfig': {'sasl.password': '$(env:PYPZ_SECRET_P_O_IN_CHANNELCONFIG_SASL_PASSWORD)', 'acks': 'all'}}
    """
    return _replace_all(parameters, secret_names, lambda path, value: f"$(env:{variable_name(full_name, *path)})")


def conceal(parameters: Mapping[str, Any], secret_names: Collection[str] = ()) -> dict[str, Any]:
    """Copy parameters with every secret, and every reference to one of our variables, replaced by the same text.

    What is left tells whether two sets of parameters are the same but for their secrets.
    """
    hidden = _replace_all(parameters, secret_names, lambda path, value: _HIDDEN)
    return {
        name: map_strings(value, lambda text: re.sub(_OWN_REFERENCE, _HIDDEN, text)) for name, value in hidden.items()
    }


def secrets_of(instance: Instance[Any]) -> dict[str, str]:
    """Give the secrets of an instance and of all nested in it: variable name -> value, values as text.

    Raises:
        ConfigurationError: Two different secrets would have the same variable.
    """
    found: dict[str, str] = {}
    places: dict[str, str] = {}
    _collect(instance, found, places)
    return found


def variable_name(full_name: str, *path: str) -> str:
    """Give the name of the variable for the secret at ``path`` in the parameters of an instance.

    >>> variable_name("pipe.op-1", "channelConfig", "ssl.key.pem")
    'PYPZ_SECRET_PIPE_OP_1_CHANNELCONFIG_SSL_KEY_PEM'
    """
    return PREFIX + re.sub(r"[^A-Z0-9]", "_", "_".join((full_name, *path)).upper())


def is_secret_name(name: str) -> bool:
    """Tell whether values of this name are secret in all likelihood.

    >>> is_secret_name("dbPassword"), is_secret_name("API_KEY"), is_secret_name("password_file"), is_secret_name("user")
    (True, True, False, False)
    """
    return _is_secret_key(name)


def resolve_references(value: Any, place: str = "") -> Any:
    """Copy ``value`` with every ``$(env:NAME)`` replaced by the variable; unknown ones by their default or the empty text.

    Args:
        value: A parameter's value.
        place: What an error calls it, such as full name and parameter.

    Raises:
        ConfigurationError: A ``PYPZ_SECRET_`` variable is not set; all such are named.
    """
    names = [name.removeprefix("env:") for name in on_execution_templates.names(value) if name.startswith("env:")]
    wanted = {name for name in names if name.startswith(PREFIX) and ":-" not in name}
    missing = sorted(wanted - os.environ.keys())
    if missing:
        raise ConfigurationError(
            f"{place + ': ' if place else ''}environment variable {', '.join(missing)} is not set, it holds a secret of "
            "the pipeline; set it where this process starts, or set the parameter to the secret itself"
        )
    return on_execution_templates.resolve(value)


def _collect(instance: Any, found: dict[str, str], places: dict[str, str]) -> None:
    scope = instance._pypz_secret_scope()

    def note(path: tuple[str, ...], value: str) -> str:
        name, place = variable_name(scope, *path), ".".join((scope, *path))
        if found.get(name, value) != value:
            raise ConfigurationError(
                f"the secrets {places[name]} and {place} would share the environment variable {name}; rename one"
            )
        found[name] = value
        places[name] = place
        return value

    _replace_all(instance._pypz_described_values(), instance._pypz_secret_names(), note)
    for nested in instance._pypz_own_nested():
        _collect(nested, found, places)


def _replace_all(parameters: Mapping[str, Any], secret_names: Collection[str], replace: _Replace) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in secret_names:
            result[name] = _replace_within((name,), value, replace)
        elif name in LOCATION_PARAMETERS and isinstance(value, str):
            result[name] = _replace_password((name,), value, replace)
        elif name in CONFIG_PARAMETERS:
            result[name] = _replace_keys((name,), value, replace)
        else:
            result[name] = map_strings(value, str)
    return result


def _replace_within(path: tuple[str, ...], value: Any, replace: _Replace) -> Any:
    """Replace a value that is secret as a whole; containers keep their shape."""
    if isinstance(value, dict):
        return {key: _replace_within((*path, str(key)), inner, replace) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replace_within((*path, str(index)), inner, replace) for index, inner in enumerate(value)]
    if isinstance(value, set):
        ordered = sorted(value, key=str)
        return {_replace_within((*path, str(index)), inner, replace) for index, inner in enumerate(ordered)}
    if value is None or value == "" or isinstance(value, bool):
        return value
    text = str(value)
    return value if re.fullmatch(_REFERENCE, text) else replace(path, text)


def _replace_keys(path: tuple[str, ...], value: Any, replace: _Replace) -> Any:
    """Replace what stands under secret keys, at any depth."""
    if isinstance(value, dict):
        return {
            key: (_replace_within if _is_secret_key(str(key)) else _replace_keys)((*path, str(key)), inner, replace)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_replace_keys((*path, str(index)), inner, replace) for index, inner in enumerate(value)]
    if isinstance(value, str) and "://" in value:
        return _replace_password(path, value, replace)
    return map_strings(value, str)


def _is_secret_key(key: str) -> bool:
    plain = re.sub(r"[_\s-]", ".", key.lower())
    return re.search(_KEYS_TO_HIDE, plain) is not None and re.search(_KEYS_TO_SHOW, plain) is None


def _replace_password(path: tuple[str, ...], location: str, replace: _Replace) -> str:
    found = re.match(_URL_WITH_LOGIN, location) or (
        re.match(_ADDRESS_WITH_LOGIN, location) if "://" not in location else None
    )
    if found is None or re.fullmatch(_REFERENCE, found[2]) or re.match(_IS_PORT, found[2]):
        return location
    return found[1] + replace(path, found[2]) + found[3]

"""Settings for a location that is looked at by itself: ``channelConfig`` as the user gave it outside of any pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pypz.abstracts.channel_ports import ChannelInputPort
from pypz.cli.given import Given, SeveralFaultsError, given_parameters, set_given
from pypz.core.channels.runs.whole import TEMPLATES, told_of_unset, unset_variables
from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.secrets import conceal
from pypz.core.commons.utils import TemplateResolver
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline

CONFIG: Final = "channelConfig"
PLACES: Final = ("channelLocation", CONFIG)
EXAMPLE: Final = "-p '>>channelConfig={security.protocol: SSL}'"

_AT_ONCE: Final = TemplateResolver("${", "}")


class _Nowhere(Pipeline):
    """Has one port, which takes what is set on all ports."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.looks = _Looks()


class _Looks(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = ChannelInputPort()


def location_options(parameters: Iterable[str]) -> dict[str, str]:
    """The ``channelConfig`` of all ports, by ``pypz.toml``, ``PYPZ_PARAMETERS`` and ``-p``: options of a location.

    Raises:
        ConfigurationError: A parameter is misspelt, or refers to a variable that is not set.
    """
    parameters = list(parameters)
    check_variables(parameters)
    whole = _Nowhere("location")
    faults: list[str] = []
    wanted: list[str] = []
    for given in given_parameters(parameters, faults):
        if _plain(given) != CONFIG or given.is_default:
            continue
        if "." not in given.name and any(one is whole.looks.port for one, _ in whole._pypz_reached(given.name)):
            wanted.append(given.text)
        else:
            faults.append(f"{_shown(given)}: not for all ports, so not for a location by itself; expected {EXAMPLE}")
    faults += set_given(whole, wanted)
    if faults:
        raise SeveralFaultsError(list(dict.fromkeys(faults)))
    options = dict(whole.looks.port.transport_options())
    _refuse(unset_variables(options), CONFIG)
    resolved: dict[str, str] = TEMPLATES.resolve(options)
    return resolved


def check_variables(parameters: Iterable[str]) -> None:
    """Refuse a ``channelLocation`` or ``channelConfig`` given by ``-p`` or settings whose ``${env:NAME}`` is not set here.

    Raises:
        ConfigurationError: Names each, and its place.
    """
    for given in given_parameters(parameters, []):
        if _plain(given) in PLACES:
            _refuse(unset_variables(given.value, _AT_ONCE), _shown(given))


def _refuse(names: list[str], place: str) -> None:
    if names:
        raise ConfigurationError(told_of_unset(names, place))


def _plain(given: Given) -> str:
    return given.name.rpartition(".")[2].lstrip("#>")


def _shown(given: Given) -> str:
    plain = _plain(given)
    return f"{given.source} '{given.name}={conceal({plain: given.value})[plain]}'"

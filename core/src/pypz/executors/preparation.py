"""What is seen to before an operator is executed: required parameters, stand-ins, replicas and deferred templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pypz.core.commons.errors import MissingParametersError, MockedInstanceError
from pypz.core.commons.loggers import ContextLoggerInterface
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.instance import Internals
from pypz.core.specs.operator import Operator
from pypz.core.specs.plugin import LoggerPlugin


def prepare(operator: Any) -> Operator:
    """Make an operator ready to be executed: ``$(env:...)`` in its parameters is resolved from here on.

    Args:
        operator: An operator; a replica, which only forwards to its original, is made into one of its own.

    Raises:
        MissingParametersError: Required parameters have no value; all are listed.
        MockedInstanceError: The operator or one of its plugins stands in for a class that is not installed.
        ConfigurationError: A variable with a secret is not set.
    """
    check_mocks(operator)
    check_parameters(operator.get_missing_required_parameters())
    own: Operator = operator.materialize() if isinstance(operator, Operator.Replica) else operator
    for instance in (own, *Internals(own).nested_instances.values()):
        instance._pypz_resolve_references()
    return own


def check_parameters(missing: Mapping[str, Iterable[str]]) -> None:
    """Refuse an execution for which required parameters have no value.

    Args:
        missing: Names of parameters by full name of their instance.

    Raises:
        MissingParametersError: There are any; all are listed, and how they are set.
    """
    found = [(instance, name) for instance in sorted(missing) for name in sorted(missing[instance])]
    if found:
        instance, name = found[0]
        lines = "\n".join(f"  {instance}: {name}" for instance, name in found)
        levels = instance.count(".")
        many = (
            f", or on many at once from above: `pipeline.set_parameter({'>' * levels + name!r}, ...)`" if levels else ""
        )
        raise MissingParametersError(
            f"required parameters have no value:\n{lines}\n"
            f"Set each on its instance, such as `set_parameter({name!r}, ...)` on {instance}{many}"
        )


def check_references(operator: Any) -> None:
    """Refuse, where nothing is resolved here, what `prepare` would refuse in another process of the same environment.

    Raises:
        ConfigurationError: A variable with a secret is not set.
    """
    for instance in (operator, *Internals(operator).nested_instances.values()):
        instance._pypz_check_references()


def check_mocks(operator: Any) -> None:
    """Refuse to execute a stand-in.

    Raises:
        MockedInstanceError: The operator or one of its plugins is one; all are listed.
    """
    mocked = [i for i in (operator, *Internals(operator).nested_instances.values()) if getattr(i, "mocked", False)]
    if mocked:
        names = "; ".join(f"{i.get_full_name()} ({Internals(i).spec_name})" for i in mocked)
        raise MockedInstanceError(
            f"cannot be executed, because their classes are not installed here: {names}. "
            f"Install the distribution that holds them, or put it on PYTHONPATH"
        )


def logger_for(operator: Operator, host: PluginHost | None) -> ContextLoggerInterface:
    """Give what takes the log lines of an operator's execution.

    Args:
        operator: Its logger plugins, where it carries some.
        host: Else its plugins are asked for a logger, which the operator then uses, too; None: it stays silent.
    """
    has_own = any(isinstance(plugin, LoggerPlugin) for plugin in Internals(operator).nested_instances.values())
    operator._pypz_own_logger = None if has_own or host is None else host.make_logger(operator)
    return operator._pypz_logger()

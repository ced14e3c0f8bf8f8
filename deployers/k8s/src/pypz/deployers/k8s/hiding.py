"""Secrets that stand where they should not: told in warnings, and masked in what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from pypz.core.commons.secrets import is_secret_name
from pypz.deployers.k8s.plan import PipelinePlan

MASK: Final = "********"
_NAMES_OF_OBJECTS: Final = ("secretName", "secretKeyRef", "imagePullSecrets")
"""Fields of the Kubernetes API that tell where a secret is."""
_LOGIN: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^:@/?#\s]{0,200}:)([^@\s]{1,1000})(@)")
"""A URL with a password; its parts are bounded, for texts may be long."""


def masked(value: Any) -> Any:
    """Copy an object with every text that looks like a secret replaced: by its name, or as the password in a URL."""
    if isinstance(value, Mapping):
        return {key: _masked_under(str(key), inner, value) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner) for inner in value]
    return _without_login(value) if isinstance(value, str) else value


def plain_secrets(plan: PipelinePlan) -> list[str]:
    """Tell which values look like secrets and would stand in plain text in the cluster, one warning each, no values."""
    found = []
    for place, name in _in_description(yaml.load(plan.config, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))):
        found.append(
            f"{place}: parameter {name!r} looks like a secret, and would stand in plain text in the ConfigMap "
            f"{plan.config_name}; describe it with secret=True, and pypz keeps it in a Secret"
        )
    for operator in plan.operators:
        containers = [{"env": operator.settings.env}, *(operator.settings.containers or [])]
        for variable in (v for c in containers for v in c.get("env") or []):
            if _is_plain_secret(variable.get("name"), variable.get("value")):
                found.append(
                    f"{plan.name}.{operator.name}: environment variable {variable.get('name')!r} looks like a secret, and "
                    "would stand in plain text in its Job; refer to a Secret by valueFrom.secretKeyRef or envFrom"
                )
    return found


def _masked_under(key: str, value: Any, around: Mapping[Any, Any]) -> Any:
    if key in _NAMES_OF_OBJECTS:
        return value
    named = around.get("name") if key == "value" else key
    if isinstance(value, str) and _is_plain_secret(named, value):
        return MASK if is_secret_name(str(named)) else _without_login(value)
    if key == "currentValue":
        return None
    return masked(value)


def _in_description(instance: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Full name and parameter of every value in a DTO that looks like a secret."""
    here = f"{place}.{instance['name']}" if place else str(instance["name"])
    for name, value in (instance.get("parameters") or {}).items():
        if name == "kubernetes" or name == "env":
            continue  # told by the name of the variable
        for key, text in _texts(name, value):
            if _is_plain_secret(key, text):
                yield here, name if key == name else f"{name}: {key}"
    for nested in (instance.get("spec") or {}).get("nestedInstances") or []:
        yield from _in_description(nested, here)


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(str(key), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(name, inner)


def _is_plain_secret(name: Any, value: Any) -> bool:
    if not isinstance(value, str) or not value or "$(env:" in value:
        return False
    return is_secret_name(str(name)) or _LOGIN.search(value) is not None


def _without_login(text: str) -> str:
    return text if "$(env:" in text else _LOGIN.sub(rf"\1{MASK}\3", text)

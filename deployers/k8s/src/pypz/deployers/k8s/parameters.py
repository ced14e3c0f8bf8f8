"""What a user may say about the pods of an operator."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pypz.core.commons.errors import ConfigurationError


@dataclass
class KubernetesParameter:
    """Settings of an operator's pods, named and shaped as in the Kubernetes API; what is None is left to pypz.

    Given to an operator as ``operator.set_parameter("kubernetes", KubernetesParameter(...).__dict__)``.
    """

    imagePullPolicy: str | None = None  # noqa: N815 - names of the Kubernetes API
    restartPolicy: str | None = None  # noqa: N815
    env: list[dict[str, Any]] | None = None
    envFrom: list[dict[str, Any]] | None = None  # noqa: N815
    volumeMounts: list[dict[str, Any]] | None = None  # noqa: N815
    containers: list[dict[str, Any]] | None = None
    """Further containers beside the operator's own."""
    volumes: list[dict[str, Any]] | None = None
    terminationGracePeriodSeconds: int | None = None  # noqa: N815
    serviceAccountName: str | None = None  # noqa: N815
    labels: dict[str, str] | None = None
    containerSecurityContext: dict[str, Any] | None = None  # noqa: N815
    podSecurityContext: dict[str, Any] | None = None  # noqa: N815
    hostAffinity: list[str] | None = None  # noqa: N815
    """Names of the only hosts that pods may run on."""
    hostAntiAffinity: list[str] | None = None  # noqa: N815
    """Names of hosts that pods may not run on."""
    nodeAffinity: dict[str, Any] | None = None  # noqa: N815
    nodeAntiAffinity: dict[str, Any] | None = None  # noqa: N815
    nodeSelector: dict[str, str] | None = None  # noqa: N815
    tolerations: list[dict[str, Any]] | None = None
    resources: dict[str, Any] | None = None
    livenessProbe: dict[str, Any] | None = None  # noqa: N815
    startupProbe: dict[str, Any] | None = None  # noqa: N815
    readinessProbe: dict[str, Any] | None = None  # noqa: N815
    imagePullSecrets: list[dict[str, str]] | None = None  # noqa: N815
    priorityClassName: str | None = None  # noqa: N815
    runtimeClassName: str | None = None  # noqa: N815
    workload: str | None = None
    """``Job`` (None), or ``Deployment`` for an operator that never ends: the cluster starts it again whatever happens."""
    backoffLimit: int | None = None  # noqa: N815
    """Pods that may fail and are started again before the operator has failed for good."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str) -> KubernetesParameter:
        """Take the values of an operator's ``kubernetes`` parameter.

        Args:
            values: Settings by name; unset ones may be None.
            where: Full name of the operator, for the error.

        Raises:
            ConfigurationError: A setting has a name or a type that does not exist.
        """
        for name, value in values.items():
            if name not in FIELD_NAMES:
                near = difflib.get_close_matches(name, FIELD_NAMES, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"accepted: {', '.join(FIELD_NAMES)}"
                raise ConfigurationError(f"{where}: unknown Kubernetes setting {name!r}; {hint}")
            kind = _KINDS[name]
            if value is not None and not (isinstance(value, kind) and not isinstance(value, bool)):
                raise ConfigurationError(
                    f"{where}: Kubernetes setting {name!r} is {type(value).__name__}, expected {kind.__name__}"
                )
            if isinstance(value, int) and value < 0:
                raise ConfigurationError(f"{where}: Kubernetes setting {name!r} is {value}, expected 0 or more")
        return cls(**values)

    def but(self, other: KubernetesParameter) -> KubernetesParameter:
        """Take the settings of ``other`` where it has any, else these."""
        merged = {n: getattr(self, n) if getattr(other, n) is None else getattr(other, n) for n in FIELD_NAMES}
        return KubernetesParameter(**merged)


FIELD_NAMES = tuple(f.name for f in fields(KubernetesParameter))


def _kind_of(annotation: str) -> type:
    kinds: dict[str, type] = {"str": str, "int": int, "list": list, "dict": dict}
    return kinds[annotation.partition("[")[0].partition(" ")[0]]


_KINDS = {f.name: _kind_of(str(f.type)) for f in fields(KubernetesParameter)}

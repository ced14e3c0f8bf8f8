"""Where the cluster is: a configuration of the official client from what the user gave and the environment has."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pypz.deployers.k8s.kubeconfig import fault_of
from pypz.utils.k8s.errors import DeploymentException

if TYPE_CHECKING:
    from kubernetes.client import Configuration


def load_configuration(
    configuration: Configuration | None, config_file: Any, verify_ssl: bool, context: str | None = None
) -> Configuration:
    """Find out which cluster is meant.

    In this order: ``configuration``, ``config_file``, the kubeconfig of ``KUBECONFIG`` or ``~/.kube/config``, the
    service account of the pod that we run in. The cluster's own certificate authority is kept.

    Args:
        configuration: One of the official client, taken as it is.
        config_file: Path of a kubeconfig, or its content as a mapping.
        verify_ssl: Whether the server must prove who it is.
        context: Context of the kubeconfig; None for its current one.

    Raises:
        DeploymentException: There is none, or it cannot be read.
    """
    if configuration is not None:
        return configuration if verify_ssl else _unverified(configuration)
    from kubernetes import config as client_config
    from kubernetes.client import Configuration as ClientConfiguration

    config: Any = client_config  # its functions are not typed
    found = ClientConfiguration()
    given = config_file if config_file is not None else _kubeconfig_location() if _has_kubeconfig() else None
    source = "the service account of this pod" if given is None else _name_of(given)
    if given is None and not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise DeploymentException(
            f"no Kubernetes cluster is known: there is no {_kubeconfig_location()}, and this process does not run in "
            "a pod with a service account; set KUBECONFIG, or give --kubeconfig or KubernetesDeployer(config_file=...)"
        )
    fault = "" if given is None else fault_of(given, context)
    if fault:
        raise DeploymentException(f"{source} cannot be used: {fault}")
    try:
        with _told() as told:
            if given is None:
                config.load_incluster_config(client_configuration=found)
            elif isinstance(given, Mapping):
                config.load_kube_config_from_dict(dict(given), context=context, client_configuration=found)
            else:
                config.load_kube_config(str(given), context=context, client_configuration=found)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        raise DeploymentException(f"{source} cannot be used: {error}") from error
    if told:
        raise DeploymentException(
            f"{source} cannot be used: its user's credentials come from a program, or are to be renewed, which fails: "
            f"{'; '.join(told)}"
        )
    return found if verify_ssl else _unverified(found)


def _name_of(given: Any) -> str:
    return "the mapping given as config_file" if isinstance(given, Mapping) else f"the kubeconfig {given}"


@contextlib.contextmanager
def _told() -> Iterator[list[str]]:
    """Gather what the client only logs, and then goes on without any credentials."""
    found: list[str] = []

    class Gatherer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    gatherer, thread = Gatherer(logging.ERROR), threading.get_ident()
    gatherer.addFilter(lambda record: record.name == "root" and record.thread == thread)
    logging.getLogger().addHandler(gatherer)
    try:
        yield found
    finally:
        logging.getLogger().removeHandler(gatherer)


def _unverified(configuration: Configuration) -> Configuration:
    changed = copy.copy(configuration)
    changed.verify_ssl = False
    return changed


def _kubeconfig_location() -> str:
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def _has_kubeconfig() -> bool:
    return any(Path(part).expanduser().exists() for part in _kubeconfig_location().split(os.pathsep) if part)

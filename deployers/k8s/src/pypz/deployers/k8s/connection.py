"""Where the cluster is: a configuration of the official client from what the user gave and the environment has."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

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
    try:
        if isinstance(config_file, Mapping):
            source = "the mapping given as config_file"
            config.load_kube_config_from_dict(dict(config_file), context=context, client_configuration=found)
        elif config_file is not None:
            source = f"the kubeconfig {config_file}"
            config.load_kube_config(str(config_file), context=context, client_configuration=found)
        elif _has_kubeconfig():
            source = f"the kubeconfig {_kubeconfig_location()}"
            config.load_kube_config(_kubeconfig_location(), context=context, client_configuration=found)
        elif os.environ.get("KUBERNETES_SERVICE_HOST"):
            source = "the service account of this pod"
            config.load_incluster_config(client_configuration=found)
        else:
            raise DeploymentException(
                f"no Kubernetes cluster is known: there is no {_kubeconfig_location()}, and this process does not run in "
                "a pod with a service account; set KUBECONFIG, or give KubernetesDeployer(config_file=...)"
            )
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        known = _contexts_of(config_file)
        if context is not None and known and context not in known:
            raise DeploymentException(f"{source} has no context {context!r}; it has: {', '.join(known)}") from error
        raise DeploymentException(f"{source} cannot be used: {error}") from error
    return found if verify_ssl else _unverified(found)


def _unverified(configuration: Configuration) -> Configuration:
    changed = copy.copy(configuration)
    changed.verify_ssl = False
    return changed


def _contexts_of(config_file: Any) -> list[str]:
    """Names of the contexts of a kubeconfig; empty where it cannot be read."""
    from kubernetes.config import kube_config

    try:
        found, client_config = config_file, cast(Any, kube_config)
        if not isinstance(config_file, Mapping):
            found = client_config.KubeConfigMerger(str(config_file or _kubeconfig_location())).config.value
        return [str(one["name"]) for one in found["contexts"]]
    except Exception:  # noqa: BLE001 - only makes an error's text better
        return []


def _kubeconfig_location() -> str:
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def _has_kubeconfig() -> bool:
    return any(Path(part).expanduser().exists() for part in _kubeconfig_location().split(os.pathsep) if part)

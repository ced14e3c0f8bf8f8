"""An operator with the settings of its pods as parameters of its own."""

from __future__ import annotations

from abc import ABC
from typing import Any

from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.instance import RegisteredInterface
from pypz.core.specs.operator import Operator
from pypz.plugins.misc.health_check import HttpHealthCheckPlugin


class KubernetesOperator(Operator, RegisteredInterface, ABC):
    """An operator whose pods are described by its parameters, named and shaped as in the Kubernetes API.

    What is None is left to the deployer, which makes pods that pass the *restricted* Pod Security profile. Run locally,
    the parameters mean nothing.
    """

    image_pull_policy = OptionalParameter(str, alt_name="imagePullPolicy", description="Always, IfNotPresent or Never")
    restart_policy = OptionalParameter(str, alt_name="restartPolicy", description="Never or OnFailure")
    env = OptionalParameter(list[dict], alt_name="env", description="Environment variables")  # type: ignore[type-arg]
    env_from = OptionalParameter(list[dict], alt_name="envFrom", description="ConfigMaps and Secrets as environment")  # type: ignore[type-arg]
    volume_mounts = OptionalParameter(list[dict], alt_name="volumeMounts", description="Where volumes are mounted")  # type: ignore[type-arg]
    containers = OptionalParameter(list[dict], alt_name="containers", description="Further containers of the pod")  # type: ignore[type-arg]
    volumes = OptionalParameter(list[dict], alt_name="volumes", description="Volumes of the pod")  # type: ignore[type-arg]
    termination_grace_period_seconds = OptionalParameter(
        int,
        alt_name="terminationGracePeriodSeconds",
        description="Seconds to end in; None for the drain time-out and 15 s more",
    )
    service_account_name = OptionalParameter(str, alt_name="serviceAccountName", description="Account of the pod")
    labels = OptionalParameter(dict, alt_name="labels", description="Further labels of the pod")
    container_security_context = OptionalParameter(
        dict, alt_name="containerSecurityContext", description="Changes to the restricted profile, of the container"
    )
    pod_security_context = OptionalParameter(
        dict, alt_name="podSecurityContext", description="Changes to the restricted profile, of the pod"
    )
    host_affinity = OptionalParameter(list, alt_name="hostAffinity", description="The only hosts to run on")
    host_anti_affinity = OptionalParameter(list, alt_name="hostAntiAffinity", description="Hosts not to run on")
    node_affinity = OptionalParameter(dict, alt_name="nodeAffinity", description="Node affinity")
    node_anti_affinity = OptionalParameter(
        dict, alt_name="nodeAntiAffinity", description="Nodes to avoid, as nodeAffinity"
    )
    node_selector = OptionalParameter(dict, alt_name="nodeSelector", description="Labels that the node must have")
    tolerations = OptionalParameter(list, alt_name="tolerations", description="Taints that the pod tolerates")
    startup_probe = OptionalParameter(dict, alt_name="startupProbe", description="When the pod counts as started")
    liveness_probe = OptionalParameter(dict, alt_name="livenessProbe", description="When the pod is to be killed")
    readiness_probe = OptionalParameter(dict, alt_name="readinessProbe", description="When the pod counts as healthy")
    resources = OptionalParameter(dict, alt_name="resources", description="Requests and limits")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.health_check = HttpHealthCheckPlugin()
        self.image_pull_policy = None
        self.restart_policy = "Never"
        self.env = None
        self.env_from = None
        self.volume_mounts = None
        self.containers = None
        self.volumes = None
        self.termination_grace_period_seconds = None
        self.service_account_name = "default"
        self.labels = None
        self.container_security_context = None
        self.pod_security_context = None
        self.host_affinity = None
        self.host_anti_affinity = None
        self.node_affinity = None
        self.node_anti_affinity = None
        self.node_selector = None
        self.tolerations = None
        self.startup_probe = None
        self.liveness_probe = None
        self.readiness_probe = None
        self.resources = None

"""Runs the pipeline on Kubernetes, with two more listeners; stays until it has ended, then removes it.

python deploy.py kafka://BROKER:9092 [IMAGE]

BROKER is the broker's address as the pods see it.
"""

import sys

from hello_world.pipeline import HelloWorld
from pypz.deployers.k8s import KubernetesDeployer

if __name__ == "__main__":
    pipeline = HelloWorld("hello_world")
    pipeline.set_parameter(">>channelLocation", sys.argv[1])
    pipeline.set_parameter(">operatorImageName", sys.argv[2] if len(sys.argv) > 2 else "hello-world")
    pipeline.listener.set_parameter("replicationFactor", 2)

    deployer = KubernetesDeployer(namespace="default")

    if not deployer.is_deployed(pipeline.get_full_name()):
        deployer.deploy(pipeline)

    deployer.attach(
        pipeline.get_full_name(),
        on_operator_state_change=lambda operator, state: print(f"{operator.get_full_name()}: {state.name}"),
    )
    deployer.destroy(pipeline.get_full_name())

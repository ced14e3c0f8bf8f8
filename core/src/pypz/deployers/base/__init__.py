"""What every deployer of pipelines offers, whatever it deploys to."""

from pypz.deployers.base.deployer import Deployer
from pypz.deployers.base.plan import DeploymentPlan, ObjectChange
from pypz.deployers.base.state import DeploymentState, MemberStatus

__all__ = ["Deployer", "DeploymentPlan", "DeploymentState", "MemberStatus", "ObjectChange"]

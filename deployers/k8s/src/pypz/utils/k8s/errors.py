"""The errors of a deployment, each defined here and nowhere else."""

from __future__ import annotations

from pypz.core.commons.errors import ClassNotFoundError, PypzError


class DeploymentException(PypzError):
    """Something of a deployment could not be done; the text tells the last cause seen and the way out."""


class DeploymentConflictException(PypzError):
    """A pipeline of this name is deployed already, or is still being removed."""


class DeploymentNotFoundException(PypzError):
    """No pipeline or operator of this name is deployed; the text tells which ones are."""


class DeploymentTypeError(DeploymentException, TypeError):
    """An argument is of a type that the deployer cannot take."""


class DeployedClassNotFoundError(DeploymentException, ClassNotFoundError):
    """A deployed pipeline is made of a class that cannot be imported here."""

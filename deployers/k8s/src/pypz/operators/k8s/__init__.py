"""Operators that say themselves how their pods are to be made."""

from pypz.operators.k8s.operator import KubernetesOperator

__all__ = ["KubernetesOperator"]

"""What a deployment would make, as YAML for those who apply it by means of their own."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import yaml

from pypz.deployers.k8s.api import Manifest
from pypz.deployers.k8s.manifests import dependent_manifests, owner_manifest
from pypz.deployers.k8s.plan import PipelinePlan
from pypz.deployers.k8s.rights import rights_manifests


def rendered(plan: PipelinePlan, namespace: str) -> str:
    """Give the YAML documents of a plan in the order of their creation, without secret values.

    Args:
        plan: What is to run. Its run id is replaced by one made of its content: a changed pipeline is a new run, the same
            one applied again changes nothing.
        namespace: Namespace of all objects.
    """
    content = repr((plan.name, plan.config, plan.operators))
    plan = dataclasses.replace(plan, run=hashlib.sha256(content.encode()).hexdigest()[:12])
    return "---\n".join(
        _document(manifest, namespace) for manifest in [owner_manifest(plan), *dependent_manifests(plan)]
    )


def _document(manifest: Manifest, namespace: str) -> str:
    manifest = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    if manifest["kind"] == "Secret":
        name = manifest["metadata"]["name"]
        keys = "\n".join(f"#   {key}" for key in manifest["stringData"])
        return f"# Secret {name!r} in namespace {namespace!r} is yours to make; it needs the keys\n{keys}\n"
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def rendered_rights(account: str, namespace: str) -> str:
    """Give the YAML documents of an account that may deploy to the namespace, and nothing else."""
    return "---\n".join(_document(manifest, namespace) for manifest in rights_manifests(account, namespace))


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)

"""pypz's way to the Kubernetes deployer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.spec import hookimpl

if TYPE_CHECKING:
    from pypz.deployers.base import Deployer

PYPZ_CONTRACT: Final = 1
PYPZ_TARGETS: Final = ("kubernetes",)

OPTIONS: Final = ("namespace", "context", "kubeconfig")


@hookimpl
def pypz_make_deployer(target: str, options: Mapping[str, str]) -> Deployer | None:
    """Answer for ``kubernetes``; options: ``namespace`` (default), ``context`` and ``kubeconfig``."""
    if target not in PYPZ_TARGETS:
        return None
    for name in options:
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"accepted: {', '.join(OPTIONS)}"
            raise ConfigurationError(f"kubernetes: unknown option {name!r}; {hint}")
    from pypz.deployers.k8s.deployer import KubernetesDeployer  # only where somebody deploys

    return KubernetesDeployer(
        namespace=options.get("namespace", "default"),
        config_file=options.get("kubeconfig"),
        context=options.get("context"),
    )

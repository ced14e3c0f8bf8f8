"""Pipelines that are deployed: rebuilt from what their place stores, and what that place tells of their members."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.origins import setting_from
from pypz.core.hooks.events import DeployedRef
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.pipeline import Pipeline

if TYPE_CHECKING:
    from pypz.deployers.base import Deployer, MemberStatus

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
"""Seconds before a place that could not be watched is tried again: doubled up to this (chosen)."""

CLOSE_S: Final = 2.5
"""Seconds that closing may wait for a deployer to see that it is enough (its contract: two)."""


class Deployment:
    """One deployed pipeline.

    Args:
        kind: Kind of place, such as ``kubernetes``.
        name: Full name of the pipeline.
        options: Which place, by the deployer's names.
    """

    def __init__(self, kind: str, name: str, options: Mapping[str, str]) -> None:
        self.name = name
        self.kind = kind
        self.options = dict(options)
        self.place = ", ".join([kind, *(f"{key} {value}" for key, value in options.items())])
        self.deployer: Deployer = PluginHost.default().make_deployer(kind, options)

    def pipeline(self) -> Pipeline:
        """Rebuild it, with mocks for classes that are not installed here.

        Raises:
            ConfigurationError: It is not deployed there; tells which ones are.
            DeploymentException: The place cannot be asked.
        """
        text = self.deployer.retrieve_description(self.name)
        if text is None:
            found = ", ".join(sorted(self.deployer.retrieve_pipeline_deployments())) or "none"
            raise ConfigurationError(f"{self.name!r} is not deployed in {self.place}; deployed there: {found}")
        return rebuilt(text, "as deployed")

    def watch(self, host: PluginHost, on_trouble: Callable[[str], None]) -> Callable[[], None]:
        """Tell the observers of a host what its place tells of each member, in a thread of its own.

        Args:
            host: Its observers are told.
            on_trouble: Called with a line of text when the place cannot be asked, and with "" when it can again.

        Returns:
            What ends it.
        """
        closing = threading.Event()

        def tell(status: MemberStatus) -> None:
            on_trouble("")
            ref = DeployedRef(self.name, status.name, self.place, status.host, status.restarts)
            host.deployment_changed(ref, status.state.name, status.reason)

        def follow() -> None:
            pause_s = FIRST_PAUSE_S
            while not closing.is_set():
                try:
                    self.deployer.watch(self.name, tell, closing.is_set)
                    pause_s = FIRST_PAUSE_S
                except Exception as error:  # noqa: BLE001 - a viewer stays up, says what is wrong and tries again
                    on_trouble(f"{self.place}: no news from there, trying again: {error}")
                closing.wait(pause_s)
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

        thread = threading.Thread(target=follow, name="pypz-sniffer-deployment", daemon=True)
        thread.start()

        def close() -> None:
            closing.set()
            thread.join(CLOSE_S)

        return close


def rebuilt(text: str, source: str) -> Pipeline:
    """Rebuild a pipeline from its description, with mocks for what is not installed here.

    Args:
        text: The description.
        source: Where it comes from, in words: shown as the origin of its parameters.
    """
    with contextlib.redirect_stderr(io.StringIO()), setting_from(source):  # that classes are absent is why it is asked
        pipeline: Pipeline = Pipeline.create_from_string(text, mock_nonexistent=True)
    return pipeline

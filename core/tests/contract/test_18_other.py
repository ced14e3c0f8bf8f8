"""Section 18: versions, namespaces, helpers. The health check and the runner have tests beside them."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Any

import pytest

from pypz import version
from pypz.core.commons import utils


@pytest.mark.parametrize("value, expected", [("v1.2.3", "1.2.3"), ("1.2.3", "1.2.3")])
def test_an_override_is_every_version_without_a_leading_v(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("PYPZ_VERSION_OVERRIDE", value)
    assert version.resolve_project_version("pypz") == version.resolve_project_version("no-such-dist") == expected


def test_a_distribution_that_is_not_installed_has_version_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYPZ_VERSION_OVERRIDE", raising=False)
    assert version.resolve_project_version("no-such-dist") == "0.0.0"
    assert version.resolve_project_version("pypz") != "0.0.0"


def test_the_projects_version_can_be_imported() -> None:
    assert isinstance(version.PROJECT_VERSION, str)


@pytest.mark.parametrize("name", ["pypz", "pypz.plugins", "pypz.deployers"])
def test_packages_that_distributions_share_are_namespaces(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__file__ is None
    assert len(list(pkgutil.iter_modules(package.__path__))) > 0


def test_users_may_put_packages_of_their_own_into_pypz(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pypz" / "example_of_test").mkdir(parents=True)
    (tmp_path / "pypz" / "example_of_test" / "thing.py").write_text("VALUE = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert importlib.import_module("pypz.example_of_test.thing").VALUE == 3
    finally:
        for loaded in [name for name in sys.modules if name.startswith("pypz.example_of_test")]:
            del sys.modules[loaded]


@pytest.mark.parametrize(
    "name",
    """ensure_type current_time_millis SynchronizedReference TemplateResolver InterruptableTimer convert_to_dict
    is_type_allowed""".split(),
)
def test_a_helper_can_be_imported(name: str) -> None:
    assert callable(getattr(utils, name))

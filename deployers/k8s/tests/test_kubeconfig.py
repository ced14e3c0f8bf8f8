"""Kubeconfigs that cannot be used: each error names the file, the place in it, what is accepted, and no secret."""

from __future__ import annotations

import copy
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pypz.deployers.k8s import DeploymentException, KubernetesDeployer
from pypz.deployers.k8s.connection import load_configuration

SECRET = "s3cr3t-t0k3n"
WELL: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "here",
    "contexts": [{"name": "here", "context": {"cluster": "near", "user": "me"}}],
    "clusters": [{"name": "near", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "me", "user": {"token": SECRET}}],
}


def changed(change: Callable[[dict[str, Any]], Any]) -> str:
    made = copy.deepcopy(WELL)
    change(made)
    return yaml.safe_dump(made)


def cluster(**fields: Any) -> str:
    return changed(lambda c: c["clusters"][0].update(cluster=fields))


def user(**fields: Any) -> str:
    return changed(lambda c: c["users"][0].update(user=fields))


def program(code: str) -> str:
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", code]}
    return user(exec={**command, "interactiveMode": "Never"})


EXAMPLE = "expected an address such as 'https://cluster.example:6443'"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is nothing, expected a mapping with contexts, clusters, users"),
        ("hello", "it is of type str, expected a mapping"),
        ("- 1", "it is of type list, expected a mapping"),
        (f"users:\n- token: {SECRET}: x", "it is no YAML: mapping values are not allowed here, line 2, column 22"),
        ("contexts: {a: b}", "'contexts' of it is of type dict, expected a list of entries with a 'name'"),
        (
            changed(lambda c: c.pop("current-context")),
            "it has no 'current-context', and none is named; it has the contexts: here",
        ),
        (changed(lambda c: c.update({"current-context": "there"})), "its 'current-context' is 'there'; it has: here"),
        (changed(lambda c: c.pop("contexts")), "its 'current-context' is 'here'; it has: none"),
        (changed(lambda c: c.pop("clusters")), "context 'here' is for cluster 'near', which it has not; it has: none"),
        (changed(lambda c: c.pop("users")), "context 'here' is for user 'me', which it has not; it has: none"),
        (
            changed(lambda c: c["contexts"][0].pop("context")),
            "context 'here' is nothing, expected a mapping with 'cluster'",
        ),
        (
            changed(lambda c: c["contexts"][0]["context"].pop("cluster")),
            "context 'here' names no 'cluster'; it has: near",
        ),
        (cluster(), f"cluster 'near' has no 'server', {EXAMPLE}"),
        (cluster(server="https://[::1"), f"'server' of cluster 'near' is 'https://[::1', {EXAMPLE}"),
        (cluster(server="near:6443"), f"'server' of cluster 'near' is 'near:6443', {EXAMPLE}"),
        (cluster(server="https://a", **{"certificate-authority": "/absent/ca"}), "File does not exist: /absent/ca"),
        (
            cluster(server="https://a", **{"certificate-authority-data": SECRET}),
            "'certificate-authority-data' of cluster 'near' is no base64",
        ),
        (user(**{"client-key-data": SECRET}), "'client-key-data' of user 'me' is no base64"),
        (user(tokenFile="/absent/token"), "No such file or directory: '/absent/token'"),
        (
            program("raise SystemExit(3)"),
            "its user's credentials come from a program, or are to be renewed, which fails: ",
        ),
        (program("print('{}')"), "its user's credentials come from a program, or are to be renewed, which fails: "),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_by_its_place(
    tmp_path: Path, text: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(DeploymentException) as caught:
        KubernetesDeployer(config_file=path).is_deployed("pipe")
    assert f"the kubeconfig {path} cannot be used: " in str(caught.value)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value) + capfd.readouterr().err


def test_a_file_that_is_not_there_or_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeploymentException, match=r"absent cannot be used: there is no such file"):
        KubernetesDeployer(config_file=tmp_path / "absent").is_deployed("pipe")
    with pytest.raises(DeploymentException, match=r"cannot be used: it cannot be read: Is a directory"):
        KubernetesDeployer(config_file=tmp_path).is_deployed("pipe")
    with pytest.raises(
        DeploymentException, match=r"mapping given as config_file cannot be used: it has no 'current-context'"
    ):
        KubernetesDeployer(config_file={"kind": "Config"}).is_deployed("pipe")


def test_a_context_needs_no_user() -> None:
    found = copy.deepcopy(WELL)
    del found["contexts"][0]["context"]["user"]
    assert load_configuration(None, found, True).host == "https://127.0.0.1:9"


def test_several_files_are_one_as_the_client_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = {k: WELL[k] for k in ("clusters", "current-context")}, {k: WELL[k] for k in ("contexts", "users")}
    for name, content in (("a", first), ("b", second)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(str(tmp_path / name) for name in ("a", "absent", "b")))
    assert load_configuration(None, None, True).host == "https://127.0.0.1:9"
    with pytest.raises(DeploymentException, match="it has no context 'x'; it has: here"):
        load_configuration(None, None, True, "x")
    (tmp_path / "b").write_text("1")
    with pytest.raises(DeploymentException, match="b is of type int, expected a mapping"):
        load_configuration(None, None, True)


def test_finding_out_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers)
    (tmp_path / "config").write_text(program("print('{}')"))
    with pytest.raises(DeploymentException):
        load_configuration(None, tmp_path / "config", True)
    assert logging.getLogger().handlers == before

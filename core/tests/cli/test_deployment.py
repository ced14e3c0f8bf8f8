"""Commands about deployed pipelines, with a deployer that another distribution brings: it keeps all in a file."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pypz.cli.deployment.table import table_of
from pypz.deployers.base import DeploymentState, MemberStatus

DEPLOYER = '''
"""Deploys to a file, which is enough to see what the commands ask of a deployer."""

import json
from pathlib import Path

from pypz.core.channels.runs.scaling import Move, Scaled, ScalingPlan
from pypz.core.hooks.events import DeployedRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import Deployer, DeploymentState, MemberStatus

PYPZ_TARGETS = ("paper",)


class PaperDeployer(Deployer):
    def __init__(self, namespace):
        self._paper = Path(f"{namespace}.json")

    @property
    def _all(self):
        return json.loads(self._paper.read_text()) if self._paper.exists() else {}

    def _note(self, **asked):
        with Path("asked").open("a") as file:
            file.write(json.dumps(asked) + "\\n")

    def deploy(self, pipeline, execution_mode=None, ignore_operators=None, wait=True):
        self._note(deploy=[o.get_full_name() for o in ignore_operators], mode=execution_mode.name, wait=wait)
        self._paper.write_text(json.dumps({**self._all, pipeline.get_full_name(): str(pipeline)}))

    def destroy(self, pipeline_name, force=False, wait=True):
        self._note(destroy=pipeline_name, force=force)
        self._paper.write_text("{}")

    def restart_operator(self, operator_full_name, force=False, wait=True):
        self._note(restart=operator_full_name, force=force, wait=wait)

    def destroy_operator(self, operator_full_name, force=False, wait=True):
        self._note(destroy_operator=operator_full_name, force=force)

    def plan_scaling(self, operator_full_name, members):
        if not operator_full_name.endswith(".reader"):
            return super().plan_scaling(operator_full_name, members)
        moves = (
            Move("shop.in", 0, "shop.reader", "shop.reader", 7),
            Move("shop.in", 1, "shop.reader", "shop.reader_0", 5),
            Move("shop.in", 2, "", "shop.reader_1", 0),
        )
        return ScalingPlan("shop.reader", "abc", 1, members, moves, (), ("shop.reader_0", "shop.reader_1"))

    def scale_operator(self, operator_full_name, members, on_plan=None):
        plan = self.plan_scaling(operator_full_name, members)
        on_plan(plan)
        self._note(scale=operator_full_name, members=members)
        return Scaled(plan, 1, {("shop.in", 0): "12", ("shop.in", 1): "9"})

    def is_deployed(self, pipeline_name):
        return pipeline_name in self._all

    def retrieve_pipeline_deployments(self):
        return set(self._all)

    def retrieve_deployed_pipeline(self, pipeline_name):
        text = self._all.get(pipeline_name)
        return text and Pipeline.create_from_string(text, mock_nonexistent=True)

    def retrieve_operator_state(self, operator_full_name):
        if Path("expired").exists():
            return DeploymentState.NotExisting
        return DeploymentState.Failed if "writer" in operator_full_name else DeploymentState.Completed

    def retrieve_pipeline_status(self, pipeline_name):
        return [
            MemberStatus(name, state, "out of paper" if state is DeploymentState.Failed else "", restarts=2)
            for name, state in self.retrieve_pipeline_state(pipeline_name).items()
        ]

    def follow_operator_logs(self, operator_full_name, follow=True, previous=False, **options):
        if previous:
            return iter(["before"] if "writer" in operator_full_name else [])
        return super().follow_operator_logs(operator_full_name, follow, **options)

    def retrieve_operator_logs(self, operator_full_name):
        return f"first of {operator_full_name}\\nsecond"

    def attach(self, pipeline_name, on_operator_state_change=None):
        for name, state in self.retrieve_pipeline_state(pipeline_name).items():
            PluginHost.default().deployment_changed(DeployedRef(pipeline_name, name), state.name, "told")
        PluginHost.default().deployment_changed(DeployedRef("other", "other.x"), "Failed", "")
        for name in json.loads(Path("expiring").read_text()) if Path("expiring").exists() else []:
            PluginHost.default().deployment_changed(DeployedRef(pipeline_name, name), "Completed", "")
            PluginHost.default().deployment_changed(DeployedRef(pipeline_name, name), "NotExisting", "")
            Path("expired").touch()
        if Path("shredder").exists():
            PluginHost.default().deployment_changed(DeployedRef(pipeline_name, name), "NotExisting", "")
            self._paper.write_text("{}")


@hookimpl
def pypz_make_deployer(target, options):
    return PaperDeployer(options.get("namespace", "default")) if target == "paper" else None
'''


@pytest.fixture
def on_paper(pypz: Any, project: Path) -> Any:
    """Run ``pypz`` where the deployer is installed."""
    info = project / "paper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pypz.v1]\npaper = paper\n")
    (project / "paper.py").write_text(DEPLOYER)
    sys.modules.pop("paper", None)
    return lambda command, *arguments: pypz(command, *arguments, "--to", "paper", PYTHONPATH=str(project))


def asked(project: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project / "asked").read_text().splitlines()]


def test_deploy_hands_the_pipeline_to_the_deployer_and_stays_with_it(on_paper: Any, project: Path) -> None:
    done = on_paper(
        "deploy", "shop:ShopPipeline", "-p", ">>channelLocation=memory:x", "--image", "i:1", "--skip", "writer",
        "--mode", "resourcecreationonly", "--no-wait", "-n", "mine", "--attach",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # the writer has failed
    assert asked(project) == [{"deploy": ["shop_pipeline.writer"], "mode": "ResourceCreationOnly", "wait": False}]
    assert "shop_pipeline.writer: Failed: told" in done.stdout
    assert "other" not in done.stdout
    assert "pypz: not completed: shop_pipeline.writer" in done.stderr
    stored = json.loads((project / "mine.json").read_text())["shop_pipeline"]
    assert stored.count("operatorImageName: i:1") == 2


def test_a_mistake_is_told_before_anything_is_deployed(on_paper: Any, project: Path) -> None:
    done = on_paper("deploy", "shop:ShopPipeline", "--skip", "wirter")
    assert (done.returncode, "--skip 'wirter': no such operator; there are writer, reader" in done.stderr) == (1, True)
    done = on_paper("status", "nowhere")
    assert "'nowhere' is not deployed there; deployed: none" in done.stderr
    done = on_paper("render", "shop:ShopPipeline")
    assert "PaperDeployer cannot render what it deploys" in done.stderr
    assert "PaperDeployer knows of no rights to grant" in on_paper("render", "--rbac").stderr
    assert not (project / "asked").exists()


def test_status_lists_pipelines_and_members(on_paper: Any) -> None:
    assert on_paper("status").stdout == "nothing is deployed there\n"
    on_paper("deploy", "shop:ShopPipeline")
    assert on_paper("status").stdout.split(": ")[0] == "shop_pipeline"
    shown = on_paper("status", "shop_pipeline").stdout
    assert all(word in shown for word in ("shop_pipeline.writer", "Failed", "out of paper", "restarts"))
    members = json.loads(on_paper("status", "shop_pipeline", "--json").stdout)
    assert {"name", "state", "reason", "restarts", "host", "since_utc"} == set(members[0])
    assert [m["state"] for m in members if m["name"] == "shop_pipeline.writer"] == ["Failed"]
    assert json.loads(on_paper("status", "--json").stdout)[0]["states"] == {"Completed": 1, "Failed": 1}


def test_logs_of_one_member_are_plain_and_those_of_several_begin_with_its_name(on_paper: Any) -> None:
    on_paper("deploy", "shop:ShopPipeline")
    assert "knows no log option 'tail_lines'" in on_paper("logs", "shop_pipeline.reader", "--tail", "2").stderr
    assert on_paper("logs", "shop_pipeline.reader").stdout == "first of shop_pipeline.reader\nsecond\n"
    lines = on_paper("logs", "shop_pipeline").stdout.splitlines()
    assert "shop_pipeline.writer first of shop_pipeline.writer" in lines
    assert len(lines) == 4
    before = on_paper("logs", "shop_pipeline", "--previous")
    assert before.stdout.splitlines() == ["shop_pipeline.writer before"]
    assert before.stderr == "pypz: no earlier start has left a log: shop_pipeline.reader\n"
    assert "shop_pipeline has no operator 'shop_pipeline.x'" in on_paper("logs", "shop_pipeline.x").stderr
    assert "--since 'soon': expected a time such as 30s" in on_paper("logs", "shop_pipeline", "--since", "soon").stderr


def test_restart_and_destroy_name_an_operator_or_a_pipeline(on_paper: Any, project: Path) -> None:
    on_paper("deploy", "shop:ShopPipeline")
    assert on_paper("restart", "shop_pipeline.reader", "--no-wait").returncode == 0
    assert on_paper("destroy", "shop_pipeline.reader", "--force").returncode == 0
    assert on_paper("destroy", "shop_pipeline").returncode == 0
    assert asked(project)[1:] == [
        {"restart": "shop_pipeline.reader", "force": False, "wait": False},
        {"destroy_operator": "shop_pipeline.reader", "force": True},
        {"destroy": "shop_pipeline", "force": False},
    ]


def test_scale_says_before_what_moves_and_after_where_it_goes_on(on_paper: Any, project: Path) -> None:
    before = """\
shop.reader: 1 -> 3 members (replicationFactor 0 -> 2), run abc
  shop.in:
    partition 0: stays with shop.reader; 7 entries wait
    partition 1: shop.reader -> shop.reader_0; 5 entries wait
    partition 2: new, for shop.reader_1; 0 entries wait
  start: shop.reader_0, shop.reader_1
  the members that stay commit, stop and start again; all other operators go on
"""
    assert on_paper("scale", "shop.reader", "3", "--dry-run").stdout == before
    assert not (project / "asked").exists()
    done = on_paper("scale", "shop.reader", "3")
    assert done.stdout.startswith(before)
    assert "goes on where it stood when its member had stopped (shop.in 0 at 12, shop.in 1 at 9)" in done.stdout
    assert asked(project) == [{"scale": "shop.reader", "members": 3}]
    refused = on_paper("scale", "shop.writer", "3")
    assert (refused.returncode, refused.stderr) == (1, "pypz: error: PaperDeployer cannot scale what it has deployed\n")


def test_a_pipeline_that_somebody_removes_meanwhile_has_not_completed(on_paper: Any, project: Path) -> None:
    on_paper("deploy", "shop:ShopPipeline", "--name", "readers")
    (project / "shredder").touch()
    attached = on_paper("attach", "readers")
    assert attached.returncode == 1
    assert "pypz: not completed: readers." in attached.stderr


def test_members_that_the_cluster_removes_once_they_have_completed_have_completed(on_paper: Any, project: Path) -> None:
    on_paper("deploy", "shop:ShopPipeline", "--name", "readers")
    deployed = [line.partition(":")[0] for line in on_paper("attach", "readers").stdout.splitlines()]
    (project / "expiring").write_text(json.dumps(deployed))
    attached = on_paper("attach", "readers")
    assert (attached.returncode, attached.stderr) == (0, "")
    (project / "expiring").write_text("[]")
    attached = on_paper("attach", "readers")  # nobody has seen how they ended
    assert attached.returncode == 1
    assert f"pypz: not completed: {', '.join(deployed)}" in attached.stderr


def test_a_long_name_leaves_room_for_the_state(pypz: Any) -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(table_of([MemberStatus("x" * 70, DeploymentState.Running, host="testbed")], "long"))
    assert isinstance(console.file, io.StringIO)
    assert re.search(r"x Running +testbed", re.sub(r" +", " ", console.file.getvalue()))
    assert table_of([], "none").row_count == 0


def test_a_place_that_nobody_deploys_to_is_told_with_those_that_somebody_does(pypz: Any) -> None:
    done = pypz("status", "--to", "moon")
    assert done.returncode == 1
    assert "nothing deploys to 'moon'; installed here:" in done.stderr

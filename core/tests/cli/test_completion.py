"""What the shell's Tab offers, asked as the shells ask: the installed script, with their variables."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pypz.cli.completion import pipelines_in

PYPZ = str(Path(sys.executable).with_name("pypz"))


def offered(project: Path, line: str) -> list[str]:
    asked = {"_PYPZ_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = subprocess.run(
        [PYPZ], cwd=project, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pypz pl", ["plan", "plugins"]),
        ("pypz run o", ["orders.yaml"]),
        ("pypz run shop:Sh", ["shop:ShopPipeline"]),
        ("pypz peek shop:Sh", ["shop:ShopPipeline"]),
        ("pypz plan shop:ShopPipeline --of", ["--offline"]),
        ("pypz run shop:ShopPipeline -p >>channelL", [">>channelLocation="]),
        ("pypz run shop:ShopPipeline --name x -p >cou", [">count="]),
        ("pypz run shop:ShopPipeline -p >>channelLocation=", []),
        ("pypz run nowhere:Nothing -p >", []),
        ("pypz nothing sh", []),
    ],
)
def test_commands_pipelines_options_and_parameters_are_offered(project: Path, line: str, words: list[str]) -> None:
    (project / "orders.yaml").write_text("name: orders")
    (project / "broken.py").write_text("class (")
    assert offered(project, line) == words


def test_a_project_s_sources_are_read_and_not_run(project: Path) -> None:
    (project / "src" / "deep").mkdir(parents=True)
    (project / "src" / "deep" / "flows.py").write_text(
        "raise SystemExit(1)\nimport pypz.core.specs.pipeline as p\nclass A(p.Pipeline): ...\nclass B(A): ...\nclass C: ...\n"
    )
    assert pipelines_in(project / "src" / "deep" / "flows.py") == ["A", "B"]
    assert offered(project, "pypz run deep") == ["deep.flows:A", "deep.flows:B"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_with_the_script_that_is_shown(project: Path) -> None:
    script = subprocess.run(
        ["bash", "-c", f'"{PYPZ}" --show-completion bash; exit'],  # it looks for the shell above it
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SHELL": "/bin/bash"},
    ).stdout
    typed = (
        f'{script}\nCOMP_WORDS=(pypz run shop:Sh); COMP_CWORD=2; _pypz_completion "{PYPZ}"; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", typed], cwd=project, capture_output=True, text=True, timeout=60)
    assert done.stdout == "shop:ShopPipeline\n", done.stderr

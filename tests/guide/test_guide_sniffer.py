"""The guide's `sniffer.py`, unchanged, beside its `execute.py`: lines instead of a screen, as there is no terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.guide.test_guide import BOOTSTRAP, GUIDE, RECORDS, Project, Watched, hello, texts

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not GUIDE, reason="needs PYPZ_GUIDE, the folder with the guide"),
    pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP"),
]


def closed_counts(output: str) -> dict[str, int]:
    """Records of each port in the line that tells of its end."""
    return {port: int(count) for port, count in re.findall(r"^(\S+): closed (\d+) records", output, re.MULTILINE)}


ALL = {"writer.output_port": RECORDS, "reader.input_port": RECORDS}


@pytest.mark.parametrize("stage", ["logger", "parameters"])
def test_a_sniffer_started_first_follows_the_run_to_its_final_counts(tmp_path: Path, stage: str) -> None:
    project = Project(tmp_path, stage, sleep="0.2")
    sniffer = Watched(project.start("sniffer", PYPZ_SNIFFER_PLAIN="next"))
    sniffer.wait_for("wait")
    code, output = project.run("execute")
    assert code == 0, output
    assert len(texts(output, "Received")) == RECORDS
    told = sniffer.end()
    assert sniffer.process.returncode == 0, told
    for line in ("writer: running", "reader: running", "writer: finished", "reader: finished", "pipeline: finished"):
        assert line in told
    assert re.search(r"writer\.output_port: open \d+ records", told), told
    assert closed_counts(told) == ALL


def test_a_sniffer_started_after_the_end_shows_the_final_counts(tmp_path: Path) -> None:
    project = Project(tmp_path, "logger")
    assert project.run("execute")[0] == 0
    code, told = project.run("sniffer")
    assert code == 0, told
    assert closed_counts(told) == ALL
    assert "pipeline: finished" in told


def test_a_sniffer_is_interrupted_and_the_pipeline_goes_on(tmp_path: Path) -> None:
    project = Project(tmp_path, "logger", sleep="0.1")
    execute = Watched(project.start("execute"))
    execute.wait_for("HelloWorld_2")
    sniffer = Watched(project.start("sniffer"))
    sniffer.wait_for("reader.input_port: open")
    sniffer.process.send_signal(2)
    told = sniffer.end()
    assert (sniffer.process.returncode, "Traceback" in told) == (0, False), told
    assert texts(execute.end(), "Received") == hello()
    assert execute.process.returncode == 0

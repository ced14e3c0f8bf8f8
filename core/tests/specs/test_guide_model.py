"""The guide's operators and pipeline, as they stand, modelled but not executed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline

GUIDE = os.environ.get("PYPZ_GUIDE", "")

CHECK = """
import warnings
warnings.simplefilter("error")
from pypz.example.pipeline import DemoPipeline
from pypz.core.specs.pipeline import Pipeline

pipeline = DemoPipeline("pipeline")
missing = {"pipeline.reader.input_port": {"channelLocation"}, "pipeline.writer.output_port": {"channelLocation"}}
if STAGE == "parameters":
    missing["pipeline.writer"] = {"recordCount"}
assert pipeline.get_missing_required_parameters() == missing, pipeline.get_missing_required_parameters()
pipeline.set_parameter(">>channelLocation", "localhost:9092")
assert pipeline.reader.input_port.get_parameter("channelLocation") == "localhost:9092"
assert pipeline.reader.input_port.get_connected_ports() == {pipeline.writer.output_port}
assert pipeline.reader.input_port.get_full_name() == "pipeline.reader.input_port"
if STAGE != "print":
    pipeline.reader.logger.set_parameter("logLevel", "DEBUG")
if STAGE == "image":
    assert pipeline.reader.get_operator_image_name() == "pypz-demo-pipeline"
if STAGE == "parameters":
    pipeline.writer.set_parameter("recordCount", 30)
    assert pipeline.writer.message == "HelloWorld"
    pipeline.writer.set_parameter("message", "Other message")
    assert pipeline.writer.message == "Other message"
pipeline.reader.set_parameter("replicationFactor", 3)
pipeline.writer.set_parameter("replicationFactor", 3)
assert not pipeline.get_missing_required_parameters()
again = Pipeline.create_from_string(str(pipeline))
assert again == pipeline and type(again) is DemoPipeline
copied = pipeline.writer.get_replica(2).materialize()
assert copied.output_port.get_full_name() == "pipeline.writer_2.output_port"
assert copied.output_record_count == 0
print("modelled")
"""


@pytest.mark.skipif(not GUIDE, reason="PYPZ_GUIDE is not set: folder with guide.rst and guide_project.py")
@pytest.mark.parametrize("stage", ["print", "logger", "image", "parameters"])
def test_the_guides_pipeline_is_modelled_as_it_stands(stage: str, tmp_path: Path) -> None:
    pytest.importorskip("pypz.plugins.kafka_io.ports")
    pytest.importorskip("pypz.plugins.loggers.default")
    maker = Path(GUIDE) / "guide_project.py"
    subprocess.run([sys.executable, str(maker), str(tmp_path), "--stage", stage], check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-c", f"STAGE = {stage!r}\n{CHECK}"],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (0, "modelled\n"), done.stderr


def test_the_guides_style_of_constructors_works_without_annotations() -> None:
    class Operator(BlankOperator):
        def __init__(self, name=None, *args, **kwargs):  # type: ignore[no-untyped-def]
            super().__init__(name, *args, **kwargs)
            self.count: int = 0

    class Demo(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.reader = Operator()  # type: ignore[no-untyped-call]

    assert Demo("pipeline").reader.get_full_name() == "pipeline.reader"


def test_importing_the_model_loads_no_client_and_no_parser() -> None:
    check = (
        "import sys, pypz.core.specs.pipeline as m;"
        "heavy = {'yaml', 'typer', 'rich', 'pluggy', 'kafka', 'confluent_kafka', 'fastavro', 'kubernetes', 'textual'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout == "[]\n"

"""The fixture run_pipeline: operators and pipelines in memory, ports fed and read by the test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.errors import ConfigurationError, TransportTimeoutError
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.testing.pipelines import LogLine, PipelineResult

Run = Callable[..., PipelineResult]


class Doubler(BlankOperator):
    factor = OptionalParameter(int, alt_name="factor")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.factor = 2
        self.numbers = ChannelInputPort()
        self.doubled = ChannelOutputPort()

    def _on_running(self) -> None:
        found = self.numbers.retrieve()
        if 13 in found:
            raise ValueError("13 is refused")
        self.get_logger().info(f"{len(found)} numbers")
        self.doubled.send([self.factor * number for number in found])


class Source(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelOutputPort()

    def _on_running(self) -> bool:
        self.numbers.send([100])
        return True


class Endless(BlankOperator):
    def _on_running(self) -> bool:
        return False


class Doubling(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.doubler = Doubler()
        self.again = Doubler()
        self.doubler.numbers.connect(self.source.numbers)
        self.again.numbers.connect(self.doubler.doubled)
        self.set_parameter(">>channelLocation", "kafka://nowhere:9092")


def test_an_operator_is_tested_in_a_few_lines(run_pipeline: Run) -> None:
    result = run_pipeline(Doubler, feed={"numbers": [1, 2, 3]}, parameters={"factor": 3})
    assert result.sent["doubled"] == [3, 6, 9]
    assert result.exit_codes == {"operator": 0}
    assert result.error is None
    assert LogLine("info", "operator", "3 numbers") in result.logs


def test_a_whole_pipeline_runs_in_memory_wherever_its_channels_are(run_pipeline: Run) -> None:
    result = run_pipeline(Doubling("line"))
    assert result.sent == {"source.numbers": [100], "doubler.doubled": [200], "again.doubled": [400]}
    assert result.exit_codes == {"source": 0, "doubler": 0, "again": 0}


def test_what_the_test_feeds_comes_besides_what_others_write(run_pipeline: Run) -> None:
    result = run_pipeline(Doubling("line"), feed={"again.numbers": [1]})
    assert sorted(result.sent["again.doubled"]) == [2, 400]


def test_operators_that_are_left_out_are_not_executed_and_not_waited_for(run_pipeline: Run) -> None:
    result = run_pipeline(Doubling("line"), only=["doubler"], feed={"doubler.numbers": [1, 2]})
    assert result.sent == {"doubler.doubled": [2, 4]}
    assert result.exit_codes == {"doubler": 0}


def test_replicas_share_what_is_fed_and_all_is_read_and_logged(run_pipeline: Run) -> None:
    pipeline = Doubling("line")
    pipeline.doubler.set_parameter("replicationFactor", 2)
    result = run_pipeline(pipeline, only=["doubler"], feed={"doubler.numbers": list(range(14, 114))})
    assert sorted(result.sent["doubler.doubled"]) == [2 * number for number in range(14, 114)]
    assert result.exit_codes == {"doubler": 0, "doubler_0": 0, "doubler_1": 0}
    assert {line.operator for line in result.logs if line.level == "info"} <= {"doubler", "doubler_0", "doubler_1"}


def test_a_failure_is_given_back_with_the_exit_codes(run_pipeline: Run) -> None:
    result = run_pipeline(Doubler, feed={"numbers": [13]})
    assert isinstance(result.error, ValueError)
    assert result.exit_codes == {"operator": 115}
    assert result.sent["doubled"] == []


def test_what_does_not_end_is_interrupted_and_said(run_pipeline: Run) -> None:
    with pytest.raises(TransportTimeoutError, match=r"'tested' did not end within 0\.3 s and was interrupted"):
        run_pipeline(Endless, timeout_s=0.3)


@pytest.mark.parametrize("given", ["abc", b"abc", {"n": 1}])
def test_one_record_that_is_fed_without_a_list_is_refused(run_pipeline: Run, given: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"feed\['numbers'\] is a (str|bytes|dict), expected a list of records"
    ):
        run_pipeline(Doubler, feed={"numbers": given})


def test_names_that_are_not_there_are_told_with_those_that_are(run_pipeline: Run) -> None:
    with pytest.raises(ConfigurationError, match="no input port 'number' to feed, expected one of numbers"):
        run_pipeline(Doubler, feed={"number": [1]})
    with pytest.raises(ConfigurationError, match=r"only=\['doubbler'\].*'again', 'doubler', 'source'"):
        run_pipeline(Doubling("line"), only=["doubbler"])


def test_the_plugin_imports_nothing_of_pypz_before_it_is_used() -> None:
    code = "import sys, pypz.testing.plugin; print(sorted(m for m in sys.modules if m.startswith('pypz.')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "['pypz.testing', 'pypz.testing.plugin']"

"""Promises 14 to 19, 36, 42, 43, 45, 49 and 50: what core and transport keep together, seen through real pipelines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from pypz.core.channels.spi import Capabilities
from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor
from pypz.testing.promises import promise
from pypz.testing.transport.base import TransportFixtures
from pypz.testing.transport.bench import Bench, block_of
from pypz.testing.transport.gated import GATED_SCHEME, GatedPlugin
from pypz.testing.transport.line import LedChain, LedLine
from pypz.testing.transport.numerals import Numerals, NumeralsPlugin
from pypz.testing.transport.runbench import RunBench

INTERRUPTED = 130
OpenRuns = Callable[..., RunBench]


class RunPromises(TransportFixtures):
    """Ends, restarts and refusals."""

    @pytest.fixture
    def open_runs(
        self,
        bench: Bench,
        plugin_host: PluginHost,
        location: str,
        options: Mapping[str, str],
        capabilities: Capabilities,
        runner: Sequence[str],
        tmp_path: Path,
    ) -> Iterator[OpenRuns]:
        """Opens runs of a pipeline over the transport under test."""
        opened: list[RunBench] = []

        def open_one(pipeline: Pipeline, settings: Mapping[str, str] = options) -> RunBench:
            command = runner if capabilities.across_processes else ()
            opened.append(RunBench(bench, pipeline, plugin_host, location, settings, command, tmp_path))
            return opened[-1]

        yield open_one
        for runs in opened:
            runs.close()

    @pytest.fixture
    def line(self, pipeline_name: str) -> LedLine:
        """Two sources and a sink."""
        return LedLine(pipeline_name)

    @pytest.fixture
    def runs(self, open_runs: OpenRuns, line: LedLine) -> RunBench:
        """Runs of the line."""
        return open_runs(line)

    @promise(14)
    def test_14_an_end_marker_read_and_committed_is_known_after_the_readers_restart(
        self, runs: RunBench, line: LedLine
    ) -> None:
        """Its position has moved past it, so it is never read again: the note tells of it."""
        first, second, sink = (runs.start(member) for member in (line.first, line.second, line.sink))
        line.first.commands.put([1, 2])
        line.first.commands.put("end")
        assert first.code() == 0
        runs.until_waits_for(line.sink, line.second)
        runs.until_got(line.sink, 1, 2)
        assert sink.interrupt() == INTERRUPTED
        sink = runs.start(line.sink)
        line.second.commands.put([3])
        line.second.commands.put("end")
        assert second.code() == 0
        assert sink.code() == 0
        assert line.sink.got == [1, 2, 3]

    @promise(15)
    def test_15_a_writer_that_ended_restarted_and_ended_again_ends_its_reader_once(
        self, runs: RunBench, line: LedLine
    ) -> None:
        """As one does that was killed between its end marker and the fact that tells of it."""
        first, second, sink = (runs.start(member) for member in (line.first, line.second, line.sink))
        for command in ([1], "end"):
            line.first.commands.put(command)
        assert first.code() == 0
        hub = runs.run.hub(runs.location)
        hub.put(f"closed/{line.first.get_full_name()}/0", None)
        hub.refresh()
        first = runs.start(line.first)
        for command in ([1], "end"):
            line.first.commands.put(command)  # type: ignore[arg-type]
        assert first.code() == 0
        runs.until_got(line.sink, 1, 1)
        runs.until_waits_for(line.sink, line.second)
        line.second.commands.put([2])
        runs.until_got(line.sink, 1, 1, 2)
        assert not sink.has_ended
        line.second.commands.put("end")
        assert (second.code(), sink.code()) == (0, 0)

    @promise(16)
    def test_16_the_end_of_an_earlier_run_ends_nothing(self, runs: RunBench, line: LedLine) -> None:
        """And its records, unread, come first."""
        line.sink.holds = True
        members = [runs.start(member) for member in (line.first, line.second, line.sink)]
        line.first.commands.put([1])
        for source, member in zip((line.first, line.second), members[:2], strict=True):
            source.commands.put("end")
            assert member.code() == 0
        assert members[2].interrupt() == INTERRUPTED
        runs.finish()
        line.sink.holds = False
        sink = runs.start(line.sink)
        runs.until_got(line.sink, 1)
        members = [runs.start(member) for member in (line.first, line.second)]
        runs.until_waits_for(line.sink, line.first, line.second)
        line.first.commands.put([2])
        runs.until_got(line.sink, 1, 2)
        for source in (line.first, line.second):
            source.commands.put("end")
        assert [member.code() for member in (*members, sink)] == [0, 0, 0]

    @promise(17)
    def test_17_a_killed_writer_leaves_its_reader_waiting_which_says_for_whom(
        self, runs: RunBench, line: LedLine
    ) -> None:
        """Killed by -9 where the transport goes across processes. Its restart ends the reader."""
        second, sink = runs.start(line.second), runs.start(line.sink)
        line.second.commands.put("end")
        assert second.code() == 0
        runs.start_and_kill(line.first, 3, until=lambda: runs.until_got(line.sink, 0, 1, 2))
        runs.until_waits_for(line.sink, line.first)
        first = runs.start(line.first)
        line.first.commands.put([7])
        runs.until_got(line.sink, 0, 1, 2, 7)
        assert not sink.has_ended
        line.first.commands.put("end")
        assert (first.code(), sink.code()) == (0, 0)

    @promise(18)
    def test_18_an_interrupted_or_failed_writer_leaves_no_end(self, runs: RunBench, line: LedLine) -> None:
        """What it had sent in iterations that returned arrives; its restart goes on."""
        first, second, sink = (runs.start(member) for member in (line.first, line.second, line.sink))
        line.first.commands.put([1])
        runs.until_got(line.sink, 1)
        line.first.commands.put("fail")
        assert first.code() not in (0, INTERRUPTED)
        assert second.interrupt() == INTERRUPTED
        second = runs.start(line.second)
        runs.forget_told()
        line.second.commands.put([2])
        runs.until_got(line.sink, 1, 2)
        runs.until_waits_for(line.sink, line.first, line.second)
        line.second.commands.put("end")
        assert second.code() == 0
        runs.until_waits_for(line.sink, line.first)
        first = runs.start(line.first)
        line.first.commands.put([3])
        line.first.commands.put("end")
        assert (first.code(), sink.code()) == (0, 0)
        assert line.sink.got == [1, 2, 3]

    @promise(19, "partitions", "raise_partitions")
    def test_19_a_partition_added_after_a_writers_end_ends_too(self, runs: RunBench, line: LedLine) -> None:
        """No marker of that writer will ever stand there: a fact of the run says so."""
        first, second, sink = (runs.start(member) for member in (line.first, line.second, line.sink))
        line.first.commands.put([1])
        line.first.commands.put("end")
        assert first.code() == 0
        runs.until_got(line.sink, 1)
        assert sink.interrupt() == INTERRUPTED
        line.sink.port.set_parameter("partitions", 2)
        sink = runs.start(line.sink)
        runs.until_waits_for(line.sink, line.second)
        line.second.commands.put([2])
        line.second.commands.put("end")
        assert (second.code(), sink.code()) == (0, 0)
        assert line.sink.got == [1, 2]

    @promise(36)
    def test_36_at_least_once_over_two_transports_never_commits_positions_before_both_are_flushed(
        self, bench: Bench, plugin_host: PluginHost, open_runs: OpenRuns, pipeline_name: str
    ) -> None:
        """The outputs go to a transport whose flush fails until it is let go; the inputs come from the one under test."""
        chain = LedChain(pipeline_name)
        runs = open_runs(chain)
        for port in (chain.copier.output, chain.sink.port):
            port.set_parameter("channelLocation", f"{GATED_SCHEME}:{pipeline_name}")
            port.set_parameter("channelConfig", {})
        with GatedPlugin(plugin_host) as gated:
            first, copier, sink = (runs.start(member) for member in (chain.first, chain.copier, chain.sink))
            chain.first.commands.put([1, 2, 3])
            runs.until_got(chain.copier, 1, 2, 3)
            gated.until_refused(2, bench.patience_s)
            info = bench.transport.describe_channel(f"{chain.copier.get_full_name()}.port")
            assert info is not None
            watcher = bench.client("watcher").reader(info, group=chain.copier.get_full_name())
            assert watcher.committed(0) is None
            gated.let_go()
            chain.first.commands.put("end")
            assert [member.code() for member in (first, copier, sink)] == [0, 0, 0]
        assert chain.sink.got == [1, 2, 3]

    @promise(42)
    def test_42_lag_is_zero_exactly_when_all_is_read_and_committed(self, runs: RunBench, line: LedLine) -> None:
        """Ends and control records included; as the port tells it to viewers, and as a reader tells it."""
        line.sink.holds = True
        members = [runs.start(member) for member in (line.first, line.second, line.sink)]
        line.first.commands.put([1, 2])
        runs.until_told(line.sink, lambda status: bool(status.lag_entries), "entries wait")
        line.sink.holds = False
        runs.until_told(line.sink, lambda status: status.records == 2 and status.lag_entries == 0, "all is committed")
        line.first.commands.put("end")
        runs.until_waits_for(line.sink, line.second)
        runs.until_told(line.sink, lambda status: status.lag_entries == 0, "the end is committed, too")
        info = runs.bench.channel(port="lag")
        reading, writing = runs.bench.client(), runs.bench.client("writer")
        reader, writer = reading.reader(info), writing.writer(info)
        for number in range(5):
            writer.write(0, block_of(str(number)))
        writing.flush()
        reading.read(1, max_blocks=1)
        reader.pause(True)
        deadline = time.monotonic() + runs.bench.patience_s
        while reader.lag()[0] == 0:  # it may be a little old
            assert time.monotonic() < deadline, "the lag of a reader is 0 while blocks wait"
            reading.read_nothing()
        reader.pause(False)
        reading.read(4)
        assert reader.lag()[0] == 0
        line.second.commands.put("end")
        assert [member.code() for member in members] == [0, 0, 0]

    @promise(43)
    def test_43_an_undeclared_capability_is_refused_at_start_with_its_name(
        self, bench: Bench, runs: RunBench, line: LedLine, capabilities: Capabilities, plugin_host: PluginHost
    ) -> None:
        """Nothing is called. Assignment by the transport is refused when the reader is opened."""
        if not capabilities.group_assignment:
            info = bench.channel()
            with pytest.raises(ConfigurationError, match="assign"):
                bench.client().spi.reader(info, "group", None)
        if not capabilities.transactions:
            line.sink.set_parameter("deliveryGuarantee", "exactly-once")
            with pytest.raises(ConfigurationError, match="exactly-once"):
                PipelineExecutor(line, host=plugin_host).start()
            assert line.first.starts == 0

    @promise(45)
    def test_45_a_late_reader_resolves_blocks_of_a_schema_written_before_it_joined(
        self, runs: RunBench, line: LedLine, plugin_host: PluginHost
    ) -> None:
        """The writer has ended by then, and the reader's own schema is another."""
        for source in (line.first, line.second):
            source.port.set_schema(Numerals("roman"))
        line.sink.port.set_schema(Numerals("arabic"))
        with NumeralsPlugin(plugin_host):
            line.sink.holds = True
            sink = runs.start(line.sink)  # makes the channel
            writers = [runs.start(member) for member in (line.first, line.second)]
            line.first.commands.put([4, 9])
            for source, writer in zip((line.first, line.second), writers, strict=True):
                source.commands.put("end")
                assert writer.code() == 0
            assert sink.interrupt() == INTERRUPTED
            line.sink.holds = False
            sink = runs.start(line.sink)
            assert sink.code() == 0
        assert line.sink.got == [4, 9]

    @promise(49)
    def test_49_sequential_mode_with_more_data_than_the_bound_ends(
        self, open_runs: OpenRuns, line: LedLine, tight_options: Mapping[str, str] | None, options: Mapping[str, str]
    ) -> None:
        """And hands nothing out before every writer has ended."""
        line.sink.port.set_parameter("sequentialModeEnabled", True)
        runs = open_runs(line, tight_options or options)
        first, second, sink = (runs.start(member) for member in (line.first, line.second, line.sink))
        sent = [f"{number:04} {'x' * 1000}" for number in range(100)]
        for record in sent:
            line.first.commands.put([record])
        line.first.commands.put("end")
        assert first.code() == 0
        runs.until_told(line.sink, lambda status: bool(status.lag_entries), "entries wait")
        assert line.sink.got == []
        line.second.commands.put("end")
        assert (second.code(), sink.code()) == (0, 0)
        assert line.sink.got == sent

    @promise(50)
    def test_50_a_restart_after_closed_does_nothing_and_exits_with_0(self, runs: RunBench, line: LedLine) -> None:
        """Its operator is not even initialised."""
        first, second, sink = (runs.start(member) for member in (line.first, line.second, line.sink))
        line.first.commands.put([1])
        line.first.commands.put("end")
        assert first.code() == 0
        again = runs.start(line.first)
        assert again.code() == 0
        assert line.first.starts == 1
        line.second.commands.put("end")
        assert (second.code(), sink.code()) == (0, 0)
        assert line.sink.got == [1]

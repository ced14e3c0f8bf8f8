"""Plain lines instead of a screen."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from pypz.core.hooks.events import ChannelStatus, ErrorInfo, OperatorRef, PipelineRef, PortRef
from pypz.sniffer.forms.plain import PlainViewer
from pypz.sniffer.model.frames import PlannedOperator, PlannedPort
from pypz.sniffer.model.pipeline import PipelineModel

PLAN = (PlannedOperator("p.reader", "p.reader", 0, 0, (PlannedPort("in", "in", ("writer.out",)),)),)


def ref(run: str = "r1") -> OperatorRef:
    return OperatorRef("p", run, "p.reader", 0, "s1")


def status(records: int, state: str = "open", run: str = "r1") -> ChannelStatus:
    port = PortRef(ref(run), "in", "in", ("p.reader.in",))
    return ChannelStatus(port, "p.reader.in", state, records, 1, 9, lag_entries=0)  # type: ignore[arg-type]


class Lines(list[str]):
    """Collects lines and tells who waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self._came = threading.Condition()

    def write(self, line: str) -> None:
        with self._came:
            self.append(line)
            self._came.notify_all()

    def wait_for(self, part: str) -> None:
        with self._came:
            assert self._came.wait_for(lambda: any(part in line for line in self), 10), (part, list(self))


def test_changes_are_told_until_the_run_ends() -> None:
    model = PipelineModel("p", PLAN)
    lines = Lines()
    viewer = threading.Thread(target=PlainViewer(model, lines.write).run, daemon=True)
    viewer.start()
    lines.wait_for("p: waits for the run to start")
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref(), "StateOperationRunning", is_here=True)
    model.channel_status(status(3))
    lines.wait_for("reader.in: open 3 records")
    model.channel_status(status(30, "closed"))
    model.operator_finished(ref(), 0)
    model.pipeline_finished(PipelineRef("p", "r1"), "finished")
    viewer.join(10)
    assert not viewer.is_alive()
    assert [line for line in lines if line.startswith(("p: run", "reader:", "p: finished"))] == [
        "p: run r1",
        "reader: running",
        "reader: finished",
        "p: finished after 0:00",
    ]
    assert lines[-2].startswith("reader.in: closed 30 records")


def test_what_hinders_the_view_is_told_and_that_it_does_no_more() -> None:
    model = PipelineModel("p", PLAN)
    lines = Lines()
    viewer = PlainViewer(model, lines.write)
    running = threading.Thread(target=viewer.run, daemon=True)
    running.start()
    model.set_notice("broker: no answer yet", is_blind=True)
    lines.wait_for("broker: no answer yet")
    model.set_notice("", is_blind=False)
    lines.wait_for("p: nothing hinders the view any more")
    viewer.stop()
    running.join(10)
    assert not running.is_alive()


def test_a_port_with_several_channels_names_each() -> None:
    model = PipelineModel("p", PLAN)
    model.pipeline_started(PipelineRef("p", "r1"))
    for channel in ("p.a.in", "p.b.in"):
        model.channel_status(replace(status(30, "closed"), channel=channel))
    model.operator_finished(ref(), 0)
    model.pipeline_finished(PipelineRef("p", "r1"), "finished")
    lines = Lines()
    PlainViewer(model, lines.write).run()
    assert [line.split(":")[0] for line in lines if ": closed 30 records" in line] == [
        "reader.in a.in",
        "reader.in b.in",
    ]


def test_a_run_that_had_ended_is_told_with_its_final_counts() -> None:
    model = PipelineModel("p", PLAN)
    model.pipeline_started(PipelineRef("p", "r1"))
    model.channel_status(status(30, "closed"))
    model.operator_failed(ref(), "StateOperationRunning", ErrorInfo("ValueError", "no such field"))
    model.operator_finished(ref(), 115)
    model.pipeline_finished(PipelineRef("p", "r1"), "failed")
    lines = Lines()
    PlainViewer(model, lines.write).run()
    assert lines == [
        "p: run r1",
        "reader: failed 115 (ValueError: no such field)",
        "reader.in: closed 30 records, lag ?",
        "p: failed after 0:00",
    ]


def test_whoever_waits_for_the_next_run_is_not_told_of_the_last_one() -> None:
    model = PipelineModel("p", PLAN)
    model.run_known("p", "r1", {}, time.time() - 60)
    model.channel_status(status(30, "closed"))
    model.pipeline_finished(PipelineRef("p", "r1"), "finished")
    lines = Lines()
    viewer = threading.Thread(target=PlainViewer(model, lines.write, waits_for_next=True).run, daemon=True)
    viewer.start()
    lines.wait_for("run r1 had ended before; waits for the next one")
    model.pipeline_started(PipelineRef("p", "r2"))
    model.operator_state_changed(ref("r2"), "StateOperationRunning", is_here=True)
    model.channel_status(status(2, run="r2"))
    lines.wait_for("reader.in: open 2 records")
    assert not any("30 records" in line for line in lines)
    viewer_is_alive = viewer.is_alive()
    model.operator_finished(ref("r2"), 0)
    model.pipeline_finished(PipelineRef("p", "r2"), "finished")
    viewer.join(10)
    assert viewer_is_alive
    assert not viewer.is_alive()


def test_stop_ends_it_at_once() -> None:
    lines = Lines()
    viewer = PlainViewer(PipelineModel("p", PLAN), lines.write)
    viewer.stop()
    viewer.run()
    assert lines == []

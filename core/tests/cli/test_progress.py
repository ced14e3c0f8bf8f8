"""The rows behind the live table."""

import pytest

from pypz.cli.live import table_of
from pypz.cli.progress import Progress, Row, in_words
from pypz.core.hooks.events import ChannelStatus, ErrorInfo, OperatorRef, PipelineRef, PortRef


def member(name: str, start: str = "s") -> OperatorRef:
    return OperatorRef("p", "run1", f"p.{name}", 0, start)


def figures(of: OperatorRef, direction: str, records: int, channel: str = "c", **more: object) -> ChannelStatus:
    port = PortRef(of, f"{direction}_port", direction)  # type: ignore[arg-type]
    return ChannelStatus(port, channel, "open", records, 1, 10, **more)  # type: ignore[arg-type]


def test_members_stand_there_from_the_start_and_grow_with_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    news: list[str] = []
    now = [100.0]
    monkeypatch.setattr("pypz.cli.progress.time.monotonic", lambda: now[0])
    progress = Progress(["p.writer", "p.reader"], news.append)
    assert [row.name for row in progress.rows()] == ["p.writer", "p.reader"]
    reader, writer = member("reader"), member("writer")
    progress.pypz_pipeline_started(PipelineRef("p", "run1"))
    progress.pypz_operator_state_changed(reader, "StateOperationInit", "StateOperationRunning")
    for second in range(5):
        now[0] = 100.0 + second
        progress.pypz_channel_status(figures(reader, "in", 10 * second, lag_entries=9, lag_records=second))
        progress.pypz_channel_status(figures(writer, "out", 20 * second, "c"))
        progress.pypz_channel_status(figures(writer, "out", 20 * second, "d"))
    sent, got = progress.rows()
    assert (got.state, got.records_in, got.records_out, got.lag, got.rate) == ("running", 40, None, 4, 10.0)
    assert (sent.records_out, sent.lag) == (80, None)
    now[0] = 1000.0
    assert progress.rows()[1].rate < 0.1
    progress.pypz_operator_failed(reader, "StateOperationRunning", ErrorInfo("ValueError", "no"))
    progress.pypz_operator_finished(reader, 115)
    progress.pypz_operator_finished(writer, 130)
    progress.pypz_pipeline_finished(PipelineRef("p", "run1"), "failed")
    sent, got = progress.rows()
    assert (got.state, got.note, got.is_well) == ("failed (115)", "ValueError: no", False)
    assert (sent.state, sent.is_well) == ("interrupted", True)
    assert news == [
        "p: run run1 has started",
        "p.reader: running",
        "p.writer: interrupted, 80 records out",
    ]


def test_a_member_that_starts_again_counts_anew() -> None:
    progress = Progress()
    progress.pypz_channel_status(figures(member("reader", "s1"), "in", 40))
    progress.pypz_operator_finished(member("reader", "s1"), 115)
    progress.pypz_operator_state_changed(member("reader", "s2"), "", "StateEntry")
    (row,) = progress.rows()
    assert (row.state, row.records_in, row.exit_code) == ("starting", None, None)


def test_a_member_that_waits_says_for_whom() -> None:
    progress = Progress()
    progress.pypz_channel_status(figures(member("reader"), "in", 0, waits_for="p.writer"))
    (row,) = progress.rows()
    assert row.note == "waits for p.writer"
    assert in_words(row).endswith("waits for p.writer")


def test_the_table_has_a_row_for_each_member() -> None:
    table = table_of([Row("p.a", "running", 1, None, 5.0, 0), Row("p.b", "failed (1)", None, 2, exit_code=1)], "p")
    assert table.row_count == 2
    assert [column.header for column in table.columns] == ["operator", "state", "in", "out", "records/s", "lag", ""]

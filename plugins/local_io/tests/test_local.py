"""What local files add to the kit's promises: fencing, notes, room given back, wake-ups between processes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from plugins.local_io.tests.members import Open, block, member, open_client, open_reading, used_bytes

from pypz.core.channels.spi import ChannelSpec, Committed, Guarantee, MemberNote, Unit
from pypz.core.commons.errors import ChannelGoneError, FencedError, NotBuiltYetError, TransportError
from pypz.plugins.local_io import signals
from pypz.plugins.local_io.channels import FREE_BYTES
from pypz.plugins.local_io.database import FILE
from pypz.plugins.local_io.outbox import Outbox
from pypz.plugins.local_io.transport import LocalTransport


def test_a_later_start_fences_what_an_earlier_one_writes_and_commits(open_transport: Open) -> None:
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    first = open_reading(transport, info)
    writer = first.writer(info)
    writer.write(0, block("kept"))
    first.flush(10)
    found = first.read(1, 10)[0]
    second = open_client(open_transport(), epoch=2)
    second.settle(1)
    with pytest.raises(FencedError, match=r"p\.reader/0: a later start of this member has taken over"):
        first.commit(Unit({("c", 0): Committed(found.next_position, "")}), 1)
    writer.write(0, block("dropped"))
    for _ in range(2):
        with pytest.raises(FencedError):
            first.flush(10)
    with pytest.raises(FencedError):
        open_client(transport, epoch=1).settle(1)
    again = open_reading(transport, info, "others")
    assert [received.block.headers["text"] for received in again.read(10, 0)] == ["kept"]


def test_the_members_note_is_stored_with_its_positions_and_given_back_by_settle(open_transport: Open) -> None:
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    first = open_client(transport, epoch=1)
    assert first.settle(1) is None
    first.reader(info, "p.reader", [0])
    first.commit(Unit({("c", 0): Committed("0", "")}, MemberNote(b"\x00so far")), 1)
    first.commit(Unit({("c", 0): Committed("0", "later")}), 1)
    assert open_client(open_transport(), epoch=2).settle(1) == MemberNote(b"\x00so far")
    transport.delete_status("p", 1)
    assert open_client(transport, epoch=3).settle(1) is None


def test_what_all_groups_have_consumed_is_removed_and_room_goes_back_to_the_disk(
    tmp_path: Path, open_transport: Open
) -> None:
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 2), 1)
    readers = {group: open_reading(transport, info, group) for group in ("one", "two")}
    writing = open_client(transport, "p.writer")
    writer = writing.writer(info)
    for number in range(120):
        writer.write(number % 2, block(str(number), 500_000))
    writing.flush(60)
    for group, client in readers.items():
        got = 0
        while got < 120:
            for received in client.read(8, 10):
                client.commit(Unit({("c", received.partition): Committed(received.next_position, "")}), 10)
                got += 1
        if group == "one":
            assert len(open_reading(transport, info, "three").read(1000, 10)) > 0, (
                "the second group's blocks were removed"
            )
            transport.delete_channel(transport.create_channel(ChannelSpec("d", 1), 1), 1)
    transport.close()
    again = open_transport()
    assert again.describe_channel("c") == info
    again.delete_channel(info, 1)
    again.close()
    assert (tmp_path / "channels" / FILE).stat().st_size < FREE_BYTES + 4 * 1024 * 1024
    assert sorted(os.listdir(tmp_path / "channels")) == ["pypz.reserve", FILE, "wake"]
    assert os.listdir(tmp_path / "channels" / "wake") == []


def test_channels_made_and_deleted_again_and_again_leave_a_file_of_constant_size(
    tmp_path: Path, open_transport: Open
) -> None:
    """What lies in it is constant; of what is free it keeps a bound, however far behind the cleaning was meanwhile."""
    used = []
    for _ in range(5):
        transport = open_transport()
        for _ in range(20):
            info = transport.create_channel(ChannelSpec("c", 3), 1)
            client = open_reading(transport, info)
            client.writer(info).write(0, block("x", 300_000))
            client.flush(10)
            transport.delete_channel(info, 1)
        transport.close()
        used.append(used_bytes(tmp_path / "channels" / FILE))
    assert used[0] < 300_000
    assert set(used) == {used[0]}
    assert 1.5 * FREE_BYTES < 5 * 20 * 300_000
    assert (tmp_path / "channels" / FILE).stat().st_size <= FREE_BYTES + used[0]


def test_facts_put_and_removed_ten_thousand_times_leave_a_bounded_file_and_a_sleeping_follower_compares(
    tmp_path: Path, open_transport: Open
) -> None:
    transport = open_transport()
    stream, sleeper = transport.open_status("p", create=True), open_transport().open_status("p", create=False)
    stream.put("stays", b"1")
    stream.put("goes", b"1")
    sleeper.facts()
    stream.put("goes", None)
    for number in range(3000):
        stream.put("changes", b"%d" % number)
    late = {entry.key: entry.value for entry in sleeper.changes(10)}
    assert late == {"goes": None, "changes": b"2999"}
    assert {key: entry.value for key, entry in sleeper.facts().items()} == {"stays": b"1", "changes": b"2999"}
    transport.close()
    assert (tmp_path / "channels" / FILE).stat().st_size < 4 * 1024 * 1024


def read_by_another(transport: LocalTransport, other: LocalTransport) -> list[object]:
    """Begin a read without end on one transport, write by the other, give what came."""
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    reading = open_reading(transport, info)
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.extend(reading.read(1, 600)))
    thread.start()
    writing = open_client(other, "p.writer")
    writing.writer(info).write(0, block("x"))
    writing.flush(10)
    thread.join(20)
    reading.wake()
    return found


def test_a_reader_is_woken_in_a_folder_whose_path_is_too_long_for_sockets(tmp_path: Path, open_transport: Open) -> None:
    folder = tmp_path / ("long" * 40)
    assert len(read_by_another(open_transport(folder), open_transport(folder))) == 1


def test_a_reader_without_a_socket_is_woken_by_the_files_own_counter(
    monkeypatch: pytest.MonkeyPatch, open_transport: Open
) -> None:
    monkeypatch.setattr(signals._Place, "bind", lambda self, name: None)
    assert len(read_by_another(open_transport(), open_transport())) == 1


def test_the_socket_of_a_killed_process_is_removed_by_who_finds_it(tmp_path: Path, open_transport: Open) -> None:
    import socket

    assert len(read_by_another(open_transport(), open_transport())) == 1
    left = tmp_path / "channels" / "wake" / "4194304-dead"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(left))
    assert left.exists()
    transport = open_transport()
    transport.open_status("p", create=True).put("a", b"1")
    assert not left.exists()


def test_the_lag_of_a_deleted_channel_is_the_last_one_known(open_transport: Open) -> None:
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    client = open_client(transport)
    reader = client.reader(info, "p.reader", [0])
    reader.seek(0, "first")
    writer = client.writer(info)
    for number in range(3):
        writer.write(0, block(str(number)))
    client.flush(10)
    client.read(1, 10)
    transport.delete_channel(info, 1)
    assert reader.lag() == {0: 2}
    with pytest.raises(ChannelGoneError, match="'c' at local:.* was deleted"):
        client.read(1, 10)


def test_exactly_once_is_refused_by_name(open_transport: Open) -> None:
    with pytest.raises(NotBuiltYetError, match=r"'exactly-once' is not carried out on local: yet"):
        open_transport().open_client(member(), 1, Guarantee.EXACTLY_ONCE)


def test_full_sync_is_declared_as_durable_without_power(open_transport: Open) -> None:
    assert open_transport().capabilities.durable == "process"
    assert open_transport(sync="full").capabilities.durable == "machine"


def test_a_beat_that_cannot_be_written_harms_no_block_that_is_written_with_it(open_transport: Open) -> None:
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    client = open_reading(transport, info)
    stream = transport.open_status("p", create=True)
    for number in range(5):
        stream.beat("\ud800", b"a key that is no text")
        client.writer(info).write(0, block(f"{number}"))
        client.flush(10)
    assert len(client.read(10, 10)) == 5


def test_a_block_that_cannot_be_written_fails_its_writer_and_no_other(open_transport: Open) -> None:
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    reading, broken, well = (
        open_reading(transport, info),
        open_client(transport, "p.broken"),
        open_client(transport, "p.w"),
    )
    broken.writer(info).write(2**70, block("no number of a partition"))
    with pytest.raises(TransportError, match=r"something unexpected, OverflowError"):
        broken.flush(10)
    with pytest.raises(TransportError, match=r"something unexpected, OverflowError"):
        broken.writer(info).write(0, block("later"))
    well.writer(info).write(0, block("well"))
    well.flush(10)
    assert len(reading.read(10, 10)) == 1


def test_the_end_of_the_writing_thread_is_told_to_everybody(
    monkeypatch: pytest.MonkeyPatch, open_transport: Open
) -> None:
    def failing(outbox: Outbox) -> float | None:
        raise MemoryError("no room")

    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    client = open_client(transport, "p.w")
    monkeypatch.setattr(Outbox, "_next_work", failing)
    client.writer(info).write(0, block("x"))
    with pytest.raises(TransportError, match=r"MemoryError: no room"):
        client.flush(10)
    with pytest.raises(TransportError, match=r"MemoryError: no room"):
        client.writer(info).write(0, block("y"))

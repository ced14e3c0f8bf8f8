"""Full and read-only disks, damaged and foreign files, fork, removed folders: a clear error, and nothing half done."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from plugins.local_io.tests.members import Mount, Open, block, open_client, open_reading

from pypz.core.channels.spi import ChannelSpec, Committed, KeepsLogs, Unit
from pypz.core.commons.errors import ConfigurationError, TransportError, TransportTimeoutError
from pypz.plugins.local_io import folder as folders
from pypz.plugins.local_io.database import FILE
from pypz.plugins.local_io.faults import translate
from pypz.plugins.local_io.folder import RESERVE_BYTES

BLOCK_BYTES = 500_000


def test_a_full_disk_makes_writers_wait_while_readers_commit_and_make_room(mount: Mount, open_transport: Open) -> None:
    transport = open_transport(mount("size=64m"))
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    writing, reading = open_client(transport, "p.writer"), open_reading(transport, info)
    writer = writing.writer(info)
    sent = 0
    with pytest.raises(TransportTimeoutError, match=r"blocks were not written .* disk of .* is full"):
        while sent < 1000:
            writer.write(0, block(str(sent), BLOCK_BYTES))
            sent += 1
            writing.flush(3)
    assert sent <= 101, "48 MiB hold more than 50.5 MB"
    transport.open_status("p", create=True).put("fact", b"written all the same")
    got: list[str] = []
    flushed = threading.Thread(target=writing.flush, args=(60,))
    flushed.start()
    while len(got) < sent:
        found = reading.read(8, 30)
        assert found, f"{len(got)} of {sent} blocks came: {writing.last_cause()}"
        got += [received.block.headers["text"] for received in found]
        reading.commit(Unit({("c", 0): Committed(found[-1].next_position, "")}), 10)
    flushed.join(60)
    assert got == [str(number) for number in range(sent)]
    assert writing.last_cause() == ""


def test_the_reserve_is_given_up_for_commits_and_taken_back(mount: Mount, open_transport: Open) -> None:
    folder = mount("size=48m")
    transport = open_transport(folder)
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    writing = open_client(transport, "p.writer")
    writer = writing.writer(info)
    writer.write(0, block("first"))
    writing.flush(10)
    reading = open_reading(transport, info)
    position = reading.read(1, 10)[0].next_position
    filler = folder / "of-somebody-else"
    with open(filler, "wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(65536))
            except OSError:
                break
    for number in range(300):  # more than what is left in the log
        reading.commit(Unit({("c", 0): Committed(position, f"{number}" * 10_000)}), 10)
    assert (folder / "pypz.reserve").stat().st_size == 0
    writer.write(0, block("second"))
    with pytest.raises(TransportTimeoutError, match="is full"):
        writing.flush(0.2)
    filler.unlink()
    writing.flush(30)
    assert (folder / "pypz.reserve").stat().st_size == RESERVE_BYTES
    assert [received.block.headers["text"] for received in reading.read(8, 10)] == ["second"]


def test_a_folder_that_cannot_be_written_is_refused(mount: Mount, open_transport: Open) -> None:
    transport = open_transport(mount("ro"))
    with pytest.raises(TransportError, match="cannot be written by this user.*give write access"):
        transport.create_channel(ChannelSpec("c", 1), 1)


def test_a_folder_that_cannot_be_made_is_refused(mount: Mount, open_transport: Open) -> None:
    transport = open_transport(mount("ro") / "below")
    with pytest.raises(TransportError, match="cannot be made: Read-only file system"):
        transport.create_channel(ChannelSpec("c", 1), 1)


def test_that_a_folder_cannot_be_made_is_seen_by_looking(tmp_path: Path, mount: Mount, open_transport: Open) -> None:
    (tmp_path / "file").touch()
    for folder, cause in (
        (tmp_path / "file" / "a" / "b", f"no folder: {tmp_path / 'file'}; give write access"),
        (mount("ro") / "below", "not to be written by this user: .*; give write access there, or name another folder"),
    ):
        with pytest.raises(TransportError, match=f"the folder cannot be made: {cause}"):
            open_transport(folder).describe_channel("c")
    assert open_transport(tmp_path / "a" / "b").describe_channel("c") is None


def test_lines_are_dropped_while_the_disk_has_little_room_left_for_records(mount: Mount, open_transport: Open) -> None:
    folder = mount("size=64m")
    transport = open_transport(folder)
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    stream, logs = transport.open_status("p", create=True), transport.open_logs("p", 10)
    assert isinstance(stream, KeepsLogs)
    client = open_client(transport)
    filler = folder / "of-somebody-else"
    filler.write_bytes(bytes(30 * 1024 * 1024))  # less than 18 MiB are left, and the reserve is held
    stream.log(b"dropped")
    client.writer(info).write(0, block("written", BLOCK_BYTES))
    client.flush(10)  # the line came first
    assert logs.read(0) == []
    filler.unlink()
    stream.log(b"kept")
    assert logs.read(10) == [b"kept"]


def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path, open_transport: Open) -> None:
    (tmp_path / "channels").write_text("mine")
    with pytest.raises(ConfigurationError, match="is a file, expected a folder"):
        open_transport().create_channel(ChannelSpec("c", 1), 1)


def test_a_network_file_system_is_refused(
    tmp_path: Path, open_transport: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_mounts", lambda: [("/", "ext4"), (str(tmp_path), "nfs4")])
    with pytest.raises(
        ConfigurationError, match=r"network file system \(nfs4\).*expected a folder on a disk of this machine"
    ):
        open_transport().create_channel(ChannelSpec("c", 1), 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's list of mounts")
def test_the_file_system_of_a_folder_is_known_before_the_folder_is_made(mount: Mount) -> None:
    assert folders.kind_of_file_system(mount("size=1m") / "a" / "b") == "tmpfs"


def test_a_file_of_rubbish_is_told_and_left_as_it_is(tmp_path: Path, open_transport: Open) -> None:
    (tmp_path / "channels").mkdir()
    file = tmp_path / "channels" / FILE
    file.write_bytes(b"rubbish" * 10_000)
    with pytest.raises(TransportError, match=r"is damaged or no channel file.*move it away.*\.recover"):
        open_transport().describe_channel("c")
    assert file.read_bytes() == b"rubbish" * 10_000


def test_a_file_damaged_in_the_middle_is_told_when_it_is_read(tmp_path: Path, open_transport: Open) -> None:
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    writing = open_client(transport)
    for number in range(20):
        writing.writer(info).write(0, block(str(number), 20_000))
    writing.flush(10)
    transport.close()
    file = tmp_path / "channels" / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(TransportError, match="damaged"):
        open_reading(open_transport(), info).read(100, 10)


def test_damage_that_gets_into_the_text_of_sqlites_error_is_told_as_damage(
    tmp_path: Path, open_transport: Open
) -> None:
    first = open_transport()
    first.create_channel(ChannelSpec("c", 1), 1)
    first.close()
    file = tmp_path / "channels" / FILE
    whole = file.read_bytes()
    name, made = b"tablechannelschannels", b"CREATE TABLE channels"
    assert whole.count(name) == whole.count(made) == 1
    file.write_bytes(whole.replace(name, b"table\xffhannelschannels").replace(made, b"CREATE TABLE \xff\xfeannel("))
    with pytest.raises(TransportError, match=r"is damaged or no channel file.*move it away"):
        open_transport().describe_channel("c")


@pytest.mark.parametrize(
    "change", ["ALTER TABLE positions RENAME TO places", "ALTER TABLE channels RENAME incarnation TO age"]
)
def test_a_file_without_one_of_its_tables_is_told_as_damage(tmp_path: Path, open_transport: Open, change: str) -> None:
    first = open_transport()
    info = first.create_channel(ChannelSpec("c", 1), 1)
    first.close()
    with closing(sqlite3.connect(tmp_path / "channels" / FILE)) as connection:
        connection.execute(change)
    with pytest.raises(TransportError, match=r"is damaged or no channel file.*no such (table|column).*move it away"):
        open_reading(open_transport(), info).read(1, 10)


def test_a_database_of_something_else_is_told_and_left_as_it_is(tmp_path: Path, open_transport: Open) -> None:
    (tmp_path / "channels").mkdir()
    with closing(sqlite3.connect(tmp_path / "channels" / FILE)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(TransportError, match="its application id is 0"):
        open_transport().create_channel(ChannelSpec("c", 1), 1)
    with closing(sqlite3.connect(tmp_path / "channels" / FILE)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path, open_transport: Open) -> None:
    transport = open_transport()
    transport.create_channel(ChannelSpec("c", 1), 1)
    transport.close()
    with closing(sqlite3.connect(tmp_path / "channels" / FILE)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(
        TransportError, match="has version 99, this pypz-local knows versions up to 1; upgrade pypz-local"
    ):
        open_transport().describe_channel("c")


def test_a_folder_removed_under_a_reader_ends_its_wait(tmp_path: Path, open_transport: Open) -> None:
    transport = open_transport()
    reading = open_reading(transport, transport.create_channel(ChannelSpec("c", 1), 1))
    (tmp_path / "channels" / FILE).rename(tmp_path / "elsewhere")
    with pytest.raises(TransportError, match="was removed while it was in use"):
        reading.read(1, 60)


def test_what_sqlite_says_of_a_file_that_was_removed_is_told_as_that(tmp_path: Path) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_FSTAT, "SQLITE_IOERR_FSTAT"
    gone = tmp_path / FILE
    assert str(translate(error, "local:x", gone)).startswith(
        f"local:x: {gone} was removed while it was in use: disk I/O"
    )
    gone.touch()
    assert "was removed" not in str(translate(error, "local:x", gone))


def test_a_folder_removed_under_a_writer_fails_its_flush_at_once(tmp_path: Path, open_transport: Open) -> None:
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    client = open_client(transport)
    writer = client.writer(info)
    shutil.rmtree(tmp_path / "channels")
    writer.write(0, block("lost"))
    with pytest.raises(TransportError, match="the folder cannot be looked at any more: No such file") as caught:
        client.flush(60)
    assert not isinstance(caught.value, TransportTimeoutError)


def test_a_folder_removed_while_log_lines_are_written_is_told_as_that(tmp_path: Path, open_transport: Open) -> None:
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    client = open_client(transport)
    writer, stream = client.writer(info), transport.open_status("p", create=True)
    assert isinstance(stream, KeepsLogs)
    shutil.rmtree(tmp_path / "channels")
    stream.log(b"a line")
    writer.write(0, block("lost"))
    with pytest.raises(TransportError, match="the folder cannot be looked at any more: No such file") as caught:
        client.flush(60)
    assert "please report it" not in str(caught.value)


def test_a_path_that_no_system_takes_is_refused(tmp_path: Path, open_transport: Open) -> None:
    with pytest.raises(ConfigurationError, match="the system does not take such a path: File name too long"):
        open_transport(tmp_path / ("x" * 300)).create_channel(ChannelSpec("c", 1), 1)


def test_topic_settings_are_refused(open_transport: Open) -> None:
    with pytest.raises(ConfigurationError, match=r"topicConfig has retention\.ms.*leave it out"):
        open_transport().create_channel(ChannelSpec("c", 1, {"retention.ms": "1"}), 1)


FORKING = """
import os, sys
from pypz.core.channels.spi import Block, ChannelSpec, Guarantee, Member
from pypz.core.commons.errors import TransportError
from pypz.plugins.local_io.transport import LocalTransport

transport = LocalTransport("local:" + sys.argv[1])
info = transport.create_channel(ChannelSpec("c", 1), 1)
client = transport.open_client(Member("p", "p.w", 0, "s"), 1, Guarantee.AT_LEAST_ONCE)
writer = client.writer(info)
writer.write(0, Block({}, b"1"))
client.flush(10)
child = os.fork()
if not child:
    for call in (lambda: transport.describe_channel("c"), lambda: writer.write(0, Block({}, b"child")), lambda: client.flush(1)):
        try:
            call()
        except TransportError as error:
            print(error, flush=True)
        else:
            print("carried out", flush=True)
    transport.close()
    os._exit(0)
os.waitpid(child, 0)
writer.write(0, Block({}, b"2"))
client.flush(10)
reader = client.reader(info, "g", [0])
reader.seek(0, "first")
print([received.block.payload for received in client.read(10, 10)])
transport.close()
"""


def test_a_forked_child_is_refused_and_the_parent_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, str(tmp_path / "channels")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done
    assert all("cannot be used after fork" in line and "'spawn'" in line for line in lines[:3])
    assert lines[3] == "[b'1', b'2']"


def test_nothing_is_made_by_looking(tmp_path: Path, open_transport: Open) -> None:
    transport = open_transport()
    assert transport.describe_channel("c") is None
    assert transport.pipelines() == []
    viewer = transport.open_status("p", create=False)
    assert dict(viewer.facts()) == {}
    assert viewer.changes(0) == []
    assert os.listdir(tmp_path) == []
    open_transport().open_status("p", create=True).put("a", b"1")
    assert [entry.value for entry in viewer.changes(10)] == [b"1"]

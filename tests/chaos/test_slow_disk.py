"""A disk that is slow, and hangs in the midst of a run over a local file: members say so and wait, and nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chaos_drills import Drill

COUNT = 1000
SLOW_MS = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="delays what Linux writes"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to make the disk slow"),
]


def test_a_disk_that_is_slow_and_hangs_in_the_midst_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, hangs, seen = tmp_path / "slow_disk.so", tmp_path / "hangs", tmp_path / "seen"
    source_file = Path(__file__).with_name("slow_disk.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source_file), "-ldl"], check=True)
    location = f"local:{tmp_path / 'channels'}"
    drill = Drill(tmp_path, location, [("source", "count", COUNT), ("source", "keepsNotes", True)])
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("SLOW_DISK_PATH", str(tmp_path / "channels"))
    monkeypatch.setenv("SLOW_DISK_MS", str(SLOW_MS))
    monkeypatch.setenv("SLOW_DISK_HANGS", str(hangs))
    monkeypatch.setenv("SLOW_DISK_SEEN", str(seen))
    try:
        sink, copier, source = drill.start_line()
        source.wait_for("sent", COUNT // 4)
        hangs.touch()
        source.wait_for_words("cannot commit yet, tries on")
        assert seen.exists(), "nobody has waited for the disk"
        hangs.unlink()
        assert [member.end() for member in (source, copier, sink)] == [0, 0, 0], source.lines[-5:]
        assert sink.numbers("got") == list(range(COUNT))
        told = next(line for line in source.lines if "cannot commit yet" in line)
        assert location in told
        assert "the disk is slow" in told or "locked for too long" in told
    finally:
        hangs.unlink(missing_ok=True)
        drill.close()

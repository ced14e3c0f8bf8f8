"""The folder of a location: whether channels can live in it, and the room that is kept for a full disk."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from pypz.core.commons.errors import ConfigurationError, TransportError

RESERVE_BYTES: Final = 16 * 1024 * 1024
"""Kept on the disk, so that commits and deletions work when it is full (semantics: local)."""
MARGIN_BYTES: Final = 4 * 1024 * 1024
"""Room beyond the reserve before it is taken back: what was let go of is not taken from who needed it (chosen)."""

REMOTE: Final = {
    "9p", "afs", "beegfs", "ceph", "cifs", "drvfs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb2", "smb3", "smbfs", "virtiofs", "webdav",
}  # fmt: skip
"""File systems that other machines write, too: SQLite's WAL needs memory that all its processes share."""


def kind_of_file_system(folder: Path) -> str:
    """Name of the file system that a folder, or the nearest one above it that exists, lies on; empty when unknown."""
    while not _is_there(folder) and folder != folder.parent:
        folder = folder.parent
    return find_kind(folder.resolve(), _mounts())


def _is_there(folder: Path) -> bool:
    """As `Path.exists` before Python 3.14: a path that the system does not take is none that is absent.

    Raises:
        OSError: Such as for a name that is too long.
    """
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def find_kind(folder: Path, mounts: list[tuple[str, str]]) -> str:
    """Of ``(mount point, kind)`` in mounting order, the kind that counts for a folder.

    >>> find_kind(Path("/data/x/y"), [("/", "ext4"), ("/data", "nfs4"), ("/data/xx", "tmpfs")])
    'nfs4'
    """
    best, kind = -1, ""
    for point, found in mounts:
        if len(point) >= best and folder.is_relative_to(point):
            best, kind = len(point), found
    return kind


def _mounts() -> list[tuple[str, str]]:
    if sys.platform == "darwin":
        lines = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=10).stdout.splitlines()
        halves = [line.rsplit(" (", 1) for line in lines if " on " in line and " (" in line]
        return [(left.split(" on ", 1)[1], right.split(",")[0].rstrip(")")) for left, right in halves]
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    return [(_unescaped(line.split(" ")[4]), line.split(" - ", 1)[1].split(" ")[0]) for line in lines if " - " in line]


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def check_folder(location: str, folder: Path, create: bool) -> bool:
    """Make sure that channels can live in the folder; tell whether it exists.

    Raises:
        ConfigurationError: It is none, or lies on a file system that several machines share.
        TransportError: It cannot be made or written.
    """
    try:
        kind = kind_of_file_system(folder)
    except OSError as error:
        raise ConfigurationError(
            f"{location}: the system does not take such a path: {error.strerror}; expected the path of a folder"
        ) from error
    if kind in REMOTE:
        raise ConfigurationError(
            f"{location}: the folder lies on a network file system ({kind}), where SQLite cannot keep its promises; expected "
            "a folder on a disk of this machine, or another transport, such as kafka://HOST:PORT"
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{location}: {folder} is a file, expected a folder, which is made when it is absent")
    if create and not folder.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_made(location, error.strerror, error.filename) from error
    if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        raise TransportError(
            f"{location}: the folder {folder} cannot be written by this user, which readers and viewers must, too; "
            "give write access to the folder and the files in it, or name another one"
        )
    return folder.exists()


def check_can_be_made(location: str, folder: Path) -> None:
    """Make sure, as far as can be seen without making it, that a folder which is absent could be made.

    Raises:
        TransportError: What lies above it is no folder, or cannot be written.
    """
    above = folder.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise _not_made(location, "no folder", above)
    if not os.access(above, os.W_OK | os.X_OK):
        raise _not_made(location, "not to be written by this user", above)


def _not_made(location: str, cause: str | None, place: object) -> TransportError:
    return TransportError(
        f"{location}: the folder cannot be made: {cause}: {place}; give write access there, or name another folder"
    )


class Reserve:
    """A file of 16 MiB that holds nothing: what commits and deletions may use up when the disk is full."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pypz.reserve"

    def is_whole(self) -> bool:
        """Whether the room is held."""
        try:
            return self._path.stat().st_size >= RESERVE_BYTES
        except OSError:
            return False

    def release(self) -> None:
        """Give the room back to the disk."""
        with contextlib.suppress(OSError):
            os.truncate(self._path, 0)

    def take(self, at_least: int = RESERVE_BYTES) -> bool:
        """Hold the room, unless less than ``at_least`` bytes are free; tell whether it is held."""
        if self.is_whole():
            return True
        if free_bytes(self._path.parent) < at_least:
            return False
        try:
            with open(self._path, "ab") as file:
                _allocate(file.fileno())
        except OSError:
            self.release()
            return False
        return True


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write to the disk of a folder.

    Raises:
        TransportError: The folder is not there any more.
    """
    try:
        space = os.statvfs(folder)
    except OSError as error:
        raise TransportError(
            f"local:{folder}: the folder cannot be looked at any more: {error.strerror}; it was removed, or its disk taken away"
        ) from error
    return space.f_bavail * space.f_frsize


def _allocate(file: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, RESERVE_BYTES)
        return
    for _ in range(RESERVE_BYTES // (1 << 20)):
        os.write(file, bytes(1 << 20))

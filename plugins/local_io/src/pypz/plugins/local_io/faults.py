"""SQLite's failures in the words of pypz."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Final

from pypz.core.commons.errors import TransportError, TransportTimeoutError
from pypz.plugins.local_io.folder import free_bytes

LEAST_FREE_BYTES = 1024 * 1024
"""Below this an input/output error is taken for a full disk (chosen)."""


MISSING: Final = ("no such table", "no such column")
"""How SQLite's texts begin for what every file of ours has."""


class DiskFullError(TransportTimeoutError):
    """The disk is full; once there is room the same may be tried again."""


class BusyError(TransportTimeoutError):
    """Another process holds the lock; the same may be tried again."""


FAULTS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What `sqlite3` raises; the second when a damaged file's bytes get into the text of an error."""


def translate(error: sqlite3.Error | UnicodeDecodeError, location: str, file: Path) -> TransportError:
    """Give the error to raise instead; it tells SQLite's own text."""
    if isinstance(error, UnicodeDecodeError):
        return damaged(location, file, f"SQLite's error holds bytes that are no text: {error.object!r}")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    cause = f"{error} ({name})"
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY) and not file.exists():
        return removed(location, file, cause)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(file.parent)):
        return DiskFullError(
            f"{location}: the disk of {file.parent} is full: {cause}; it goes on when there is room: let readers catch up, "
            "or free some"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(
            f"{location}: another process has kept {file} locked for too long: {cause}; a stopped one holds its lock until "
            "it goes on or is killed"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(location, file, cause)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return TransportError(
            f"{location}: {file} cannot be written: {cause}; every process that reads or writes channels needs write access "
            "to the folder and the files in it"
        )
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(MISSING):
        return damaged(location, file, cause)
    return TransportError(f"{location}: {file}: {cause}")


def removed(location: str, file: Path, cause: str = "") -> TransportError:
    """The error for a file that somebody has taken away."""
    return TransportError(f"{location}: {file} was removed while it was in use{': ' if cause else ''}{cause}")


def damaged(location: str, file: Path, cause: str) -> TransportError:
    """The error for a file that is not what it should be."""
    return TransportError(
        f"{location}: {file} is damaged or no channel file of pypz: {cause}; nothing was changed; move it away together with "
        f"{file.name}-wal and {file.name}-shm and start again (its records are lost), or rescue it by sqlite3's '.recover'"
    )


def failed_to_make(location: str, folder: Path, error: OSError) -> TransportError:
    """The error for a file that could not be made."""
    text = f"{location}: no file can be made in {folder}: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"{text}; it needs some 17 MiB, free some")
    return TransportError(f"{text}; give write access, or name another folder")


def _is_full(folder: Path) -> bool:
    try:
        return free_bytes(folder) < LEAST_FREE_BYTES
    except TransportError:
        return False

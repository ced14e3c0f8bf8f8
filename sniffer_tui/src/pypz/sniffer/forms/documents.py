"""The sniffer's picture as JSON, for scripts: one object for each picture, of plain values with fixed names."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from pypz.sniffer.model.frames import Frame, MemberView, PortView
from pypz.sniffer.wording.reasons import diagnose

VERSION: Final = 1
"""Of the form; names may be added without raising it."""


def document_of(frame: Frame) -> dict[str, Any]:
    """Give a picture as JSON values.

    Returns:
        ``v``, ``pipeline``, ``run`` ("" while none was seen), ``mood``, ``verdict`` (``unseen``, ``healthy``, ``finished``,
        ``failed`` or ``stuck``), ``why``, ``elapsed_s``, ``notice``, and ``members``, each with ``name``, ``group``, ``index``,
        ``mood``, ``why``, ``state``, ``since_utc``, ``exit_code``, ``error``, ``host``, ``process``, ``restarts``, ``deployed``
        (``state``, ``reason``, ``place``, ``host`` and ``restarts``, as its place tells; null where none does) and ``ports``,
        each with ``name``, ``direction``, ``channel``, ``state``, ``records``, ``blocks``, ``size_bytes``, ``is_at_least``
        (these three may be more: its member was cut off before it told its last), ``told_utc`` (when they were told, by the
        member's clock), ``rate`` (records a second), ``lag_records``, ``lag_entries``, ``is_lag_old`` (more may wait by now),
        ``waits_for``, ``in_hand`` (records that its code works on), ``partitions`` and ``positions``. What is not known is null
        or "".
    """
    found = diagnose(frame)
    return {
        "v": VERSION,
        "pipeline": frame.pipeline,
        "run": frame.run,
        "mood": frame.mood.value,
        "verdict": found.verdict.value,
        "why": found.why,
        "elapsed_s": round(frame.elapsed_s, 1),
        "notice": frame.notice,
        "members": [_member(member, found.members[member.name]) for member in frame.members],
    }


def line_of(frame: Frame) -> str:
    """Give a picture as one line of JSON."""
    return json.dumps(document_of(frame), separators=(",", ":"))


def _member(member: MemberView, why: str) -> dict[str, Any]:
    return {
        "name": member.name,
        "group": member.group,
        "index": member.index,
        "mood": member.mood.value,
        "why": why,
        "state": member.state,
        "exit_code": member.exit_code,
        "error": member.error,
        "host": member.host,
        "process": member.process,
        "restarts": member.restarts,
        "since_utc": member.since_utc or None,
        "deployed": None if member.deployed is None else asdict(member.deployed),
        "ports": [_port(port) for port in member.ports],
    }


def _port(port: PortView) -> dict[str, Any]:
    return {
        "name": port.name,
        "direction": port.direction,
        "channel": port.channel,
        "state": port.state,
        "records": port.records,
        "is_at_least": port.is_at_least,
        "told_utc": port.told_utc or None,
        "blocks": port.blocks,
        "size_bytes": port.size_bytes,
        "rate": None if port.rate is None else round(port.rate, 1),
        "lag_records": port.lag.records,
        "lag_entries": port.lag.entries,
        "is_lag_old": port.lag.is_old,
        "partitions": list(port.partitions),
        "positions": list(port.positions),
        "waits_for": port.waits_for,
        "in_hand": port.in_hand,
    }

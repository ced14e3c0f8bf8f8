"""What is wrong with a kubeconfig, in words: looked for before the official client reads it, which tells less and guesses more."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

_DATA: Final = "-data"
"""End of the names of fields that hold a file's content as base64."""
_LISTS: Final = ("contexts", "clusters", "users")


class _Unreadable(str):
    """Why a file cannot be read, in place of its content."""

    __slots__ = ()


def fault_of(given: Any, context: str | None) -> str:
    """Tell what is wrong with a kubeconfig, and what it has instead; empty when it looks well.

    Args:
        given: Its paths, separated as `KUBECONFIG` has them, or its content as a mapping.
        context: Name of the context that is meant; None for its current one.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in _LISTS}
    current: Any = None
    for place, config in _documents(given):
        if isinstance(config, _Unreadable):
            return config
        if not isinstance(config, Mapping):
            return f"{place} is {_kind(config)}, expected a mapping with {', '.join(_LISTS)}"
        for name in _LISTS:
            entries = config.get(name) or []
            if not isinstance(entries, list) or not all(isinstance(e, Mapping) and "name" in e for e in entries):
                return f"{name!r} of {place} is {_kind(entries)}, expected a list of entries with a 'name'"
            for entry in entries:
                found[name].setdefault(str(entry["name"]), entry.get(name[:-1]))
        current = config.get("current-context") or current
    return _fault_of_context(found, context, current)


def _documents(given: Any) -> Iterator[tuple[str, Any]]:
    """Place and content of each file that is there."""
    if isinstance(given, Mapping):
        yield "it", given
        return
    paths = [Path(part).expanduser() for part in str(given).split(os.pathsep) if part]
    there = [path for path in paths if path.exists()]
    if not there:
        yield "", _Unreadable("there is no such file")
    for path in there:
        place = "it" if len(there) == 1 else str(path)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            # Not the error's own text: it quotes the line, which may hold a token.
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
            yield place, _Unreadable(f"{place} is no YAML: {getattr(error, 'problem', None) or 'not UTF-8'}{where}")
        except OSError as error:
            yield place, _Unreadable(f"{place} cannot be read: {error.strerror}")
        else:
            yield place, content


def _fault_of_context(found: Mapping[str, Mapping[str, Any]], context: str | None, current: Any) -> str:
    name = context or current
    contexts = found["contexts"]
    if not name:
        return f"it has no 'current-context', and none is named; it has the contexts: {_listed(contexts)}"
    if name not in contexts:
        what = "it has no context" if context else "its 'current-context' is"
        return f"{what} {str(name)!r}; it has: {_listed(contexts)}"
    chosen = contexts[name]
    if not isinstance(chosen, Mapping):
        return f"context {name!r} is {_kind(chosen)}, expected a mapping with 'cluster' and 'user'"
    ours = {part: str(chosen[part]) for part in ("cluster", "user") if chosen.get(part)}
    if "cluster" not in ours:
        return f"context {name!r} names no 'cluster'; it has: {_listed(found['clusters'])}"
    for part, known in ours.items():
        named = found[f"{part}s"]
        if known not in named:
            return f"context {name!r} is for {part} {known!r}, which it has not; it has: {_listed(named)}"
    cluster = found["clusters"][ours["cluster"]]
    user = found["users"].get(ours.get("user", "")) or {}
    for what, one in ((f"cluster {ours['cluster']!r}", cluster), (f"user {ours.get('user')!r}", user)):
        if not isinstance(one, Mapping):
            return f"{what} is {_kind(one)}, expected a mapping"
        bad = next((key for key, value in one.items() if str(key).endswith(_DATA) and not _is_base64(value)), None)
        if bad is not None:
            return f"{bad!r} of {what} is no base64"
    return _fault_of_server(ours["cluster"], cluster.get("server"))


def _fault_of_server(cluster: str, server: Any) -> str:
    example = "expected an address such as 'https://cluster.example:6443'"
    if not server:
        return f"cluster {cluster!r} has no 'server', {example}"
    return "" if _is_address(str(server)) else f"'server' of cluster {cluster!r} is {server!r}, {example}"


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_base64(value: Any) -> bool:
    try:
        base64.b64decode("".join(str(value).split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _kind(value: Any) -> str:
    return "nothing" if value in (None, [], {}) else f"of type {type(value).__name__}"


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "none"

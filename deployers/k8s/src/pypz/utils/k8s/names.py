"""Names of Kubernetes objects from names of pypz, which allow more: upper case, underscores, any length.

A name depends on the full name only, never on what else is in the cluster, so that an object can be found again.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

MAX_LABEL: Final = 63
"""Characters of a DNS label and of a label's value (RFC 1123; Kubernetes)."""
MAX_JOB_NAME: Final = 52
"""Characters of a Job's name: 63 for its pods less 11 for ``-<index>-<5 random ones>``, with room for 9,999 members."""
_HASH_DIGITS: Final = 8
"""Chosen: two of 10,000 names share a suffix once in 80 clusters, and matter only if their heads agree, too."""

OBJECT_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
"""What a name given by people must be made of (RFC 1123)."""

_PLAIN = re.compile(r"[a-z0-9]+")
_PLAIN_LAST = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def object_name(*parts: str, limit: int = MAX_LABEL) -> str:
    """Make a legal object name of the simple names along a full name.

    Lower case, everything but letters and digits turned to ``-``. Where this alone could give two full names the same
    object name, or is too long, a short hash of the full name is added.

    Args:
        parts: Simple names, outermost first, such as pipeline and operator.
        limit: Characters at most; at least 10.

    >>> object_name("pipeline", "demo_reader")
    'pipeline-demo-reader'
    >>> object_name("A_b"), object_name("a-b")
    ('a-b-64b7eecc', 'a-b-3d3a2bba')
    """
    name = "-".join(parts).replace("_", "-")
    # `_` in the last part only: `a_b.c` and `a.b_c` would meet otherwise.
    is_unmistakable = all(_PLAIN.fullmatch(p) for p in parts[:-1]) and _PLAIN_LAST.fullmatch(parts[-1])
    if is_unmistakable and len(name) <= limit:
        return name
    head = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[: limit - _HASH_DIGITS - 1].rstrip("-")
    return f"{head or 'x'}-{_hash('.'.join(parts))}"


def label_value(name: str) -> str:
    """Make a legal label value of one name; most names stay as they are, others get a short hash.

    >>> label_value("demo_reader")
    'demo_reader'
    """
    if len(name) <= MAX_LABEL and _LABEL_VALUE.fullmatch(name):
        return name
    head = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[: MAX_LABEL - _HASH_DIGITS - 1].strip("_.-")
    return f"{head or 'x'}-{_hash(name)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]

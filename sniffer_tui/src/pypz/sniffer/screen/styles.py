"""Colours of tones. Each only repeats what a word or a symbol says beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pypz.sniffer.wording.table import Tone

STYLES: Final[Mapping[Tone, str]] = {"": "", "good": "green", "warn": "yellow", "bad": "bold red", "dim": "dim"}

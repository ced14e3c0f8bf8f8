"""The lines around the panes: how the whole does above them, what is selected below them."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from pypz.sniffer.screen.styles import STYLES
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.reasons import Verdict
from pypz.sniffer.wording.table import SYMBOLS, TONES, elapsed_words, row_at, rows_of

_STYLE_OF: Final = {Verdict.FAILED: STYLES["bad"], Verdict.STUCK: STYLES["bad"]}


def title_of(picture: Picture) -> Text:
    """Give the first line: the pipeline, how it does, for how long, which run, and why."""
    frame = picture.frame
    title = Text(overflow="ellipsis", no_wrap=True)
    title.append(frame.pipeline, "bold")
    if picture.diagnosis.verdict is Verdict.UNSEEN:
        title.append("  waits for the run to start", STYLES["warn"])
        return title
    title.append(f"  {SYMBOLS[frame.mood]} {frame.mood.value}", STYLES[TONES[frame.mood]])
    if frame.elapsed_s or not frame.had_ended:
        title.append(f"  {elapsed_words(frame.elapsed_s)}")
    title.append(f"  run {frame.run}" if frame.run else "  no run seen")
    title.append(f"  {picture.diagnosis.why}", _STYLE_OF.get(picture.diagnosis.verdict, ""))
    return title


def brief_of(picture: Picture) -> Text:
    """Give three lines on what is selected, for screens without room for its details."""
    group = picture.groups.get(picture.selection.group, ())
    rows = rows_of(picture.frame.pipeline, group, picture.is_folded, picture.diagnosis.members)
    row = row_at(rows, picture.selection)
    return Text("\n".join(row.detail if row else ()), no_wrap=True, overflow="ellipsis")

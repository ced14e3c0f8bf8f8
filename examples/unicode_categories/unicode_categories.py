"""How many characters does each general category of Unicode have? 34,924 real lines, counted by three members.

    lines --texts--> parser (3) --characters--> tally

The data is ``data/UnicodeData-15.0.0.txt.gz``, a line for each character: code point, name, category, and more. Large blocks of
characters have two lines only, their first and their last.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline

DATA = Path(__file__).resolve().parent / "data" / "UnicodeData-15.0.0.txt.gz"
LINES_AT_ONCE = 500


class Lines(BlankOperator):
    """Sends the file line by line. Killed and started again, it goes on behind what it has safely sent."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.texts = ChannelOutputPort()
        self.sent = 0
        self.lines: Iterator[str] = iter(())

    def _on_init(self) -> bool:
        self.sent = int(self.get_checkpoint() or b"0")
        self.lines = islice(gzip.open(DATA, "rt", encoding="ascii"), self.sent, None)  # noqa: SIM115
        return True

    def _on_running(self) -> bool:
        texts = [line.rstrip("\n") for line in islice(self.lines, LINES_AT_ONCE)]
        self.texts.send([{"text": text} for text in texts])
        self.sent += len(texts)
        self.checkpoint(b"%d" % self.sent)
        return not texts


class Parser(BlankOperator):
    """Makes a record of a line."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.texts = ChannelInputPort()
        self.characters = ChannelOutputPort()
        self.set_parameter("replicationFactor", 2)

    def _on_running(self) -> None:
        found = [record["text"].split(";") for record in self.texts.retrieve()]
        self.characters.send(
            [{"code": int(code, 16), "name": name, "category": kind} for code, name, kind, *_ in found]
        )


class Tally(BlankOperator):
    """Counts characters by category, those of large blocks included."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.characters = ChannelInputPort()
        self.categories: dict[int, str] = {}
        self.borders: dict[str, dict[str, int]] = {}

    def _on_running(self) -> None:
        for record in self.characters.retrieve():
            self.categories[record["code"]] = record["category"]
            block, _, border = record["name"].strip("<>").partition(", ")
            if border:
                self.borders.setdefault(block, {})[border] = record["code"]

    def _on_shutdown(self) -> bool:
        for borders in self.borders.values():
            category = self.categories[borders["First"]]
            self.categories.update(dict.fromkeys(range(borders["First"], borders["Last"]), category))
        counts = dict(sorted(Counter(self.categories.values()).items()))
        print(f"{len(self.categories)} characters: {json.dumps(counts)}")
        return True


class UnicodeCategories(Pipeline):
    """The three, connected."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.lines, self.parser, self.tally = Lines(), Parser(), Tally()
        self.parser.texts.connect(self.lines.texts)
        self.tally.characters.connect(self.parser.characters)

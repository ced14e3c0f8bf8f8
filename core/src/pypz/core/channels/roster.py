"""The roster of a run: how many members each group has, generation by generation, and whose ends a reader waits for.

The opening entry ``run/<id>`` is generation 0; rescaling writes ``roster/<id>/<generation>``, each with the sizes of all groups,
where the group reads and writes: each location counts its own generations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from pypz.core.channels.spi import StatusEntry
from pypz.core.channels.status import with_prefix

NEVER: Final = -1
"""An epoch before all others."""


def roster_key(run: str, generation: int) -> str:
    """Key of the fact that holds a later generation.

    >>> roster_key("ab", 1)
    'roster/ab/1'
    """
    return f"roster/{run}/{generation}"


class Roster:
    """Sizes of all groups of one run, as the status stream of one location tells them."""

    def __init__(self, first: Mapping[str, int], later: Sequence[tuple[int, Mapping[str, int]]] = ()) -> None:
        """Take the generations.

        Args:
            first: Sizes by operator in the opening entry.
            later: Place in the stream and sizes of each generation after it, in order.
        """
        self._generations = [dict(first), *(dict(groups) for _, groups in later)]
        self._positions = [NEVER, *(position for position, _ in later)]

    @classmethod
    def read(cls, facts: Mapping[str, StatusEntry], run: str, first: Mapping[str, int]) -> Roster:
        """Read the generations of a run after the first from a stream's facts; one that cannot be read is none."""
        found = {
            int(number): (facts[f"roster/{run}/{number}"].position, sizes)
            for number, value in with_prefix(facts, f"roster/{run}/").items()
            if number.isdecimal() and (sizes := _sizes(value.get("groups"))) is not None
        }
        later: list[tuple[int, Mapping[str, int]]] = []
        while (generation := len(later) + 1) in found:
            later.append(found[generation])
        return cls(first, later)

    @property
    def generation(self) -> int:
        """The newest."""
        return len(self._generations) - 1

    @property
    def groups(self) -> Mapping[str, int]:
        """Sizes by operator in the newest generation."""
        return self._generations[-1]

    def size_of(self, operator: str) -> int:
        """Members of an operator's group now."""
        return self.groups.get(operator, 1)

    def changes_of(self, operator: str) -> int:
        """How often the group was rescaled."""
        sizes = [groups.get(operator, 1) for groups in self._generations]
        return sum(before != after for before, after in pairwise(sizes))

    def largest(self, operator: str) -> int:
        """Members that the group has had at most."""
        return max(groups.get(operator, 1) for groups in self._generations)

    def writers(self, outputs: Iterable[tuple[str, str]]) -> Writers:
        """Those that write by these ports, given as operator and name of the port."""
        ports = sorted(set(outputs))
        return Writers(
            *(
                sorted(f"{name}/{index}/{port}" for name, port in ports for index in range(groups.get(name, 1)))
                for groups in self._generations
            ),
            positions=self._positions,
        )


def _sizes(groups: object) -> dict[str, int] | None:
    if not isinstance(groups, dict) or not all(isinstance(size, int) and size >= 0 for size in groups.values()):
        return None
    return dict(groups)


class Writers:
    """Those whose ends a reader waits for, now and in earlier generations: a note names them by their place in its own."""

    def __init__(self, *generations: Sequence[str], positions: Sequence[int] = ()) -> None:
        """Take the writers of each generation, ``<operator>/<index>/<port>``, sorted.

        Args:
            generations: From the first to the newest.
            positions: Of the generations' entries in the status stream.
        """
        self._generations = [tuple(writers) for writers in generations or [()]]
        self._positions = [*positions] or [NEVER] * len(self._generations)
        self.now = self._generations[-1]
        """Those of the newest generation."""
        self._born = {writer: self._birth_of(writer) for writer in self.now}

    def _birth_of(self, writer: str) -> int:
        """The generation since which a writer has been there without a break."""
        generation = self.generation
        while generation and writer in self._generations[generation - 1]:
            generation -= 1
        return generation

    def __contains__(self, writer: object) -> bool:
        return writer in self._born

    def __len__(self) -> int:
        return len(self.now)

    @property
    def generation(self) -> int:
        """The newest."""
        return len(self._generations) - 1

    def at(self, generation: int) -> Sequence[str]:
        """Those of one generation; none of one that is not known."""
        return self._generations[generation] if 0 <= generation <= self.generation else ()

    def ends_since(self, writer: str, epoch: int) -> bool:
        """Whether an end of a writer, written by its start of this epoch, counts: not one from before it was added again."""
        return writer in self._born and epoch >= self._positions[self._born[writer]]

    def standing(self, ended: Iterable[str], generation: int) -> frozenset[str]:
        """Of the writers that had ended as a reader of this generation saw it, those that still count."""
        return frozenset(writer for writer in ended if self._born.get(writer, generation + 1) <= generation)

"""What stands in a status stream by its entries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pypz.plugins.kafka_io.facts import Facts, proposal_key

Entry = tuple[str, bytes | None, bool]


def standing(entries: list[tuple[int, Entry]]) -> dict[str, bytes | None]:
    facts = Facts()
    for position, (key, value, is_proposal) in entries:
        facts.apply(key, value, position, is_proposal=is_proposal)
    return {key: entry.value for key, entry in facts.standing.items()}


def compacted(entries: list[tuple[int, Entry]]) -> list[tuple[int, Entry]]:
    """The last entry of each key, as Kafka keeps it."""
    last = {entry[0]: place for place, (_, entry) in enumerate(entries)}
    return [entries[place] for place in sorted(last.values())]


def test_the_first_proposal_stands_and_a_later_one_changes_nothing() -> None:
    facts = Facts()
    first, second = proposal_key("a"), proposal_key("a")
    changed = facts.apply(first, b"1", 0, is_proposal=True)
    assert changed is not None
    assert (changed.key, changed.value, changed.position) == ("a", b"1", 0)
    assert facts.apply(second, b"2", 1, is_proposal=True) is None
    assert facts.apply(second, None, 2, is_proposal=True) is None
    assert facts.standing["a"].value == b"1"
    assert facts.proposals("a") == {first}


def test_a_removed_fact_may_be_proposed_again() -> None:
    facts = Facts()
    first, second = proposal_key("a"), proposal_key("a")
    facts.apply(first, b"1", 0, is_proposal=True)
    removed = facts.apply("a", None, 1, is_proposal=False)
    assert removed is not None
    assert removed.value is None
    assert facts.standing == {}
    facts.apply(first, None, 2, is_proposal=True)
    facts.apply(second, b"2", 3, is_proposal=True)
    assert facts.standing["a"].value == b"2"


def test_keys_may_hold_the_sign_that_proposals_use() -> None:
    assert standing([(0, ("a#b", b"1", False)), (1, (proposal_key("a#b"), b"2", True))]) == {"a#b": b"1"}


KEYS = st.sampled_from(["a", "b#c"])
ACTIONS = st.lists(st.tuples(KEYS, st.sampled_from(["put", "remove", "propose"]), st.binary(min_size=1, max_size=2)))


@given(ACTIONS)
def test_the_same_stands_before_and_after_compaction_and_as_a_dict_would_have_it(
    actions: list[tuple[str, str, bytes]],
) -> None:
    entries: list[tuple[int, Entry]] = []
    expected: dict[str, bytes] = {}
    proposals: dict[str, list[str]] = {}

    def write(entry: Entry) -> None:
        entries.append((len(entries), entry))

    for key, action, value in actions:
        if action == "put":
            write((key, value, False))
            expected[key] = value
        elif action == "propose":
            mine = proposal_key(key)
            proposals.setdefault(key, []).append(mine)
            write((mine, value, True))
            expected.setdefault(key, value)
        else:
            write((key, None, False))
            for one in proposals.pop(key, []):
                write((one, None, True))
            expected.pop(key, None)
    assert standing(entries) == expected
    assert standing(compacted(entries)) == expected

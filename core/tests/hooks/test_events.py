"""Events are plain values, JSON both ways."""

import dataclasses
import json
from typing import Any

import pytest

from pypz.core.hooks.events import ChannelStatus, ErrorInfo, OperatorRef, PipelineRef, PortRef, ProcessStatus

OPERATOR = OperatorRef("p", "r", "p.o", 1, "s", "host", 7)
PORT = PortRef(OPERATOR, "port", "out", ("a", "b"))
EVENTS = [
    PipelineRef("p", "r"),
    OPERATOR,
    PORT,
    ErrorInfo("ValueError", "no", "Traceback"),
    ProcessStatus("p", "r", "host", 7, 1.5, 3.0, 4096, 5),
    ChannelStatus(PORT, "a", "open", 1, 2, 3, 4, None, "writer", 5, (0, 1), ("7", "9")),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_from_json_as_it_was(event: Any) -> None:
    assert type(event).from_json(json.loads(json.dumps(event.to_json()))) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_cannot_be_changed(event: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, dataclasses.fields(event)[0].name, None)


def test_fields_of_a_newer_version_are_ignored_also_nested_ones() -> None:
    values = EVENTS[-1].to_json()
    values.update(v=7, new=[1])
    values["port"]["new"] = {}
    values["port"]["operator"]["new"] = None
    assert ChannelStatus.from_json(values) == EVENTS[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"records": "many"}, "ChannelStatus: field 'records' is 'many', of the wrong type"),
        ({"port": 5}, "PortRef: expected a JSON object, got int"),
        ({"port": None}, "field 'port' is None"),
        ({"channel": None}, "field 'channel' is None"),
    ],
)
def test_nonsense_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ChannelStatus.from_json({**EVENTS[-1].to_json(), **change})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ValueError, match="OperatorRef: field 'start' is missing"):
        OperatorRef.from_json({"pipeline": "p", "run": "r", "name": "n", "index": 0})

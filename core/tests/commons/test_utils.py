"""Small helpers (contract 18)."""

from __future__ import annotations

import threading
import time

import pytest

from pypz.core.commons.errors import PypzError
from pypz.core.commons.parameters import allowed_param_types
from pypz.core.commons.utils import (
    InterruptableTimer,
    SynchronizedReference,
    TemplateResolver,
    convert_to_dict,
    current_time_millis,
    ensure_type,
    is_type_allowed,
)


def test_a_value_of_the_type_is_given_back_and_others_are_type_errors() -> None:
    assert ensure_type("a", str) == "a"
    with pytest.raises(TypeError, match="expected str, got int") as caught:
        ensure_type(1, str)
    assert isinstance(caught.value, PypzError)


def test_time_is_in_milliseconds() -> None:
    assert abs(current_time_millis() - time.time() * 1000) < 5000


def test_types_are_looked_at_in_depth() -> None:
    assert is_type_allowed([{"a": {1, 2.5, None}}], allowed_param_types)
    assert not is_type_allowed([{"a": (1,)}], allowed_param_types)


def test_objects_become_dicts() -> None:
    class Thing:
        def __init__(self) -> None:
            self.name = "x"
            self.parts = [1, {"a": {2}}]
            self._hidden = 1

    assert convert_to_dict([Thing()]) == [{"name": "x", "parts": [1, {"a": {2}}]}]


def test_templates_have_the_brackets_they_were_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPZ_TEST_A", "a")
    resolver = TemplateResolver("<<", ">>")
    assert resolver.resolve("<<env:PYPZ_TEST_A>>${env:PYPZ_TEST_A}<<PYPZ_TEST_A>>!") == "a${env:PYPZ_TEST_A}!"
    assert resolver.has_template(["<<x>>"])
    assert not resolver.has_template("<<")


def test_a_reference_gives_copies_of_mutable_values() -> None:
    reference = SynchronizedReference([1])
    reference.get().append(2)
    assert reference.get() == [1]
    reference.set([3])
    assert reference.get() == [3]
    assert SynchronizedReference("a").get() == "a"


def test_a_timer_ends_by_itself_or_when_interrupted() -> None:
    timer = InterruptableTimer()
    assert timer.sleep(0.001) is False
    thread = threading.Thread(target=timer.interrupt)
    thread.start()
    assert timer.sleep(30) is True
    thread.join()
    assert timer.sleep(0.001) is False


def test_an_interrupt_before_the_sleep_is_not_lost() -> None:
    timer = InterruptableTimer()
    timer.interrupt()
    assert timer.sleep(30) is True

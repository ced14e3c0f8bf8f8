"""Names of objects: legal for every name that pypz allows, and never the same for two of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypz.utils.k8s.names import MAX_JOB_NAME, label_value, object_name

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")

names = st.from_regex(re.compile(r"[a-zA-Z_]+[a-zA-Z0-9_-]*", re.ASCII), fullmatch=True)
alike = st.text("aAbB_-", min_size=1, max_size=5).filter(lambda name: name[0] != "-")
"""Names that differ in little."""


@given(names, names)
def test_every_name_of_an_operator_gives_a_legal_name_of_a_job(pipeline: str, operator: str) -> None:
    name = object_name(pipeline, operator, limit=MAX_JOB_NAME)
    assert DNS_LABEL.fullmatch(name)
    assert len(name) <= 52


@given(st.integers(1, 300), st.integers(1, 300))
def test_long_names_are_cut_and_stay_legal(pipeline: int, operator: int) -> None:
    name = object_name("p" * pipeline, "o" * operator, limit=MAX_JOB_NAME)
    assert DNS_LABEL.fullmatch(name)
    assert len(name) <= 52


@given(st.tuples(alike, alike), st.tuples(alike, alike))
def test_two_operators_never_share_a_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    if one != other:
        assert object_name(*one, limit=MAX_JOB_NAME) != object_name(*other, limit=MAX_JOB_NAME)


@given(alike, alike)
def test_two_pipelines_never_share_a_name(one: str, other: str) -> None:
    if one != other:
        assert object_name(one) != object_name(other)


def test_names_that_differ_only_behind_the_cut_stay_apart() -> None:
    long = "x" * 80
    assert object_name("p", long + "1", limit=MAX_JOB_NAME) != object_name("p", long + "2", limit=MAX_JOB_NAME)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("pipeline", "reader"), "pipeline-reader"),
        (("pipeline", "demo_reader"), "pipeline-demo-reader"),
        (("a1",), "a1"),
    ],
)
def test_usual_names_are_kept_readable(parts: tuple[str, ...], expected: str) -> None:
    assert object_name(*parts) == expected


def test_a_name_of_underscores_only_is_made_legal() -> None:
    assert DNS_LABEL.fullmatch(object_name("_", "__"))


@given(names)
def test_every_name_gives_a_legal_label_value(name: str) -> None:
    value = label_value(name)
    assert LABEL_VALUE.fullmatch(value)
    assert len(value) <= 63


@given(alike, alike)
def test_two_names_never_share_a_label_value(one: str, other: str) -> None:
    if one != other:
        assert label_value(one) != label_value(other)

"""``pypz demo`` runs, checks itself, and would notice."""

from collections.abc import Callable
from typing import Any

import pytest

from pypz.cli.demo.command import _faults, primes_between
from pypz.cli.demo.pipeline import PrimePipeline, is_prime


def test_the_demo_ends_well_within_thirty_seconds_and_shows_its_result(pypz: Any) -> None:
    done = pypz("demo")
    assert done.returncode == 0, done.stderr
    assert "OK  40,000 numbers sent, each arrived exactly once (worker 0:" in done.stdout
    assert "worker 2:" in done.stdout
    assert "agrees with a sieve" in done.stdout
    assert "What to try next" in done.stdout
    assert "demo.worker_1: ended" in done.stderr


def test_the_demo_s_pipeline_runs_by_its_name(pypz: Any) -> None:
    done = pypz("run", "pypz.cli.demo.pipeline:PrimePipeline", "-p", ">count=500", "-p", ">first=1", "--log")
    assert done.returncode == 0, done.stderr
    assert "95 of 500 numbers are prime" in done.stdout


def test_two_ways_to_find_primes_agree() -> None:
    assert primes_between(1, 1000) == [number for number in range(1, 1001) if is_prime(number)]


def finished() -> PrimePipeline:
    pipeline = PrimePipeline("demo")
    pipeline.source.first, pipeline.source.count = 10, 20
    pipeline.sink.tested = list(range(10, 30))
    pipeline.sink.primes = [11, 13, 17, 19, 23, 29]
    return pipeline


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda sink: sink.tested.remove(15), "1 numbers never arrived, such as 15"),
        (lambda sink: sink.tested.append(15), "1 numbers arrived more than once, such as 15"),
        (lambda sink: sink.tested.append(99), "1 numbers arrived that nobody sent, such as 99"),
        (lambda sink: sink.primes.append(15), "7 primes with sum 127, expected 6 with 112"),
    ],
)
def test_a_wrong_result_is_noticed(spoil: Callable[[Any], None], words: str) -> None:
    pipeline = finished()
    assert _faults(pipeline) == []
    spoil(pipeline.sink)
    assert _faults(pipeline) == [words]

"""``pypz demo``: run a real pipeline, check what came out, and say what to try next."""

from __future__ import annotations

import threading
import time
from collections import Counter
from math import isqrt
from typing import Annotated, Final

import typer

from pypz.cli.demo.pipeline import PrimePipeline
from pypz.cli.errors import fail, told_plainly
from pypz.cli.live import shown
from pypz.cli.screen import stdout
from pypz.core.hooks.host import PluginHost
from pypz.executors.pipeline.executor import PipelineExecutor

LONGEST_S: Final = 25.0
"""Seconds after which the demo gives up: it promises to end within 30."""

NEXT: Final = """\
What to try next
  see its code          pypz/cli/demo/pipeline.py, in this installation; about a hundred lines
  run it by name        pypz run pypz.cli.demo.pipeline:PrimePipeline
  with other numbers    pypz run pypz.cli.demo.pipeline:PrimePipeline -p '>count=50000' -p '>first=1'
  over a Kafka broker   pypz run pypz.cli.demo.pipeline:PrimePipeline -p '>>channelLocation=kafka://localhost:9092'
  what is installed     pypz plugins"""


def demo(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Run a small real pipeline, without any server, and check its result.

    One operator sends 40,000 numbers, three share the work of finding the primes among them, one collects. Ends within
    30 seconds; the exit code is 0 when every number arrived exactly once and the primes are right.
    """
    with told_plainly(debug):
        console = stdout()
        console.print("source --> 3 workers --> sink: which of 40,000 numbers from a billion on are prime?\n")
        pipeline = PrimePipeline("demo")
        host = PluginHost.default()
        executor = PipelineExecutor(pipeline, host=host)
        watch = threading.Timer(LONGEST_S, executor.interrupt)
        watch.daemon = True
        watch.start()
        begun = time.monotonic()
        try:
            with shown(host, pipeline):
                codes = executor.start()
        finally:
            watch.cancel()
        took_s = time.monotonic() - begun
        if any(codes.values()):
            fail(f"the demo was interrupted after {took_s:.0f} s", code=next(code for code in codes.values() if code))
        wrong = _faults(pipeline)
        for fault in wrong:
            console.print(f"WRONG  {fault}")
        if wrong:
            raise typer.Exit(1)
        _show(pipeline, took_s)


def primes_between(first: int, count: int) -> list[int]:
    """Find primes by a sieve: another way than the pipeline's, to hold its result against.

    >>> primes_between(90, 20)
    [97, 101, 103, 107, 109]
    """
    end = first + count
    is_open = bytearray([1]) * count
    for divisor in range(2, isqrt(end) + 1):
        begin = max(divisor * divisor, -(-first // divisor) * divisor) - first
        if begin < count:
            is_open[begin::divisor] = bytes(len(range(begin, count, divisor)))
    return [first + place for place in range(count) if is_open[place] and first + place > 1]


def _faults(pipeline: PrimePipeline) -> list[str]:
    """What is wrong with the result, in words; nothing when all is right."""
    source, sink = pipeline.source, pipeline.sink
    sent = range(source.first, source.first + source.count)
    times = Counter(sink.tested)
    faults = []
    if missing := [value for value in sent if value not in times]:
        faults.append(f"{len(missing)} numbers never arrived, such as {missing[0]}")
    if doubled := [value for value, count in times.items() if count > 1]:
        faults.append(f"{len(doubled)} numbers arrived more than once, such as {doubled[0]}")
    if foreign := [value for value in times if value not in sent]:
        faults.append(f"{len(foreign)} numbers arrived that nobody sent, such as {foreign[0]}")
    right = primes_between(source.first, source.count)
    if sorted(sink.primes) != right:
        faults.append(f"{len(sink.primes)} primes with sum {sum(sink.primes)}, expected {len(right)} with {sum(right)}")
    return faults


def _show(pipeline: PrimePipeline, took_s: float) -> None:
    sink = pipeline.sink
    shares = ", ".join(f"worker {member}: {count:,}" for member, count in sorted(sink.by_worker.items()))
    console = stdout()
    console.print(f"OK  {len(sink.tested):,} numbers sent, each arrived exactly once ({shares})")
    console.print(f"OK  {len(sink.primes):,} primes, their sum {sum(sink.primes):,} agrees with a sieve")
    console.print(f"    in {took_s:.1f} s, {len(sink.tested) / took_s:,.0f} numbers a second\n")
    console.print(NEXT)

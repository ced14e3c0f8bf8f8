"""Broken plugins, each installed as a distribution is: the host works on, and `pypz plugins` names the plugin and why."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

HEAD: Final = "from pypz.core.hooks.spec import hookimpl\n"

GOOD: Final = HEAD + textwrap.dedent("""
    @hookimpl
    def pypz_operator_finished(operator, exit_code):
        import sys
        sys.stderr.write(f"good: {operator.name} ended with {exit_code}\\n")
""")

RUN: Final = textwrap.dedent("""
    from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
    from pypz.core.hooks.host import PluginHost
    from pypz.core.specs.misc import BlankOperator
    from pypz.core.specs.pipeline import Pipeline
    from pypz.executors.pipeline.executor import PipelineExecutor

    class Source(BlankOperator):
        def __init__(self, name=None, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.output = ChannelOutputPort()
        def _on_running(self):
            self.output.send([{"number": number} for number in range(1000)])
            return True

    class Sink(BlankOperator):
        def __init__(self, name=None, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.input, self.count = ChannelInputPort(), 0
        def _on_running(self):
            self.count += len(self.input.retrieve())

    class Small(Pipeline):
        def __init__(self, name, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.source, self.sink = Source(), Sink()
            self.sink.input.connect(self.source.output)

    pipeline = Small("small")
    pipeline.set_parameter(">>channelLocation", "memory:small")
    codes = PipelineExecutor(pipeline).start()
    PluginHost.default().flush(30)
    print(pipeline.sink.count, sorted(codes.values()))
""")


@dataclass(frozen=True)
class Kind:
    """One way to be broken."""

    source: str
    reason: str
    """What `pypz plugins` says of it (a pattern)."""
    loads: bool = False
    """It is loaded, with a note."""
    target: str = ""
    """What the entry point names beyond the module; a whole value when it begins with ``=``."""
    told_of: str = "broken"
    """The plugin that has the trouble."""
    others: Mapping[str, str] = field(default_factory=dict)
    """More modules of the distribution."""


TRANSPORT: Final = "@hookimpl\ndef pypz_make_transport(location, options):\n    "

KINDS: Final = {
    "missing dependency": Kind("import a_client_that_nobody_has", r"ModuleNotFoundError: .*broken_plugin\.py, line 2"),
    "import error": Kind("from pypz.core.hooks.spec import nothing", r"ImportError: cannot import name 'nothing'"),
    "raises at import": Kind("raise RuntimeError('no licence\\nfound')", r"RuntimeError: no licence found .*line 2"),
    "syntax error": Kind("def broken(:", r"SyntaxError: .*broken_plugin\.py, line 2"),
    "exits at import": Kind("import sys; sys.exit(3)", "SystemExit: 3"),
    "recursion at import": Kind("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
    "circular import": Kind(
        "from broken_half import half",
        "ImportError: .*circular import",
        others={"broken_half": "from broken_plugin import x"},
    ),
    "entry point names no module": Kind("", "ModuleNotFoundError: No module named 'absent'", target="=absent"),
    "entry point names nothing there": Kind("", "AttributeError: .*has no attribute 'absent'", target=":absent"),
    "entry point that is no reference": Kind(
        "", "names 'not a: reference!', expected 'package.module'", target="=not a: reference!"
    ),
    "entry point names a number": Kind(
        "number = 1", "it is of type int; register a module or an instance", target=":number"
    ),
    "entry point names a function": Kind("def f(): pass", "it is of type function; register a module", target=":f"),
    "entry point names a class": Kind("class A: pass", "A is a class; register a module or an instance", target=":A"),
    "other contract": Kind("PYPZ_CONTRACT = 2", "made for contract 2, this pypz speaks contract 1"),
    "hook misspelt": Kind(
        "@hookimpl\ndef pypz_operator_finisht(operator, exit_code): pass",
        r"unknown hook .*; meant pypz_operator_finished\?",
    ),
    "unknown hook": Kind(
        "@hookimpl\ndef pypz_xyz(): pass", "unknown hook pypz_xyz; contract 1 has pypz_make_transport"
    ),
    "hook not marked": Kind("def pypz_port_opened(port): pass", "carries no @hookimpl, so it would never be called"),
    "wrong signature": Kind("@hookimpl\ndef pypz_port_opened(prot): pass", r"it wants 'prot'; meant 'port'\?"),
    "coroutine": Kind("@hookimpl\nasync def pypz_port_opened(port): pass", "a plain function, not a coroutine"),
    "attribute that raises": Kind(
        "def __getattr__(name): raise RuntimeError('lazy ' + name)", "RuntimeError: lazy PYPZ_CONTRACT"
    ),
    "prints at import": Kind("print('hello')", "printed while it was loaded: hello", loads=True),
    "huge output": Kind(
        "for _ in range(2000): print('x' * 10_000)", "printed while it was loaded: x{200}$", loads=True
    ),
    "threads at import": Kind(
        "import threading\nthreading.Thread(target=threading.Event().wait, name='lurks', daemon=True).start()",
        r"started 1 thread while it was loaded \(lurks\)$",
        loads=True,
    ),
    "threads that stay": Kind(
        "import threading\nthreading.Thread(target=threading.main_thread().join, name='stays').start()",
        r"\(stays\), and keeps the process from ending",
        loads=True,
    ),
    "scheme of another": Kind(
        "from pypz.core.channels.memory.transport import MemoryTransport\nPYPZ_SCHEMES = ('kafka',)\n"
        + TRANSPORT
        + "return MemoryTransport('broken') if location.startswith('kafka:') else None",
        r"scheme kafka: is answered by plugin 'broken' of test-broken, which is asked first; PYPZ_PLUGINS_DISABLED=broken",
        loads=True,
        told_of="kafka",
    ),
    "raises in a hook": Kind(TRANSPORT + "return 1 / 0", "pypz_make_transport raised ZeroDivisionError", loads=True),
    "exits in a hook": Kind(TRANSPORT + "raise SystemExit(3)", "pypz_make_transport raised SystemExit: 3", loads=True),
    "recursion in a hook": Kind(
        TRANSPORT + "return pypz_make_transport(location, options)", "raised RecursionError", loads=True
    ),
    "returns the wrong type": Kind(
        TRANSPORT + "return location", "answered with a str, which has no create_channel", loads=True
    ),
    "client of a scheme is missing": Kind(
        "PYPZ_SCHEMES = ('broken',)\n"
        + TRANSPORT
        + "if location.startswith('broken:'): import a_client_that_nobody_has",
        "pypz_make_transport raised ModuleNotFoundError: .*a_client_that_nobody_has",
        loads=True,
    ),
    "does not answer to its own scheme": Kind(
        "PYPZ_SCHEMES = ('broken',)\n" + TRANSPORT + "return None", "though PYPZ_SCHEMES names it", loads=True
    ),
}

OBSERVERS: Final = {
    "observer that raises": ("raise ValueError('no')", "pypz_operator_finished raised ValueError: no"),
    "observer that exits": ("raise SystemExit(3)", "pypz_operator_finished raised SystemExit: 3"),
    "observer that blocks": ("import threading; threading.Event().wait()", "pypz_operator_finished was busy for 5 s"),
}


def install(site: Path, dist: str, entry: str, modules: Mapping[str, str]) -> None:
    """Lay a distribution out as pip does."""
    info = site / f"{dist.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    for name, source in modules.items():
        (site / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[pypz.v1]\n{entry}\n")
    (info / "INSTALLER").write_text("pip\n")


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "80", "NO_COLOR": "1"}
    environment.pop("PYPZ_PLUGINS_DISABLED", None)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def pypz(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(site, str(Path(sys.executable).parent / "pypz"), *arguments)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    found = tmp_path / "site"
    install(found, "test-good", "zzz_good = good_plugin", {"good_plugin": GOOD})
    return found


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {report["name"]: report for report in json.loads(done.stdout)}


def assert_the_pipeline_runs(site: Path) -> str:
    done = run(site, sys.executable, "-c", RUN)
    assert (done.returncode, done.stdout) == (0, "1000 [0, 0]\n"), done.stderr
    assert "good: small.sink ended with 0" in done.stderr
    return done.stderr


@pytest.mark.parametrize("name", KINDS)
def test_a_broken_plugin_is_named_with_its_reason_and_everything_else_works(name: str, site: Path) -> None:
    kind = KINDS[name]
    value = kind.target[1:] if kind.target.startswith("=") else f"broken_plugin{kind.target}"
    modules = {"broken_plugin": HEAD + kind.source + "\n", **kind.others}
    install(site, "test-broken", f"broken = {value}", modules)

    done = pypz(site, "plugins", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    reports = listed(done)
    texts = [(name, text) for name, report in reports.items() for text in (report["reason"], *report["notes"]) if text]
    assert [named for named, _ in texts] == [kind.told_of], texts
    assert re.search(kind.reason, texts[0][1]), texts
    assert "\n" not in texts[0][1]
    assert (reports["broken"]["dist"], reports["broken"]["version"]) == ("test-broken", "1.2")
    assert reports["broken"]["state"] == ("loaded" if kind.loads else "failed")
    assert {name: report["state"] for name, report in reports.items() if name != "broken"} == dict.fromkeys(
        reports.keys() - {"broken"}, "loaded"
    )
    assert pypz(site, "plugins", "--strict").returncode == 1
    assert_the_pipeline_runs(site)


@pytest.mark.parametrize("name", OBSERVERS)
def test_a_broken_observer_is_named_and_cut_off_and_the_others_are_told(name: str, site: Path) -> None:
    body, reason = OBSERVERS[name]
    source = f"{HEAD}@hookimpl\ndef pypz_operator_finished(operator, exit_code):\n    {body}\n"
    install(site, "test-broken", "broken = broken_plugin", {"broken_plugin": source})
    said = assert_the_pipeline_runs(site)
    assert said.count(f"observer 'broken' is told nothing more: {reason}") == 1


def test_with_all_of_them_installed_at_once_each_is_named_and_a_pipeline_runs(site: Path) -> None:
    for number, (name, kind) in enumerate(KINDS.items()):
        if kind.others or name == "scheme of another":
            continue
        module = f"broken_{number}"
        value = kind.target[1:] if kind.target.startswith("=") else f"{module}{kind.target}"
        install(site, f"test-broken-{number}", f"broken_{number:02} = {value}", {module: HEAD + kind.source + "\n"})
    done = pypz(site, "plugins")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    shown = "".join(done.stdout.split())
    for report in listed(pypz(site, "plugins", "--json")).values():
        assert all("".join(text.split()) in shown for text in (report["reason"], *report["notes"]))
    assert done.stdout.count(" failed ") == sum(not kind.loads and not kind.others for kind in KINDS.values())
    assert_the_pipeline_runs(site)

"""Broken plugins beside good ones."""

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pypz.core.commons.errors import ConfigurationError, PluginError
from pypz.core.hooks import loader
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.loader import PluginReport

GOOD = """
    @hookimpl
    def pypz_operator_finished(operator, exit_code):
        pass
"""

BROKEN = {
    "imports_nothing_there": (
        "import a_client_that_nobody_has",
        r"ModuleNotFoundError: .*a_client_that_nobody_has.*test_imports_nothing_there_module.py, line 2",
    ),
    "raises": ("raise RuntimeError('no licence\\nfound')", r"RuntimeError: no licence found .*, line 2"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "does_not_parse": ("def broken(:", r"SyntaxError: .*test_does_not_parse_module.py, line 2"),
    "other_contract": ("PYPZ_CONTRACT = 2", "contract 2, this pypz speaks contract 1"),
    "unknown_hook": (
        "@hookimpl\ndef pypz_operator_finisht(operator, exit_code): pass",
        "unknown hook pypz_operator_finisht; meant pypz_operator_finished?",
    ),
    "unmarked_unknown_hook": (
        "def pypz_make_transprot(location, options): pass",
        "unknown hook pypz_make_transprot; meant pypz_make_transport?",
    ),
    "prefix_forgotten": ("@hookimpl\ndef make_transport(location, options): pass", "meant pypz_make_transport?"),
    "nothing_like_it": (
        "@hookimpl\ndef pypz_qqqq(): pass",
        "unknown hook pypz_qqqq; contract 1 has pypz_make_transport",
    ),
    "not_marked": ("def pypz_channel_status(status): pass", "pypz_channel_status carries no @hookimpl"),
    "other_argument": (
        "@hookimpl\ndef pypz_make_transport(location, option): pass",
        r"called with \(location, options\), it wants 'option'; meant 'options'\?",
    ),
    "default_argument": ("@hookimpl\ndef pypz_channel_status(status=None): pass", "plain and without default"),
    "star_arguments": ("@hookimpl\ndef pypz_channel_status(**given): pass", r"cannot take \*\*given"),
    "coroutine": ("@hookimpl\nasync def pypz_channel_status(status): pass", "plain function, not a coroutine"),
    "wrapper": ("@hookimpl(wrapper=True)\ndef pypz_channel_status(status): yield", "a hook cannot be wrapped"),
    "twice": (
        "@hookimpl\ndef pypz_port_opened(port): pass\n@hookimpl(specname='pypz_port_opened')\ndef again(port): pass",
        "pypz_port_opened more than once",
    ),
}


def report_of(host: PluginHost, name: str) -> PluginReport:
    return next(report for report in host.reports if report.name == name)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_reported_with_its_reason_and_the_others_run(install: Any, name: str) -> None:
    source, reason = BROKEN[name]
    install("good", GOOD)
    install(name, source)
    install("zzz_good_too", GOOD)

    host = PluginHost()

    report = report_of(host, name)
    assert report.state == "failed"
    assert "\n" not in report.reason
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(report.reason)
    assert (report.dist, report.version) == (f"test-{name}", "1.2")
    for good in ("good", "zzz_good_too"):
        assert report_of(host, good).state == "loaded"
        assert report_of(host, good).hooks == ("pypz_operator_finished",)


def test_a_class_is_refused_and_an_instance_is_taken(install: Any) -> None:
    source = """
        class Plugin:
            @hookimpl
            def pypz_operator_finished(self, operator, exit_code):
                pass
        plugin = Plugin()
    """
    install("a_class", source, target=":Plugin")
    install("an_instance", source, target=":plugin")
    host = PluginHost()
    assert "is a class; register a module or an instance" in report_of(host, "a_class").reason
    assert report_of(host, "an_instance").state == "loaded"


def test_strict_makes_a_failure_an_error(install: Any) -> None:
    install("a_raises", "raise RuntimeError('no licence')")
    with pytest.raises(PluginError, match=r"'a_raises' of test-a_raises 1.2: RuntimeError: no licence"):
        PluginHost(strict=True)


def test_the_variable_leaves_plugins_out(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install("raises", "raise RuntimeError('no licence')")
    install("good", GOOD)
    monkeypatch.setenv("PYPZ_PLUGINS_DISABLED", "raises , other")
    host = PluginHost()
    assert report_of(host, "raises").state == "disabled"
    assert "PYPZ_PLUGINS_DISABLED" in report_of(host, "raises").reason
    assert report_of(host, "good").state == "loaded"


def test_of_two_plugins_with_one_name_the_second_is_refused(install: Any) -> None:
    install("good", GOOD, dist="test-one")
    install("good", GOOD, dist="test-two")
    reports = [report for report in PluginHost().reports if report.name == "good"]
    assert [report.state for report in reports] == ["loaded", "failed"]
    assert "'good' is taken by test-one 1.2" in reports[1].reason


def test_what_a_plugin_prints_is_kept_out_of_the_output(install: Any, capsys: pytest.CaptureFixture[str]) -> None:
    install("chatty", "import sys\nprint('hello from')\nprint('a plugin', file=sys.stderr)")
    host = PluginHost()
    assert report_of(host, "chatty").state == "loaded"
    assert report_of(host, "chatty").notes == ("printed while it was loaded: hello from a plugin",)
    assert capsys.readouterr() == ("", "")


def test_a_stream_that_a_plugin_kept_works_later(install: Any, capsys: pytest.CaptureFixture[str]) -> None:
    install("keeper", "import sys\nkept = sys.stdout")
    PluginHost()
    print("later", file=sys.modules["test_keeper_module"].kept)
    assert capsys.readouterr().out == "later\n"


def test_a_slow_load_is_named_with_the_variable_while_it_lasts(
    install: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = threading.Event()

    def say(text: str) -> None:
        print(text, file=sys.stderr)
        said.set()

    monkeypatch.setattr(loader, "SLOW_LOAD_S", 0.05)
    monkeypatch.setattr(loader, "say", say)
    install("slow", "import builtins\nbuiltins.pypz_test_said.wait(30)")
    monkeypatch.setattr("builtins.pypz_test_said", said, raising=False)
    host = PluginHost()
    assert "plugin 'slow' of test-slow 1.2 has been loading for 0.05 s; PYPZ_PLUGINS_DISABLED=slow" in (
        capsys.readouterr().err
    )
    assert "took more than" in report_of(host, "slow").notes[0]


def test_ctrl_c_during_a_load_reaches_the_user(install: Any) -> None:
    install("interrupted", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        PluginHost()


def test_the_default_host_tells_of_failures_once(tmp_path: Path, install: Any) -> None:
    install("raises", "raise RuntimeError('no licence')")
    code = "from pypz.core.hooks.host import PluginHost as H; assert H.default() is H.default()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("plugin 'raises' of test-raises 1.2 was not loaded: RuntimeError: no licence") == 1


def test_a_distribution_of_an_earlier_version_is_named_with_the_way_out(tmp_path: Path, install: Any) -> None:
    info = tmp_path / "site" / "pypz_kafka_io-0.10.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pypz-kafka-io\nVersion: 0.10.2\n")
    done = subprocess.run(
        [sys.executable, "-c", "from pypz.core.hooks.host import PluginHost as H; H.default()"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "pypz-kafka-io 0.10.2 installed beside this version" in done.stderr
    assert "`pip uninstall pypz-kafka-io`, then install pypz anew" in done.stderr


def test_a_plugin_that_asks_for_the_host_while_it_loads_is_told_so(tmp_path: Path, install: Any) -> None:
    install("asks", "from pypz.core.hooks.host import PluginHost\nPluginHost.default()")
    code = "from pypz.core.hooks.host import PluginHost as H; print([r.reason for r in H.default().reports])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "asked for the plugin host while it was being loaded" in done.stdout


def test_a_plugin_that_failed_is_named_where_its_transport_is_missed(install: Any) -> None:
    install("carrier", "raise RuntimeError('no licence')", dist="test-carrier")
    with pytest.raises(ConfigurationError, match=r"not loaded: .*carrier.*`pypz plugins` tells why"):
        PluginHost().make_transport("carrier:x", {})


def test_our_own_hook_modules_load_in_no_time() -> None:
    """Design: under 10 ms, no client library. Counted, not timed."""
    code = (
        "import importlib, sys\n"
        "from importlib_metadata import entry_points\n"
        "import pypz.core.hooks.host\n"
        "before = set(sys.modules)\n"
        "for e in entry_points(group='pypz.v1'):\n"
        "    if e.dist.name == 'pypz' or e.dist.name.startswith('pypz-'): e.load()\n"
        "print([m for m in ('confluent_kafka', 'fastavro', 'kubernetes', 'textual', 'typer', 'rich') if m in sys.modules])\n"
        "print(sorted(m for m in set(sys.modules) - before if m.startswith('pypz.') and m.count('.') > 2))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    clients, modules = done.stdout.splitlines()
    assert clients == "[]", done.stderr
    assert [m for m in ast.literal_eval(modules) if not m.startswith("pypz.core.") and not m.endswith(".plugin")] == []

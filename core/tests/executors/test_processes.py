"""A process for each member: exit codes, restarts, output, signals, and that nothing is left behind."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pypz.core.commons.errors import ConfigurationError, PipelineFailedError
from pypz.core.hooks.events import ErrorInfo, LogRecord, OperatorRef
from pypz.core.hooks.spec import hookimpl
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.states import State
from pypz.executors.pipeline.executor import PipelineExecutor
from pypz.executors.pipeline.launching import python_path
from pypz.executors.pipeline.lines import Lines

DEADLINE_S = 60.0

MODULE = """
    import os
    import sys
    import threading
    from pathlib import Path

    from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
    from pypz.core.commons.parameters import OptionalParameter, RequiredParameter
    from pypz.core.specs.misc import BlankOperator
    from pypz.core.specs.pipeline import Pipeline

    FOLDER = Path(__file__).parent


    class Worker(BlankOperator):
        password = OptionalParameter(str, secret=True)

        def _on_init(self):
            name = self.get_full_name()
            with (FOLDER / "starts").open("a") as starts:
                starts.write(f"{name} {os.getpid()} {os.environ['PYPZ_RUN']}\\n")
            return True

        def _on_running(self):
            does = self.get_parameter("does") if self.has_parameter("does") else "ends"
            return getattr(self, does)()

        def ends(self):
            return True

        def fails(self):
            raise ValueError("broken on purpose")

        def fails_twice(self):
            mine = [line for line in (FOLDER / "starts").read_text().splitlines() if line.startswith(self.get_full_name())]
            if len(mine) < 3:
                raise ValueError("broken on purpose")
            return True

        def exits(self):
            os._exit(7)

        def logs(self):
            self.get_logger().info("well ünïcode")
            return True

        def dies(self):
            os.kill(os.getpid(), 9)

        def waits(self):
            if not hasattr(self, "told"):
                self.told = True
                print(self.get_full_name(), "waits", os.getpid(), flush=True)
            return False

        def hangs(self):
            print(self.get_full_name(), "waits", os.getpid(), flush=True)
            threading.Event().wait()

        def prints(self):
            for number in range(300):
                sys.stdout.write(f"<{self.get_full_name()} ")
                sys.stdout.write("x" * 200)
                sys.stdout.write(f" {number}>\\n")
            sys.stdout.write("<no newline>")
            print("to stderr", file=sys.stderr)
            return True

        def shows(self):
            print("password", self.password)
            print("arguments", Path("/proc/self/cmdline").read_text().replace("\\0", " "))
            return True


    class Two(Pipeline):
        def __init__(self, name, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.first = Worker()
            self.second = Worker()


    class Channels(Pipeline):
        def __init__(self, name, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.first = Sender()


    class Sender(BlankOperator):
        def __init__(self, name=None, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.numbers = ChannelOutputPort()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder with a module that only ``sys.path`` leads to; descriptions are written beside it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "processes_project.py").write_text(textwrap.dedent(MODULE))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("processes_project", None)
    yield folder
    assert list(temporary.iterdir()) == []


@pytest.fixture
def make(project: Path) -> Callable[..., Any]:
    """Build the pipeline; what its operators do is given by their names."""

    def made(**does: str) -> Any:
        import processes_project  # type: ignore[import-not-found]

        pipeline = processes_project.Two("pipeline")
        for name, what in does.items():
            getattr(pipeline, name).set_parameter("does", what)
        return pipeline

    return made


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pypz.executors.pipeline.restarts.FIRST_PAUSE_S", 0.001)


def starts_in(project: Path) -> list[list[str]]:
    return [line.split() for line in (project / "starts").read_text().splitlines()]


def started(pipeline: Any, host: Any, **settings: Any) -> dict[str, int]:
    return PipelineExecutor(pipeline, isolation="process", host=host, **settings).start()


def test_every_member_has_a_process_of_its_own_in_one_run(
    make: Callable[..., Any], project: Path, host: Any, observer: Any
) -> None:
    pipeline = make()
    pipeline.first.set_parameter("replicationFactor", 1)
    assert started(pipeline, host) == {"pipeline.first": 0, "pipeline.second": 0, "pipeline.first_0": 0}
    starts = starts_in(project)
    assert sorted(name for name, _, _ in starts) == ["pipeline.first", "pipeline.first_0", "pipeline.second"]
    assert len({process for _, process, _ in starts} | {str(os.getpid())}) == 4
    assert len({run for _, _, run in starts}) == 1
    assert host.flush(DEADLINE_S)
    assert observer.ends == {"pipeline.first": 0, "pipeline.second": 0, "pipeline.first_0": 0}
    assert observer.runs == ["pipeline", "finished"]


def test_skip_starts_no_process(make: Callable[..., Any], project: Path, host: Any) -> None:
    executor = PipelineExecutor(make(), isolation="process", host=host)
    assert executor.start(ExecutionMode.Skip) == {"pipeline.first": 0, "pipeline.second": 0}
    assert not (project / "starts").exists()


def test_a_failed_member_stops_the_others_and_is_named_with_its_cause(
    make: Callable[..., Any], host: Any, observer: Any, capsys: Any
) -> None:
    with pytest.raises(PipelineFailedError) as caught:
        started(make(first="fails", second="waits"), host)
    error = caught.value
    assert (error.operator, error.exit_code) == ("pipeline.first", 115)
    assert error.exit_codes == {"pipeline.first": 115, "pipeline.second": 130}
    assert "pipeline.first ended with exit code 115 (StateOperationError): ValueError: broken on purpose" in str(error)
    assert "stopped, too: pipeline.second" in str(error)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ERROR: pipeline.first")]
    assert len(told) == 1
    assert host.flush(DEADLINE_S)
    assert [(name, during, error.type, error.message) for name, during, error in observer.failures] == [
        ("pipeline.first", "StateOperationRunning", "ValueError", "broken on purpose")
    ]


def test_with_continue_the_others_go_on(make: Callable[..., Any], host: Any) -> None:
    with pytest.raises(PipelineFailedError) as caught:
        started(make(first="fails"), host, on_failure="continue")
    assert caught.value.exit_codes == {"pipeline.first": 115, "pipeline.second": 0}


def test_a_failed_member_is_started_again_in_the_same_run(
    make: Callable[..., Any], project: Path, host: Any, capsys: Any
) -> None:
    assert started(make(first="fails_twice"), host, max_restarts=2) == {"pipeline.first": 0, "pipeline.second": 0}
    starts = starts_in(project)
    assert sorted(name for name, _, _ in starts) == ["pipeline.first"] * 3 + ["pipeline.second"]
    assert len({run for _, _, run in starts}) == 1
    assert "pipeline.first: is started again in 0.002 s (restart 2 of 2)" in capsys.readouterr().err


@pytest.mark.parametrize(("does", "code", "words"), [("exits", 7, "7: its process"), ("dies", 137, "by 137 (SIGKILL)")])
def test_a_process_that_dies_is_a_failure_that_restarts_may_mend(
    make: Callable[..., Any], project: Path, host: Any, capsys: Any, does: str, code: int, words: str
) -> None:
    with pytest.raises(PipelineFailedError, match=re.escape(words)) as caught:
        started(make(first=does), host, max_restarts=1, on_failure="continue")
    assert caught.value.exit_codes == {"pipeline.first": code, "pipeline.second": 0}
    assert len([name for name, _, _ in starts_in(project) if name == "pipeline.first"]) == 2
    assert capsys.readouterr().err.count(f"ERROR: pipeline.first: ended with exit code {code}") == 2


def test_settings_that_make_no_sense_are_not_tried_again(
    make: Callable[..., Any], project: Path, host: Any, capsys: Any
) -> None:
    pipeline = make()
    (project / "processes_project.py").write_text("class Two: pass")  # not what this process has imported
    with pytest.raises(PipelineFailedError, match="describes no pipeline") as caught:
        started(pipeline, host, max_restarts=5, on_failure="continue")
    assert caught.value.exit_code == 1
    err = capsys.readouterr().err
    assert err.count("describes no pipeline") == 2  # once a process
    assert "started again" not in err


def test_a_variable_that_no_process_would_have_is_refused_before_any_is_started(
    make: Callable[..., Any], project: Path, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make()
    pipeline.second.set_parameter("password", "$(env:PYPZ_SECRET_NOWHERE)")
    with pytest.raises(
        ConfigurationError, match=r"pipeline\.second: parameter 'password': .*PYPZ_SECRET_NOWHERE is not set"
    ):
        started(pipeline, host)
    assert not (project / "starts").exists()
    monkeypatch.setenv("PYPZ_SECRET_NOWHERE", "hunter2")
    assert set(started(pipeline, host).values()) == {0}


@pytest.mark.parametrize("location", ["$(env:PYPZ_NOWHERE)", "$(env:PYPZ_NOWHERE:-)"])
def test_a_location_that_processes_would_find_empty_is_refused_before_any_is_started(
    make: Callable[..., Any], host: Any, location: str, capsys: Any
) -> None:
    make()
    import processes_project

    pipeline = processes_project.Channels("pipeline")
    pipeline.set_parameter(">>channelLocation", location)
    with pytest.raises(ConfigurationError, match="channel location '': is empty text, expected such as"):
        started(pipeline, host)
    assert capsys.readouterr().err == ""


class Slow:
    """An observer that has not begun with the last news when all has ended."""

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, old: str, new: str) -> None:
        threading.Event().wait(0.05)


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_observers_were_told_all_when_start_returns(
    make: Callable[..., Any], host: Any, observer: Any, isolation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYPZ_RUN", "not known to threads")  # its operators note it
    host.register(Slow(), "slow")
    assert set(PipelineExecutor(make(), isolation=isolation, host=host).start().values()) == {0}
    assert observer.ends == {"pipeline.first": 0, "pipeline.second": 0}
    assert observer.runs == ["pipeline", "finished"]


def test_lines_of_all_processes_come_out_whole(make: Callable[..., Any], host: Any, capsys: Any) -> None:
    pipeline = make(first="prints", second="prints")
    assert set(started(pipeline, host).values()) == {0}
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    for name in ("first", "second"):
        wanted = [f"<pipeline.{name} {'x' * 200} {number}>" for number in range(300)]
        assert [line for line in lines if line.startswith(f"<pipeline.{name} ")] == wanted
    assert lines.count("<no newline>") == 2
    assert len(lines) == 602
    assert captured.err == "to stderr\nto stderr\n"


def test_secrets_are_handed_on_and_stand_in_no_argument(make: Callable[..., Any], host: Any, capsys: Any) -> None:
    pipeline = make(first="shows")
    pipeline.first.set_parameter("password", "hunter2")
    seen: list[str] = []
    started_before = subprocess.Popen.__init__

    def noting(self: Any, command: Any, **settings: Any) -> None:
        seen.append(Path(command[3]).read_text() + str(command))
        assert Path(command[3]).stat().st_mode & 0o077 == 0
        started_before(self, command, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", noting)
        assert set(started(pipeline, host).values()) == {0}
    out = capsys.readouterr().out
    assert "password hunter2\n" in out
    assert "-m pypz.runnables.operator" in out
    assert re.search(r"arguments .* first Standard --index 0", out)
    assert len(seen) == 2
    assert not any("hunter2" in text for text in seen)


def test_channels_that_live_in_one_process_are_refused_with_the_ways_out(project: Path) -> None:
    import processes_project

    pipeline = processes_project.Channels("pipeline")
    pipeline.set_parameter(">>channelLocation", "memory:numbers")
    with pytest.raises(ConfigurationError) as caught:
        PipelineExecutor(pipeline, isolation="process").start()
    for words in ("'memory:numbers'", "local:DIR", "kafka://", "isolation='thread'"):
        assert words in str(caught.value)


def test_classes_that_no_other_process_can_import_are_refused(host: Any) -> None:
    class Local(BlankOperator):
        pass

    class Here(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.op = Local()

    with pytest.raises(ConfigurationError, match=r"here\.op .*<locals>.*Move them into a module"):
        PipelineExecutor(Here("here"), isolation="process", host=host).start()


def test_the_path_handed_on_leaves_out_what_every_interpreter_has(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    path = python_path().split(os.pathsep)
    assert path[0] == str(tmp_path)
    assert os.path.dirname(os.__file__) not in path


def test_a_line_of_a_closed_stream_is_dropped_and_the_writer_goes_on() -> None:
    closed = io.StringIO()
    closed.close()
    reading, writing = os.pipe()
    thread = Lines(lambda: closed).follow(os.fdopen(reading, "rb"), "test")
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(b"line\n" * 100_000)  # more than a pipe holds
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


# --- signals ----------------------------------------------------------------------------------------------------------

SCRIPT = """
    import sys
    import processes_project
    from pypz.executors.pipeline.executor import PipelineExecutor

    pipeline = processes_project.Two("pipeline")
    pipeline.set_parameter(">drainTimeoutMs", 100)
    for operator in (pipeline.first, pipeline.second):
        operator.set_parameter("does", sys.argv[1])
    print("codes", PipelineExecutor(pipeline, isolation="process").start(), flush=True)
"""


class Script:
    """A script that executes a pipeline in processes, and the ids of these."""

    def __init__(self, project: Path, does: str) -> None:
        (project / "script.py").write_text(textwrap.dedent(SCRIPT))
        self.process = subprocess.Popen(
            [sys.executable, str(project / "script.py"), does],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tempfile.tempdir)},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.members = [int(self.process.stdout.readline().split()[2]) for _ in range(2)]

    def end(self) -> tuple[str, str]:
        return self.process.communicate(timeout=DEADLINE_S)

    def wait_for_members(self) -> None:
        """Wait for processes that are no children of ours: a deadline for a condition."""
        patience = threading.Event()
        for _ in range(int(DEADLINE_S / 0.02)):
            if not any(is_alive(process) for process in self.members):
                return
            patience.wait(0.02)
        pytest.fail(f"still there: {[process for process in self.members if is_alive(process)]}")


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def script(project: Path) -> Iterator[Callable[[str], Script]]:
    made: list[Script] = []

    def start(does: str) -> Script:
        made.append(Script(project, does))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()
        for process in one.members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def test_ctrl_c_at_a_terminal_drains_every_process_once(script: Callable[[str], Script]) -> None:
    running = script("waits")
    os.killpg(running.process.pid, signal.SIGINT)  # what a terminal does
    out, err = running.end()
    assert out == "codes {'pipeline.first': 130, 'pipeline.second': 130}\n"
    assert sorted(err.splitlines()) == [
        f"ERROR: pipeline.{name}: ended with exit code 130 (SigTerm): interrupted" for name in ("first", "second")
    ]
    assert running.process.returncode == 0


def test_a_second_ctrl_c_ends_all_at_once(script: Callable[[str], Script]) -> None:
    running = script("hangs")
    running.process.send_signal(signal.SIGINT)
    assert running.process.stderr is not None
    assert "second Ctrl-C ends the process at once" in running.process.stderr.readline()
    running.process.send_signal(signal.SIGINT)
    running.process.wait(DEADLINE_S)
    assert running.process.returncode == 130
    running.wait_for_members()


@pytest.mark.parametrize("does", ["waits", "hangs"])
def test_processes_end_when_their_starter_was_killed(script: Callable[[str], Script], does: str) -> None:
    running = script(does)
    assert os.listdir(str(tempfile.tempdir)) == []  # they have read their description, and nothing is left of it
    running.process.kill()
    running.process.wait(DEADLINE_S)
    running.wait_for_members()


class Listener:
    """Notes what the members of a pipeline without location tell by their pipes."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, str]] = []

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, old: str, new: str) -> None:
        self.told.append((operator.name, operator.process, new))

    @hookimpl
    def pypz_operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        self.told.append((operator.name, operator.process, f"{error.type} {during}"))

    @hookimpl
    def pypz_operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        self.told.append((operator.name, operator.process, f"exit {exit_code}"))

    @hookimpl
    def pypz_log(self, record: LogRecord) -> None:
        self.told.append((record.operator.name, record.operator.process, f"{record.level} {record.text}"))


def test_observers_here_are_told_all_of_members_without_any_location(
    make: Callable[..., Any], project: Path, host: Any
) -> None:
    listener = Listener()
    host.register(listener)
    with pytest.raises(PipelineFailedError):
        started(make(first="logs", second="fails"), host, on_failure="continue")
    assert host.flush(DEADLINE_S)
    processes = {name: int(process) for name, process, _ in starts_in(project)}
    assert {(name, process) for name, process, _ in listener.told} == set(processes.items())
    told = {name: [what for who, _, what in listener.told if who == name] for name in processes}
    states = [state.name for state in State]
    assert [what for what in told["pipeline.first"] if what in states] == states
    assert told["pipeline.first"][-1] == "exit 0"
    assert "INFO well ünïcode" in told["pipeline.first"]
    assert "ValueError StateOperationRunning" in told["pipeline.second"]
    assert told["pipeline.second"][-1] == "exit 115"
    assert len([what for what in told["pipeline.second"] if what.startswith("exit")]) == 1

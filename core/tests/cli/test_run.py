"""``pypz run``, as a process of its own."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

HERE = (">>channelLocation=memory:shop",)


def with_parameters(*given: str) -> list[str]:
    return [argument for parameter in (*HERE, *given) for argument in ("-p", parameter)]


def test_a_pipeline_of_the_current_folder_runs_and_its_output_stays_clean(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline", "--no-log", *with_parameters(">count=30"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "got 30\n"
    assert "shop_pipeline.reader: running" in done.stderr
    assert "shop_pipeline.writer: ended, 30 records out" in done.stderr
    assert "shop_pipeline.reader: ended, 30 records in" in done.stderr
    assert "has finished" in done.stderr


def test_a_yaml_file_runs_with_another_name(pypz: Any, project: Path) -> None:
    sys_path = str(project)
    made = subprocess.run(
        [sys.executable, "-c", "import shop; print(shop.ready)"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": sys_path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    (project / "shop.yaml").write_text(made.stdout)
    done = pypz("run", "shop.yaml", "--name", "other", "--no-log", "--fresh")
    assert done.returncode == 0, done.stderr
    assert "other.reader: ended, 100 records in" in done.stderr


def test_a_failing_operator_ends_the_run_with_its_code_and_one_clear_line(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline", "--no-log", *with_parameters(">fails=true"))
    assert done.returncode == 115
    assert "Traceback" not in done.stderr
    (told,) = [line for line in done.stderr.splitlines() if "no more paper" in line]
    assert told.startswith("ERROR: shop_pipeline.writer: ended with exit code 115 (StateOperationError): ValueError: ")
    assert "(shop.py, line" in told
    assert done.stderr.splitlines()[-1] == "pypz: has failed with exit code 115; --debug shows the traceback"
    (stopped,) = [line for line in done.stderr.splitlines() if "exit code 130" in line]
    assert stopped.startswith("ERROR: shop_pipeline.reader: ended with exit code 130 (SigTerm): stopped, because ")
    assert len([line for line in done.stderr.splitlines() if "fail" in line.lower() or "error" in line.lower()]) == 3


def test_a_failing_process_is_told_of_once_too(pypz: Any) -> None:
    done = pypz("run", "shop:Lonely", "--isolation", "process", "--no-log", "--on-failure", "continue")
    assert len([line for line in done.stderr.splitlines() if "no more paper" in line]) == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith("pypz: has failed with exit code 115")


@pytest.mark.parametrize("command", [["run"], ["plan", "--brief"], ["retire", "--all"]])
def test_a_broker_that_is_missing_is_told_by_its_location(pypz: Any, command: list[str]) -> None:
    pytest.importorskip("pypz.plugins.kafka_io")
    done = pypz(*command, "shop:ShopPipeline", "-p", ">>channelLocation=kafka://localhost:1")
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line]
    assert done.returncode == 1
    assert lines[0].removeprefix("pypz: ") == (
        "error: kafka://localhost:1 (channelLocation): no broker answers; last seen: localhost:1: Connection refused; "
        "check the address, and that the broker runs"
    )
    assert "facts" not in done.stdout + done.stderr


def test_debug_shows_the_traceback(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline", "--no-log", "--debug", *with_parameters(">fails=true"))
    assert done.returncode == 115
    assert "Traceback" in done.stderr
    assert 'raise ValueError("no more paper")' in done.stderr


def test_log_lines_come_unless_they_are_turned_off(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline", *with_parameters())
    assert done.returncode == 0
    assert "(StateEntry)--[SignalServicesStart]-->(StateServiceStart)" in done.stdout


def test_missing_parameters_are_listed_at_once_with_the_way_out(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline")
    assert done.returncode == 1
    assert "shop_pipeline.reader.input: channelLocation" in done.stderr
    assert "shop_pipeline.writer.out: channelLocation" in done.stderr
    assert "-p '>>NAME=VALUE' for all plugins" in done.stderr


def test_a_misspelt_parameter_is_a_warning(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline", "--no-log", *with_parameters(">cuont=3"))
    assert done.returncode == 0
    assert "pypz: warning: -p '>cuont=3': nothing in the pipeline expects 'cuont'; meant 'count'?" in done.stderr


def test_isolation_by_processes_is_handed_on_and_refuses_what_lives_in_one(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline", "--isolation", "process", "--max-restarts", "1", *with_parameters())
    assert done.returncode == 1
    assert "does not reach into other processes" in done.stderr
    assert "isolation='thread'" in done.stderr


def test_restarts_and_the_others_going_on_are_handed_on(pypz: Any) -> None:
    arguments = ("--max-restarts", "1", "--on-failure", "continue", *with_parameters(">fails=true", ">count=0"))
    done = pypz("run", "shop:ShopPipeline", *arguments, "--mode", "resourcecreationonly")
    assert done.returncode == 0
    done = pypz("run", "shop:Lonely", "--max-restarts", "1", "--on-failure", "continue")
    assert done.returncode == 115
    assert "lonely.op: is started again in 1 s (restart 1 of 1)" in done.stderr
    assert "got 7" in done.stdout


def test_processes_show_their_progress_and_their_lines(pypz: Any) -> None:
    done = pypz("run", "shop:Lonely", "--isolation", "process", "--on-failure", "continue")
    assert done.returncode == 115
    assert "got 7" in done.stdout
    assert "lonely.other: ended" in done.stderr
    assert "ERROR: lonely.op: ended with exit code 115" in done.stderr


def test_mode_skip_does_nothing(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline", "--mode", "skip", *with_parameters())
    assert (done.returncode, done.stdout) == (0, "")


def test_strict_refuses_to_run_beside_a_broken_plugin(pypz: Any, tmp_path: Path) -> None:
    info = tmp_path / "test_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pypz.v1]\nbad = test_bad_module\n")
    (tmp_path / "test_bad_module.py").write_text("raise RuntimeError('no licence')")
    arguments = ["run", "shop:ShopPipeline", "--no-log", *with_parameters()]
    assert pypz(*arguments, PYTHONPATH=str(tmp_path)).returncode == 0
    done = pypz(*arguments, "--strict", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "bad (RuntimeError: no licence" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_drains_and_ends_with_130(project: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "pypz.cli.main", "run", "shop:ShopPipeline", "--no-log"]
    process = subprocess.Popen(
        [*command, *with_parameters(">ends=false")],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    running = set()
    for line in process.stderr:
        if line.rstrip().endswith(": running"):
            running.add(line)
        if len(running) == 2:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out.startswith("got ")
    assert "has been interrupted" in err


def on_a_terminal(command: list[str], folder: Path, **variables: str) -> tuple[int, str]:
    """Run with a terminal as standard streams; gives exit code and all that was shown."""
    process, terminal = pty.fork()
    if process == 0:  # pragma: no cover - the child becomes another program
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, "-m", "pypz.cli.main", *command], {**os.environ, **variables})
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    else:
        os.kill(process, signal.SIGKILL)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown.decode()


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_on_a_terminal_a_table_is_shown_and_no_colour_where_none_is_wanted(project: Path) -> None:
    command = ["run", "shop:ShopPipeline", "--no-log", *with_parameters()]
    variables = {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    code, shown = on_a_terminal(command, project, **variables)
    assert code == 0
    assert "records/s" in shown
    assert "shop_pipeline.reader" in shown
    assert "got 100" in shown
    assert "\x1b[32m" in shown or "\x1b[2m" in shown
    code, shown = on_a_terminal(command, project, **variables, NO_COLOR="1")
    assert code == 0
    assert "\x1b[32m" not in shown
    assert "\x1b[31m" not in shown


def test_json_tells_the_outcome(pypz: Any) -> None:
    done = pypz("run", "shop:ShopPipeline", "--json", *with_parameters(">count=3"))
    first, _, rest = done.stdout.partition("\n")
    assert first == "got 3"  # what the operator itself prints
    codes = {"shop_pipeline.writer": 0, "shop_pipeline.reader": 0}
    assert json.loads(rest) == {"pipeline": "shop_pipeline", "outcome": "finished", "exit_codes": codes, "error": None}
    failed = pypz("run", "shop:ShopPipeline", "--json", *with_parameters(">fails=true"))
    told = json.loads(failed.stdout[failed.stdout.index("{") :])
    assert (failed.returncode, told["outcome"], told["exit_codes"]["shop_pipeline.writer"]) == (115, "failed", 115)
    assert "no more paper" in told["error"]

"""Members in processes of their own: started, watched, started again, drained and, at worst, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from typing import Any, Final

from pypz.core.channels.members.session import own_host
from pypz.core.channels.spi import StatusStream
from pypz.core.hooks.events import OperatorRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.receiver import Receiver
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ENDED_WELL, KILLED, ExecutionMode, ExitCodes, name_of_exit_code
from pypz.executors.pipeline.attempt import Attempt
from pypz.executors.pipeline.launching import Launcher
from pypz.executors.pipeline.lines import Lines
from pypz.executors.pipeline.news import News
from pypz.executors.pipeline.restarts import Restarts
from pypz.executors.reports import say
from pypz.executors.telling import follow

LAST_LINES_S: Final = 2.0
"""Seconds to wait for the last lines of a process that has ended; a child of its own may hold its output open (chosen)."""

_ERROR: Final = b"ERROR: "


class ProcessMember:
    """One member and its current process.

    Args:
        member: The operator or replica.
        restarts: The restarts that it has.
    """

    def __init__(self, member: Any, restarts: Restarts) -> None:
        self.name = str(member.get_full_name())
        self.exit_code = ExitCodes.SigTerm.value  # of one that was interrupted before it was started
        self.failure: BaseException | None = None
        self.index = int(member.get_group_index() or 0)
        self._member = member
        self._restarts = restarts
        self._lock = threading.Lock()
        self._interrupted = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._end_told = ""
        self._error_told = ""

    @property
    def reason(self) -> str:
        """What its process said last of an error, or how it was ended."""
        if self._end_told:
            return self._end_told
        if self._error_told and self.exit_code == ExitCodes.GeneralError.value:
            return self._error_told
        if self.exit_code > KILLED and self.exit_code not in ENDED_WELL:
            return f"its process was ended by {name_of_exit_code(self.exit_code)}"
        return "its process ended without saying why"

    @property
    def was_restarted(self) -> bool:
        return self._restarts.count > 0

    @property
    def process_id(self) -> int:
        return self._process.pid if self._process is not None else 0

    def interrupt(self, signal_number: int | None, *, reason: str = "interrupted", keeps_failure: bool = False) -> None:
        """Send SIGTERM, once: its process drains."""
        with self._lock:
            if not self._interrupted.is_set():
                self._interrupted.set()
                if self._process is not None:
                    self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End its process, and those that it has started, at once; takes no lock."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def carry_out(self, launcher: Launcher, out: Lines, err: Lines, news: News) -> bool:
        """Start its process and wait for its end, handing on what it says; whether it was started at all."""
        with self._lock:
            if self._interrupted.is_set():
                return False
            self._end_told = self._error_told = ""
            try:
                process, told = launcher.start(self._member)
                self._process = process
            except OSError as error:
                self.exit_code, self._end_told = ExitCodes.FatalError.value, f"cannot be started: {error}"
                say(f"ERROR: {self.name}: {self.reason}")
                return True
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            out.follow(process.stdout, f"{self.name}/stdout"),
            err.follow(process.stderr, f"{self.name}/stderr", self._listen),
            follow(told, news, f"{self.name}/news"),
        ]
        returned = process.wait()
        for reader in readers:
            reader.join(LAST_LINES_S)
        self.exit_code = self._code_of(returned)
        has_told = bool(self._end_told or (self._error_told and self.exit_code == ExitCodes.GeneralError.value))
        if self.exit_code != ExitCodes.NoError.value and not has_told:
            say(f"ERROR: {self.name}: ended with exit code {name_of_exit_code(self.exit_code)}: {self.reason}")
        return True

    def pauses_for_restart(self) -> bool:
        """Wait before it is to be started again; False: it has ended for good."""
        if self._interrupted.is_set():
            return False
        pause_s = self._restarts.take(self.exit_code)
        if pause_s is None:
            return False
        say(
            f"WARNING: {self.name}: is started again in {pause_s:g} s "
            f"(restart {self._restarts.count} of {self._restarts.at_most})"
        )
        return not self._interrupted.wait(pause_s)

    def _listen(self, line: bytes) -> None:
        if line.startswith(_ERROR):
            said = line.removeprefix(_ERROR).decode("utf-8", "backslashreplace").strip()
            self._error_told = said
            if said.startswith(f"{self.name}: ended with exit code "):
                self._end_told = said.partition("): ")[2] or said

    def _code_of(self, returned: int) -> int:
        """Exit codes as they are; ended by a signal as shells have it, but for one of ours before it could be handled."""
        if returned >= 0:
            return returned
        if -returned in (signal.SIGTERM, signal.SIGINT) and self._interrupted.is_set():
            return ExitCodes.SigTerm.value
        return KILLED - returned


class ProcessAttempt(Attempt[ProcessMember]):
    """Members in processes."""

    def __init__(
        self, pipeline: Pipeline, stops_on_failure: bool, mode: ExecutionMode, host: PluginHost, want_logs: bool
    ) -> None:
        super().__init__(str(pipeline.get_full_name()), stops_on_failure)
        self._pipeline = pipeline
        self._mode = mode
        self._host = host
        self._want_logs = want_logs
        self._out, self._err = Lines(lambda: sys.stdout), Lines(lambda: sys.stderr)
        self._news = News(host)
        self._streams: list[StatusStream] = []
        self._receiver: Receiver | None = None
        self._launcher: Launcher | None = None
        self._threads: list[threading.Thread] = []

    def kill(self) -> None:
        for member in self._members:
            member.kill()

    def _launch(self) -> None:
        self._streams = self._run.open_viewers()
        self._news.relay = self._run.relay
        if self._streams:
            self._receiver = Receiver(self._streams, self._news)
            self._news.wait_for_run()
        self._launcher = Launcher(self._pipeline, self._run.id, self._mode, self._want_logs, bool(self._streams))
        for member in self._members:
            thread = threading.Thread(target=self._carry, args=(member, self._launcher), name=member.name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _carry(self, member: ProcessMember, launcher: Launcher) -> None:
        try:
            while member.carry_out(launcher, self._out, self._err, self._news):
                self._tell_end(member)
                if not member.pauses_for_restart():
                    break
        finally:
            self._happenings.put(("ended", member))

    def _tell_end(self, member: ProcessMember) -> None:
        code = member.exit_code
        if self._streams and code in {known.value for known in ExitCodes}:
            is_expected = code in _TOLD and not member.was_restarted  # one that had ended before tells nothing
            self._news.wait_for_end(member.name, member.process_id, is_expected)
        start, (host, _) = uuid.uuid4().hex[:12], own_host()
        ref = OperatorRef(self._name, self._run.id, member.name, member.index, start, host, member.process_id)
        self._news.tell_end(ref, code, member.reason)

    def _clean_up(self) -> None:
        if any(thread.is_alive() for thread in self._threads):  # the launch failed half-way, or the last words are said
            self.interrupt()
            for thread in self._threads:
                thread.join()
        if self._receiver is not None:
            self._receiver.close()
        for stream in self._streams:
            stream.close()
        if self._launcher is not None:
            self._launcher.close()


_TOLD: Final = frozenset(code.value for code in ExitCodes if code is ExitCodes.NoError or code.name.startswith("State"))
"""Codes with which a process ends only after it has told observers so."""

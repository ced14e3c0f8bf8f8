"""What the drills are made of: members as processes that are killed, and a broker of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from chaos_line import ChaosLine

from pypz.core.commons.secrets import secrets_of
from pypz.core.hooks.host import PluginHost

HERE = Path(__file__).parent
TIMEOUT_S = 90


class Process:
    """A member's process; its output can be waited for."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.lines: list[str] = []
        self._highest: dict[str, int] = {}
        self._has_ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with self._changed:
                    self._note(line.strip())
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _note(self, line: str) -> None:
        self.lines.append(line)
        verb, _, rest = line.partition(" ")
        number = rest.partition(" ")[0]
        if not number.isdecimal():
            self._changed.notify_all()
        elif int(number) > self._highest.get(verb, -1):
            self._highest[verb] = int(number)
            self._changed.notify_all()

    def wait_for(self, verb: str, at_least: int) -> None:
        """Wait until the member has said of so many records that it ``verb`` them."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended or self._highest.get(verb, -1) >= at_least, TIMEOUT_S)
            assert self._highest.get(verb, -1) >= at_least, f"no {verb!r} of {at_least} in {self.lines[-20:]}"

    def wait_for_words(self, words: str, times: int = 1) -> None:
        """Wait until the member has said this so often."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended or self._count(words) >= times, TIMEOUT_S)
            assert self._count(words) >= times, f"no {words!r} in {self.lines[-20:]}"

    def count(self, words: str) -> int:
        """How often the member has said this."""
        with self._changed:
            return self._count(words)

    def _count(self, words: str) -> int:
        return sum(words in line for line in self.lines)

    def highest(self, verb: str) -> int:
        """The highest number that the member has said to have ``verb``; -1 when there is none."""
        with self._changed:
            return self._highest.get(verb, -1)

    def let_go_on(self) -> None:
        """Write the line for which a source waits at a gate."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> int:
        code = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        if self.process.stdin is not None:
            self.process.stdin.close()
        return code

    def numbers(self, verb: str) -> list[int]:
        return [int(line.split()[1]) for line in self.lines if line.startswith(f"{verb} ")]


class Drill:
    """One run of the line with a process for each member; parameters are (operator or port, name, value)."""

    def __init__(
        self,
        folder: Path,
        location: str,
        parameters: Sequence[tuple[str, str, Any]] = (),
        settings: Mapping[str, str] | None = None,
        name: str = "",
    ) -> None:
        pipeline = ChaosLine(name or f"chaos_{uuid.uuid4().hex[:8]}")
        pipeline.set_parameter(">>channelLocation", location)
        pipeline.set_parameter(">>channelConfig", dict(settings or {}))
        for instance, name, value in parameters:
            attrgetter(instance)(pipeline).set_parameter(name, value)
        self.config = folder / "pipeline.yaml"
        self.config.write_text(str(pipeline))
        self.secrets = secrets_of(pipeline)
        self.name = pipeline.get_full_name()
        self.location = location
        self.run = uuid.uuid4().hex[:12]
        self.members: list[Process] = []

    def start(self, operator: str) -> Process:
        environment = {**self.environment(), "PYPZ_RUN": self.run, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "pypz.runnables.operator", str(self.config), operator]
        member = Process(command, environment)
        self.members.append(member)
        return member

    def environment(self) -> dict[str, str]:
        """What a process needs to find the line's code, and its secrets."""
        return {**os.environ, "PYTHONPATH": str(HERE), **self.secrets}

    def start_line(self) -> tuple[Process, Process, Process]:
        """Start sink, copier and, once these two read, the source: no burst of records waits for a late reader."""
        sink, copier = self.start("sink"), self.start("copier")
        for member in (sink, copier):
            member.wait_for("ready", 1)
        return sink, copier, self.start("source")

    def channels(self) -> set[str]:
        """Ports of the line whose channel exists."""
        ports = ("copier.input_port", "sink.input_port")
        transport = PluginHost.default().make_transport(self.location, {})
        try:
            return {port for port in ports if transport.describe_channel(f"{self.name}.{port}") is not None}
        finally:
            transport.close()

    def close(self) -> None:
        """Kill who still lives, and let go of all."""
        for member in self.members:
            member.kill()


class OwnBroker:
    """A Kafka broker that nobody else uses, to be killed; started by the test bed at ``bed``."""

    def __init__(self, bed: Path, home: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self._bed = bed / "kafka"
        self._environment = {**os.environ, "TESTBED_HOME": str(home), **(environment or {})}
        asked = [sys.executable, "-B", "-c", "import bed; print(bed.LIBS)"]
        fetched = Path(subprocess.check_output(asked, cwd=self._bed, text=True).strip())
        if fetched.is_dir():
            shutil.copytree(fetched, home / "kafka/libs")  # else the bed fetches it anew
        port = free_port()
        self.location = f"kafka://127.0.0.1:{port}"
        self.port = port
        self._run("up", "--port", str(port), *options)

    def kill(self) -> None:
        """End it as by a crash; its data stay."""
        self._run("kill-broker", "1")

    def freeze(self) -> None:
        """Have it stand still: connections stay, nothing is answered."""
        os.kill(self._pid(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._pid(), signal.SIGCONT)

    def _pid(self) -> int:
        return int((Path(self._environment["TESTBED_HOME"]) / "kafka/broker-1/pid").read_text())

    def start_again(self) -> None:
        """Start what was killed, and wait until it answers."""
        self._run("start-broker", "1")

    def close(self) -> None:
        """Stop it and remove its data."""
        self._run("down")

    def _run(self, script: str, *arguments: str) -> None:
        command = [str(self._bed / script), *arguments]
        done = subprocess.run(command, env=self._environment, timeout=TIMEOUT_S, check=False, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr.decode()


def free_port() -> int:
    """A port that nobody listens at, and nobody at the next one, where the controller listens."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port

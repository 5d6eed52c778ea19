"""A container's sentry without the verbs around it: its boot and control sockets in the hands of a test.

The sentry is a child of a small driver (this module as a program), so that it can leave its session and die of signals
while pytest only waits for a process.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pysentry.sandbox import messages
from pysentry.sandbox.process import ProcessSpec
from tests.harness import checkout, leftovers
from tests.harness.patience import PATIENCE_S

PATH = "/usr/bin:/bin"


def process(*argv: str, **fields: Any) -> ProcessSpec:
    """A program to start: root, in /, with nothing but PATH. fields: attributes of ProcessSpec."""
    made = ProcessSpec(list(argv), {"PATH": PATH}, "/")
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class Connection:
    """One connection to the control socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))

    def send(self, document: dict[str, Any], fds: list[int] | None = None) -> None:
        messages.send(self.socket, document, fds or [])

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        document, fds = messages.receive(self.socket)
        assert document is not None, "the sentry hung up"
        return document, fds

    def close(self) -> None:
        self.socket.close()


class Sentry:
    """One that was started and stands before its first program's exec (start() lets it go)."""

    def __init__(
        self, directory: Path, platform: str, first: ProcessSpec, console: socket.socket | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "control.sock"
        self.log = directory / "sentry.log"
        self.connections: list[Connection] = []
        self.boot, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.boot.settimeout(PATIENCE_S)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.path))
        listener.listen(16)
        log_fd = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        handles = [theirs.fileno(), listener.fileno(), console.fileno() if console else -1, log_fd]
        words = [messages.encode(first.to_document()), platform, *map(str, handles)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.sentry", *words],
            cwd=checkout.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=[fd for fd in handles if fd >= 0],
            start_new_session=True,
        )
        for one in (theirs, listener):
            one.close()
        os.close(log_fd)

    def stage(self) -> dict[str, Any]:
        """The next message of the boot socket."""
        document, _ = messages.receive(self.boot)
        return document or {"stage": "gone"}

    def boot_up(self) -> dict[str, Any]:
        """To "ready", or whatever ends the boot."""
        document = self.stage()
        assert document == {"stage": "namespaces"}, (document, self.log.read_text())
        messages.send(self.boot, {"go": True})
        return self.stage()

    def connect(self) -> Connection:
        connection = Connection(self.path)
        self.connections.append(connection)
        return connection

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        connection = self.connect()
        connection.send({"op": op, **fields})
        document, _ = connection.receive()
        connection.close()
        return document

    def start(self) -> None:
        told = self.boot_up()
        assert told["stage"] == "ready", (told, self.log.read_text())
        assert self.ask("start") == {"ok": True}

    def run(self, *argv: str, **fields: Any) -> tuple[Connection, dict[str, Any], list[int]]:
        """exec with /dev/null and a pipe as stdout and stderr, or with a terminal: (connection, the answer, [the pipe's
        reading end, or the master])."""
        spec = process(*argv, **fields)
        if spec.terminal:
            connection = self.connect()
            connection.send({"op": "exec", "process": spec.to_document()})
            answer, fds = connection.receive()
            return connection, answer, fds
        connection, reader = self.request(*argv, **fields)
        answer, _ = connection.receive()
        return connection, answer, [reader]

    def request(self, *argv: str, **fields: Any) -> tuple[Connection, int]:
        """run() without waiting for the answer, for a program that has no terminal."""
        connection = self.connect()
        reader, writer = os.pipe()
        null = os.open("/dev/null", os.O_RDONLY)
        connection.send({"op": "exec", "process": process(*argv, **fields).to_document()}, [null, writer, writer])
        os.close(null)
        os.close(writer)
        return connection, reader

    def output(self, *argv: str, **fields: Any) -> tuple[str, int]:
        """Runs one program to its end: (what it printed, its wait status)."""
        connection, answer, (reader,) = self.run(*argv, **fields)
        assert answer.get("ok"), answer
        with open(reader, "rb") as stream:
            text = stream.read().decode()
        ended, _ = connection.receive()
        connection.close()
        return text, int(ended["exited"])

    def seed(self) -> int:
        """The host pid of the process that programs are born of. Ask while there is one program only."""
        (first,) = self.ask("pids")["pids"]
        return int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])

    def wait(self) -> int:
        """The sentry's own end, as subprocess tells it."""
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Ends it, and checks that it counted no bug of its own."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.boot.close()
        for connection in self.connections:
            connection.close()
        text = self.log.read_text()
        shutil.rmtree(self.path.parent)
        assert "internal error" not in text, text


def wait_until_gone(pids: list[int], timeout_s: float = PATIENCE_S) -> None:
    """Each is dead, or will be within the time. What the sentry's death left to us is waited for, as a subreaper does:
    pid 1 of a namespace ends when nobody of it is a zombie any more."""
    deadline = time.monotonic() + timeout_s
    while sum(_is_alive(pid) for pid in pids):  # not any(): each is to be looked at
        assert time.monotonic() < deadline, f"still there: {[leftovers.describe(pid) for pid in pids]}"
        time.sleep(0.005)


def _is_alive(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # it is not ours
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _main() -> None:
    from pysentry.sandbox.config import MountRow, RunConfig
    from pysentry.sandbox.container import Container
    from pysentry.sandbox.launcher import launch_container

    document, platform, *words = sys.argv[1:]
    boot_fd, control_fd, console_fd, log_fd = map(int, words)
    config = RunConfig([])
    config.platform = platform
    config.pids = 0
    config.container = Container("test", boot_fd, control_fd)
    config.container.console_fd = console_fd
    config.container.log_fd = log_fd
    value = messages.decode(document)
    assert isinstance(value, dict)
    config.process = ProcessSpec.from_document(value)
    config.mounts = [
        MountRow("proc", "/proc"),
        MountRow("dev", "/dev"),
        MountRow("devpts", "/dev/pts", options={"mode": "0620", "ptmxmode": "0666"}),
    ]
    launch_container(config)


if __name__ == "__main__":
    _main()

"""The control socket of a container: how verbs outside steer the sandbox while it runs.

Owns the protocol's server side and the programs that `exec` adds. One JSON object a message on a SOCK_SEQPACKET socket;
what a request may be and what is answered stands at each method. Who can connect is decided by the directory that
the socket lies in; requests come from the runtime's own user, so they are checked for sense, not for right.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import time
from struct import Struct

from pysentry.abi.errno import LinuxError
from pysentry.kernel.birth import Birth, bear
from pysentry.kernel.report import internal_error
from pysentry.kernel.task import all_groups
from pysentry.kernel.wait import unwatch, watch_quietly
from pysentry.platform.native import lib
from pysentry.sandbox import command, messages, stdio
from pysentry.sandbox.errors import CommandError
from pysentry.sandbox.messages import MessageError
from pysentry.sandbox.process import ProcessSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from pysentry.sandbox.container import Container

    Message = dict[str, Any]
    MakeBirth = Callable[[ProcessSpec], Birth]

POLLIN = 1
TIOCSWINSZ = 0x5414
SIGSTOP, SIGCONT = 19, 18
SIGCHLD, SIGURG, SIGWINCH = 17, 23, 28
_SPARED = frozenset((SIGCHLD, SIGURG, SIGWINCH, SIGCONT, SIGSTOP, 20, 21, 22))
_WINSIZE = Struct("4H")
_TERMIOS = Struct("=II28s")
TCGETS, TCSETS, ONLCR = 0x5401, 0x5402, 0o4


class ProtocolError(Exception):
    """A request that makes no sense; str() says why."""


class Control:
    """The server: accepts, and knows the first program.

    make_birth: a ProcessSpec as a Birth: looks its program up; CommandError.
    open_terminal: a pty whose slave is to be 0, 1, 2 of a birth: its master; sets the birth up.
    """

    def __init__(
        self,
        container: Container,
        first: Birth,
        make_birth: MakeBirth,
        open_terminal: Callable[[ProcessSpec, Birth], int],
    ) -> None:
        self.first = first
        self.make_birth = make_birth
        self.open_terminal = open_terminal
        self.has_started = False
        self.is_paused = False
        self.startup_ns = 0
        self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, container.control_fd)
        self._listener.setblocking(False)
        self.connections: set[Connection] = set()

    def start(self, started_ns: int) -> None:
        """Lets the loop watch. Everything a request needs must be imported by now.

        Args:
            started_ns: when the sentry began, on the monotonic clock.
        """
        self.startup_ns = time.monotonic_ns() - started_ns
        watch_quietly(self._listener.fileno(), POLLIN, self._on_connection)

    def ends_unstarted(self, number: int) -> bool:
        """True: nothing runs yet that could handle the signal, so it has ended the container."""
        if self.has_started or not number or number in _SPARED:
            return False
        lib.engine_end_init(number)
        return True

    def _on_connection(self, _revents: int) -> None:
        while True:
            try:
                fd, _ = self._listener._accept()  # type: ignore[attr-defined]
            except OSError:
                return
            self.connections.add(Connection(self, fd))


class Connection:
    """One client: a request at a time; after `exec` it belongs to the program that was started."""

    def __init__(self, control: Control, fd: int) -> None:
        self._control = control
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
        self._socket.setblocking(False)
        self._birth: Birth | None = None
        self._fds: list[int] = []
        watch_quietly(fd, POLLIN, self._on_message)
        self._on_message(POLLIN)

    # -- messages

    def _on_message(self, _revents: int) -> None:
        while self._socket.fileno() >= 0:
            self._drop_fds()
            try:
                message, self._fds = messages.receive(self._socket)
            except BlockingIOError:
                return
            except MessageError as error:
                self._send({"error": f"bad request: {error}"})
                continue
            except OSError:
                message = None
            if message is None:
                self._hang_up()
                return
            self._answer(message)

    def _send(self, message: Message, fds: Sequence[int] = ()) -> None:
        try:
            messages.send(self._socket, message, fds)
        except OSError:
            pass  # it is gone; the next receive says so

    def _drop_fds(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def _hang_up(self) -> None:
        """The client is gone: so is the program that it stood for."""
        fd = self._socket.fileno()
        if fd >= 0:
            unwatch(fd)
            self._socket.close()
        self._drop_fds()
        self._control.connections.discard(self)
        if self._birth is not None:
            self._birth.give_up()

    def _answer(self, message: Message) -> None:
        if self._birth is not None:
            if isinstance(message.get("signal"), int):
                self._birth.send_signal(message["signal"])
            return
        operation = _OPERATIONS.get(str(message.get("op")))
        try:
            if operation is None:
                raise ProtocolError(f"unknown op {message.get('op')!r}")
            reply = operation(self, message)
        except ProtocolError as error:
            reply = {"error": f"bad request: {error}"}
        except CommandError as error:
            reply = {"error": str(error), "status": error.status}
        except LinuxError as error:
            reply = {"error": os.strerror(error.errno).lower(), "status": 126}
        except Exception:
            internal_error("a request on the control socket")
            reply = {"error": "internal error of the sentry"}
        if reply is not None:
            self._send(reply)

    # -- operations: each returns its answer, or None where it comes later

    def _start(self, _message: Message) -> Message | None:
        """{"op":"start"}: {"ok":true} when the exec of pid 1 is done."""
        control = self._control
        if control.has_started:
            return {"error": "cannot start an already running container"}
        control.has_started = True
        lib.leases_end()
        control.first.on_started = lambda: self._send({"ok": True})
        control.first.on_failed = lambda number, exists: self._send(refusal(control.first.argv[0], number, exists))
        control.first.let_go()
        return None

    def _signal(self, message: Message) -> Message:
        """{"op":"signal","signal":N,"all":bool}: to pid 1 or to every process."""
        number = message.get("signal")
        if not isinstance(number, int) or not 0 <= number <= 64:
            raise ProtocolError("signal")
        control = self._control
        if control.ends_unstarted(number):
            return {"ok": True}
        if message.get("all"):
            for group in all_groups():
                lib.group_kill(group, number)
        elif not control.first.send_signal(number):
            return {"error": "container not running"}
        return {"ok": True}

    def _pids(self, _message: Message) -> Message:
        """{"op":"pids"}: host pids of every process inside."""
        return {"pids": sorted(group.tgid for group in all_groups())}

    def _pause(self, _message: Message) -> Message:
        """{"op":"pause"}: where there is no freezer, every process is stopped by a signal."""
        for group in all_groups():
            lib.group_kill(group, SIGSTOP)
        self._control.is_paused = True
        return {"ok": True}

    def _resume(self, _message: Message) -> Message:
        for group in all_groups():
            lib.group_kill(group, SIGCONT)
        self._control.is_paused = False
        return {"ok": True}

    def _stats(self, _message: Message) -> Message:
        """{"op":"stats"}: what the run report would say now, and how long the start took (with its hooks)."""
        stats = lib.sentry_stats
        counts = {name: int(getattr(stats, name)) for name in dir(stats)}
        counts["gofer_calls"] = int(lib.engine_gofer_calls())
        counts["startup_ns"] = self._control.startup_ns
        return {"report": counts}

    def _status(self, _message: Message) -> Message:
        control = self._control
        status = "paused" if control.is_paused else "running" if control.has_started else "created"
        return {"status": status, "pid": os.getpid()}

    def _exec(self, message: Message) -> Message | None:
        """{"op":"exec","process":ProcessSpec.to_document()} with descriptors: 0, 1, 2 (none with a terminal), then
        those that become 3, 4, ... The answer comes when the program runs; then {"exited": wait status}. Also before
        `start`: that is how startContainer hooks run."""
        control = self._control
        try:
            process = ProcessSpec.from_document(message["process"])
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"process: {error!r}") from None
        if not process.terminal and len(self._fds) < 3:
            raise ProtocolError("0, 1 and 2 are missing")
        process.seccomp = process.seccomp or control.first.seccomp
        lib.leases_end()  # who asks may have put files there: `podman cp`, then `podman exec`
        birth = control.make_birth(process)
        master = -1
        if process.terminal:
            master = control.open_terminal(process, birth)
        first = 3 if process.terminal else 0
        fds, self._fds = self._fds, []
        birth.descriptions |= stdio.describe_received(dict(enumerate(fds, first)))

        def started() -> None:
            assert birth.task is not None
            answer: Message = {"ok": True, "pid": birth.task.ns_tid, "host_pid": birth.task.tid}
            if process.terminal:
                answer["terminal"] = True
            self._send(answer, [master] if process.terminal else [])
            if process.terminal:
                os.close(master)

        def failed(number: int, exists: bool) -> None:
            self._birth = None
            if process.terminal:
                os.close(master)
            self._send(refusal(birth.argv[0], number, exists))

        birth.on_started, birth.on_failed = started, failed
        birth.on_exit = self._exited
        self._birth = birth
        bear(birth)
        return None

    def _exited(self, status: int) -> None:
        self._birth = None
        self._send({"exited": status})


_OPERATIONS: dict[str, Callable[[Connection, Message], Message | None]] = {
    "start": Connection._start,
    "signal": Connection._signal,
    "pids": Connection._pids,
    "pause": Connection._pause,
    "resume": Connection._resume,
    "stats": Connection._stats,
    "status": Connection._status,
    "exec": Connection._exec,
}


def refusal(name: bytes, number: int, exists: bool) -> Message:
    """Why a program could not be executed, with the exit status that says so."""
    error = command.refused(os.fsdecode(name), number, exists, is_container=True)
    return {"error": str(error), "status": error.status}


class BootChannel:
    """The pair with `create`, until the container is ready: it runs hooks meanwhile, and hears of failures."""

    def __init__(self, fd: int) -> None:
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)

    def tell(self, message: Message) -> bool:
        """False: nobody is there any more."""
        try:
            messages.send(self._socket, message)
        except OSError:
            return False
        return True

    def ask(self, message: Message) -> bool:
        """Tells, and waits for the word to go on."""
        if not self.tell(message):
            return False
        try:
            answer, _ = messages.receive(self._socket)
        except (OSError, MessageError):
            return False
        return answer is not None and bool(answer.get("go"))

    def close(self) -> None:
        self._socket.close()


def send_master(console_fd: int, master: int) -> None:
    """The pty's master over the console socket, as runc does it: one descriptor, with a name as the data. OSError."""
    console = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, console_fd)
    try:
        console.sendmsg([b"/dev/ptmx"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, master.to_bytes(4, "little"))])
    finally:
        console.close()


def set_size(master: int, size: tuple[int, int] | None) -> None:
    """The window size of a new terminal, in rows and columns."""
    if size is not None:
        fcntl.ioctl(master, TIOCSWINSZ, _WINSIZE.pack(*size, 0, 0))


def pass_lines_on(master: int) -> None:
    """No CR before a line's end: who relays the terminal has one of their own that adds it, or a file. Before the
    program starts, or its first lines would have it."""
    iflag, oflag, rest = _TERMIOS.unpack(fcntl.ioctl(master, TCGETS, bytes(_TERMIOS.size)))
    fcntl.ioctl(master, TCSETS, _TERMIOS.pack(iflag, oflag & ~ONLCR, rest))

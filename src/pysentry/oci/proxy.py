"""The host process that stands for a program in a sandbox: it gets its signals and ends as it ended.

Attached (`exec`, `run` in the foreground) it is the command itself; detached it is a child that the caller's subreaper
inherits. If it is killed, its connection hangs up and the sentry kills the program.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select

from pysentry.oci.host_process import SIGKILL
from pysentry.sandbox.messages import MessageError, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import NoReturn

    from pysentry.oci.console import Relay

SIGCHLD, SIGWINCH, SIGSTOP = 17, 28, 19
SIGNALS = frozenset(range(1, 65)) - {SIGKILL, SIGSTOP, 32, 33}  # the last two are libc's own
KILLED = SIGKILL
"""As a wait status."""


class Signals:
    """Catches every signal that can be caught and queues its number on a descriptor that poll(2) can wait for.

    Block signals before a fork whose child makes one of these; making it unblocks them.
    """

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        _signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in SIGNALS:
            _signal.signal(number, _caught)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())

    def take(self) -> bytes:
        """The numbers that came, one byte each."""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""


def _caught(_number: int, _frame: object) -> None:
    """The number is on its way through the wake-up descriptor."""


def block_signals() -> None:
    _signal.pthread_sigmask(_signal.SIG_BLOCK, SIGNALS)


def unblock_signals() -> None:
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def attend(
    ended: int,
    on_ended: Callable[[], int | None],
    forward: Callable[[int], None],
    signals: Signals,
    relay: Relay | None,
) -> int:
    """Forwards signals (and a terminal) until the program ended.

    ended: a descriptor that becomes readable when on_ended() should be asked for the wait status.
    """
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(signals.fd, select.POLLIN)
    if relay is not None:
        poll.register(relay.master, select.POLLIN)
        poll.register(0, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == signals.fd:
                for number in signals.take():
                    if relay is not None and number == SIGWINCH:
                        relay.resize()
                    elif number:
                        forward(number)
            elif fd == ended:
                status = on_ended()
                if status is not None:
                    return status
            elif relay is not None and fd == relay.master:
                if not relay.copy_out():
                    poll.unregister(fd)
            elif relay is not None:
                relay.copy_in()
                if not relay.is_reading:
                    poll.unregister(0)


def attend_connection(connection: _socket.socket, signals: Signals, relay: Relay | None = None) -> int:
    """The same for an exec'd program: the wait status comes over its connection. The sentry's end is its end."""
    connection.setblocking(True)

    def forward(number: int) -> None:
        try:
            send(connection, {"signal": number})
        except OSError:
            pass  # the end is on its way

    def ended() -> int | None:
        try:
            message, descriptors = receive(connection)
        except (OSError, MessageError):
            return KILLED
        for fd in descriptors:
            os.close(fd)
        if message is None:
            return KILLED
        status = message.get("exited")
        return status if isinstance(status, int) else None

    return attend(connection.fileno(), ended, forward, signals, relay)


def become_proxy(connection: _socket.socket) -> NoReturn:
    """In the child of a detached `exec`, with signals blocked: stays until the program ends, then ends likewise."""
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)  # whoever reads the program's output waits until nobody else could write it
    kept = connection.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, 1 << 30)
    end_as(attend_connection(connection, Signals()))


def end_as(status: int) -> NoReturn:
    """Ends this process with a wait status, exactly: by the same signal if it was one."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number in SIGNALS:
            _signal.signal(number, _signal.SIG_DFL)
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # 32 and 33
    os._exit(os.WEXITSTATUS(status))


def shell_status(status: int) -> int:
    """What runc exits with in the foreground: 128 + N for signal N."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

"""What reaches a running sandbox from outside: signals sent to pysentry, and the end of --timeout.

Owns which signals are passed on and to whom. Does not own their delivery (kernel/signals), nor the terminal, whose keys
become signals inside the sandbox's own pty (terminal.py).
"""

from __future__ import annotations

from pysentry.kernel.wait import unwatch, watch
from pysentry.platform.native import ffi, lib
from pysentry.sandbox.errors import SandboxError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.sandbox.terminal import Terminal

SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM = 1, 2, 3, 10, 12, 14, 15
SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGKILL = 18, 20, 21, 22, 28, 9
PASSED_ON = (SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT, SIGTSTP, SIGWINCH)
BLOCKED_ONLY = (SIGTTOU,)
"""Blocked, or restoring the terminal from the background would stop us (tcsetattr(3))."""

SIGSTOP, SIGCHLD, SIGIO = 19, 17, 29
EVERY_ONE = tuple(n for n in range(1, 65) if n not in (SIGKILL, SIGSTOP, SIGCHLD, 32, 33))
"""What a container passes on. The kernel's SIGIO is the control socket's own (kernel.wait.watch_quietly); 32 and 33 are
libc's."""

SI_KERNEL = 0x80
POLLIN = 1


class Outside:
    """The two descriptors and what is done when they become readable.

    Args:
        to_init: sends a signal to the sandbox's pid 1.
        to_foreground: sends one to pid 1's whole process group, as a terminal does.
        kill_all: ends every process of the sandbox.
        terminal: the relay, which wants to know of SIGWINCH, SIGTSTP and SIGCONT; or None.
        timeout_s: seconds until kill_all, or None.
        is_container: every signal goes to pid 1 and means nothing to us.
    """

    def __init__(
        self,
        to_init: Callable[[int], None],
        to_foreground: Callable[[int], None],
        kill_all: Callable[[], None],
        terminal: Terminal | None,
        timeout_s: float | None,
        is_container: bool = False,
    ) -> None:
        self._is_container = is_container
        self._to_init = to_init
        self._to_foreground = to_foreground
        self._kill_all = kill_all
        self._terminal = terminal
        self._timeout_s = timeout_s
        self._ends_unstarted: Callable[[int], bool] | None = None
        self._signal_fd = -1
        self._timer_fd = -1
        self._signal = ffi.new("struct sandbox_signal *")
        self.has_timed_out = False

    def block(self) -> None:
        """Collects signals from now on. Early in boot: one that comes before pid 1 exists waits for it."""
        numbers = EVERY_ONE if self._is_container else PASSED_ON + BLOCKED_ONLY
        self._signal_fd = _check(lib.sandbox_signalfd(numbers, len(numbers)))
        if self._timeout_s is not None:
            self._timer_fd = _check(lib.sandbox_timerfd())
            _check(lib.sandbox_timerfd_set(self._timer_fd, int(self._timeout_s * 1e9)))

    def start(self, ends_unstarted: Callable[[int], bool] | None = None) -> None:
        """Lets the loop watch. Call it when pid 1 runs; or could, of a container: ends_unstarted says whether a signal
        has ended one whose first program was not executed yet."""
        self._ends_unstarted = ends_unstarted
        watch(self._signal_fd, POLLIN, self._on_signal)
        if self._timer_fd >= 0:
            watch(self._timer_fd, POLLIN, self._on_timeout)

    def _on_signal(self, _revents: int) -> None:
        while lib.sandbox_signalfd_read(self._signal_fd, self._signal) > 0:
            self._pass_on(self._signal.signo, self._signal.code)

    def _pass_on(self, number: int, code: int) -> None:
        if self._is_container:
            if number == SIGIO and code > 0:
                return
            if self._ends_unstarted is None or not self._ends_unstarted(number):
                self._to_init(number)
            return
        if number in BLOCKED_ONLY:
            return
        if self._terminal is not None and number == SIGWINCH:
            self._terminal.resize()  # the pty tells its foreground group
            return
        if number == SIGTSTP:
            self._stop(code)
            return
        if self._terminal is not None and number == SIGCONT:
            self._terminal.resume()  # `fg` of the shell outside: the keys are ours again
        if code == SI_KERNEL:  # a key of the terminal that we share with the program: everybody in the group gets it
            self._to_foreground(number)
        else:
            self._to_init(number)

    def _stop(self, code: int) -> None:
        """Stops the program, then ourselves, so that the shell outside sees its job stop; goes on with SIGCONT."""
        send = self._to_foreground if code == SI_KERNEL else self._to_init
        send(SIGTSTP)
        if self._terminal is not None:
            self._terminal.leave_raw()
        lib.sandbox_stop_self()
        if self._terminal is not None:
            self._terminal.resume()
        send(SIGCONT)

    def _on_timeout(self, _revents: int) -> None:
        unwatch(self._timer_fd)
        self.has_timed_out = True
        self._kill_all()


def _check(result: int) -> int:
    if result < 0:
        raise SandboxError(f"cannot listen for signals: {describe(result)}")
    return result

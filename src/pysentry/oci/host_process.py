"""Processes of the host as others remember them: by pid and start time, so that a reused pid is never taken for them.

Owns liveness (a zombie is dead) and signals that can't hit a stranger. A frozen or stopped process lives.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select

SIGKILL, SIGSTOP = 9, 19


def name_of_signal(number: int) -> str:
    """In the words of runc's messages: "bad system call"."""
    return (_signal.strsignal(number) or str(number)).lower()


def use_all_cpus() -> None:
    """Ourselves and what we fork: those of our cgroup, whatever CPUs our caller is bound to; as runc has it."""
    try:
        os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))
    except OSError:
        pass  # a seccomp filter above us may refuse it


class HostProcess:
    """One process. pid: on the host; start: field 22 of /proc/PID/stat, in clock ticks since boot."""

    __slots__ = ("pid", "start")

    def __init__(self, pid: int, start: int) -> None:
        self.pid = pid
        self.start = start

    @property
    def is_alive(self) -> bool:
        return self.pid > 0 and start_time(self.pid) == self.start

    def signal(self, number: int) -> bool:
        """Sends a signal; False: the process is gone. Raises PermissionError."""
        pidfd = self._open()
        if pidfd < 0:
            return False
        try:
            _signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True

    def kill_with_children(self) -> None:
        """SIGKILL to the process and, before it could wait for one of them, to its children and their sessions."""
        if not self.signal(SIGSTOP):
            return
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as listed:
                children = [int(pid) for pid in listed.read().split()]
        except OSError:  # it ended, or a kernel without the list
            children = []
        for pid in children:
            for kill in (os.killpg, os.kill):
                try:
                    kill(pid, SIGKILL)
                except OSError:
                    pass
        self.signal(SIGKILL)

    def wait_dead(self, timeout_s: float) -> bool:
        """Waits until the process is dead or a zombie."""
        pidfd = self._open()
        if pidfd < 0:
            return True
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            return bool(poll.poll(int(timeout_s * 1000)))
        finally:
            os.close(pidfd)

    def _open(self) -> int:
        """A pidfd, or -1. The start time is looked at after the pidfd was opened: the two are of one process."""
        if self.pid <= 0:
            return -1
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return -1
        if start_time(self.pid) == self.start:
            return pidfd
        os.close(pidfd)
        return -1


def ourselves() -> HostProcess:
    return remember(os.getpid())


def remember(pid: int) -> HostProcess:
    """A process that certainly exists: ourselves, or a child that was not waited for."""
    return HostProcess(pid, start_time(pid) or 0)


def start_time(pid: int) -> int | None:
    """When the process started; None: there is none, or it is dead and nobody waited for it yet."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    fields = line[line.rindex(b")") + 2 :].split()  # a program's name may hold anything
    return None if fields[0] in (b"Z", b"X", b"x") else int(fields[19])

"""The three descriptors we were given, as descriptions of the first task.

They are shared with strangers, so O_NONBLOCK is never set on them. A pipe or terminal is opened again, which gives a
description of our own; what cannot be opened again is marked DESC_GIVEN and read with care (kernel/description.py).
"""

from __future__ import annotations

import fcntl
import os
import stat

from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

_KINDS = {
    stat.S_IFREG: lib.DESC_FILE,
    stat.S_IFIFO: lib.DESC_PIPE,
    stat.S_IFSOCK: lib.DESC_SOCKET,
    stat.S_IFCHR: lib.DESC_CHR,
    stat.S_IFDIR: lib.DESC_FILE,
    stat.S_IFBLK: lib.DESC_FILE,
}


class Given:
    """One standard descriptor: its host descriptor, kind and flags, taken before anything was given up."""

    __slots__ = ("flags", "host_fd", "kind", "open_flags")

    def __init__(self, fd: int) -> None:
        mode = os.fstat(fd).st_mode
        self.open_flags = fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK)
        self.kind: int = _KINDS[stat.S_IFMT(mode)]
        self.flags: int = 0
        if self.kind == lib.DESC_CHR and os.isatty(fd):
            self.kind = lib.DESC_TTY
        if self.kind in (lib.DESC_PIPE, lib.DESC_TTY):
            own = _open_again(fd, self.open_flags & os.O_ACCMODE)
            if own >= 0:
                self.host_fd = own
                return
        self.host_fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)
        if self.kind == lib.DESC_FILE:
            self.flags = lib.DESC_NO_POLL
        else:
            self.flags = lib.DESC_GIVEN | lib.DESC_DONTWAIT


def _open_again(fd: int, access: int) -> int:
    try:
        return os.open(f"/proc/self/fd/{fd}", access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return -1


def take(closed: tuple[int, ...] = (), preserved: int = 0, keeps_stderr: bool = True) -> dict[int, Given]:
    """Those of 0, 1, 2 that are open (`closed` are not: launcher.fill_standard_descriptors), and `preserved` ones from
    3 on.

    We keep at most stderr, for our own messages: who reads the other end of stdout must see its end when the program
    closes it."""
    given = {}
    for fd in range(3 + preserved):
        if fd not in closed:
            given[fd] = Given(fd)
    for fd in range(3, 3 + preserved):
        os.close(fd)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1) if 2 in given and keeps_stderr else (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    return given


def describe(given: dict[int, Given]) -> dict[int, CDescription]:
    """Each as a description. Two that were one description outside are two here."""
    descriptions = {}
    for fd, one in given.items():
        desc = lib.desc_new(one.kind, one.host_fd, one.open_flags)
        desc.flags |= one.flags
        descriptions[fd] = desc
        if one.kind == lib.DESC_TTY:
            from pysentry.kernel.tty import adopt_terminal

            adopt_terminal(desc)
    return descriptions


def describe_received(fds: dict[int, int]) -> dict[int, CDescription]:
    """Descriptions of descriptors that came over a socket, which are closed, by the number they are to have."""
    given = {}
    for number, fd in fds.items():
        given[number] = Given(fd)
        os.close(fd)
    return describe(given)


def hand_over(task: Task, given: dict[int, Given]) -> None:
    """Makes them the task's descriptors."""
    for fd, desc in describe(given).items():
        lib.fd_install(task.c, fd, desc, 0)

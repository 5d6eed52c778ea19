"""Descriptors and credentials in AF_UNIX messages: SCM_RIGHTS, SCM_CREDENTIALS. unix(7).

What travels through the host socket is a *ticket*: the write end of a host pipe, sent by the host's own SCM_RIGHTS. It
stands for a list of the sandbox's open file descriptions and the sender's credentials, kept here under the pipe's
inode number; each holds a reference. The host drops or delivers the ticket exactly when Linux would drop or deliver the
descriptors, and the last of its copies going makes our read end hang up: then the references go too. So nothing has
to be known about queues, MSG_PEEK, closes or messages that nobody reads.

Two sockets in flight inside each other are not collected, as long as the sandbox runs.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EBADF, EINVAL, EPERM, LinuxError, host_errors
from pysentry.kernel.description import POLLHUP
from pysentry.kernel.wait import unwatch, watch
from pysentry.net.control import ControlWriter, pack, parse
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

SOL_SOCKET, SCM_RIGHTS, SCM_CREDENTIALS = 1, 1, 2
SCM_MAX_FD = 253
_UCRED = Struct("=iII")
_INT32 = Struct("=i")
_CAP_SETGID, _CAP_SETUID, _CAP_SYS_ADMIN = 6, 7, 21
HOST_CONTROL_SIZE = 64  # one ticket, and some room

Ucred = tuple[int, int, int]  # pid, uid, gid as the sandbox has them
NOBODY: Ucred = (0, 65534, 65534)


class _Ticket:
    """One message under way."""

    __slots__ = ("credentials", "descriptions", "read_fd")

    def __init__(self, read_fd: int, descriptions: list[CDescription], credentials: Ucred | None) -> None:
        self.read_fd = read_fd
        self.descriptions = descriptions
        self.credentials = credentials


_tickets: dict[int, _Ticket] = {}  # by inode number of the pipe


def credentials_of(task: Task) -> Ucred:
    """What SO_PEERCRED and SCM_CREDENTIALS say about a task."""
    cred = task.cred
    return task.group.pid, cred.euid, cred.egid


class Outgoing:
    """The control messages of one send, ready for the host. close() after the send."""

    __slots__ = ("_write_fd", "control")

    def __init__(self, task: Task, control: bytes, stamps: bool) -> None:
        """stamps: send the credentials along even if the program does not.

        Raises EBADF, EINVAL, EPERM, as scm_send() of net/core/scm.c."""
        descriptions: list[CDescription] = []
        credentials = credentials_of(task) if stamps else None
        for level, kind, data in parse(control):
            if level != SOL_SOCKET or kind not in (SCM_RIGHTS, SCM_CREDENTIALS):
                raise EINVAL(f"control message {level}:{kind}")
            if kind == SCM_CREDENTIALS:
                credentials = _checked_credentials(task, data)
                continue
            for (fd,) in _INT32.iter_unpack(data[: len(data) // 4 * 4]):
                if len(descriptions) == SCM_MAX_FD:
                    raise EINVAL("too many descriptors")
                c = task.fd_table.get(fd)
                if c.kind == lib.DESC_PATH and c.dentry is None:
                    raise EBADF("nothing")
                descriptions.append(c)
        self._write_fd = -1
        self.control = b""
        if not descriptions and credentials is None:
            return
        with host_errors():
            read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            identity = os.fstat(read_fd).st_ino
        for c in descriptions:
            lib.desc_ref(c)
        _tickets[identity] = _Ticket(read_fd, descriptions, credentials)
        watch(read_fd, POLLHUP, lambda _: _drop(identity))
        self.control = pack(SOL_SOCKET, SCM_RIGHTS, _INT32.pack(self._write_fd))

    def close(self) -> None:
        """Our own copy of the ticket goes; if the host took none, so does what it stands for."""
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1


def _checked_credentials(task: Task, data: bytes) -> Ucred:
    """Credentials that a program may claim: its own, or with capabilities any. unix(7)."""
    if len(data) != _UCRED.size:
        raise EINVAL("ucred")
    pid, uid, gid = _UCRED.unpack(data)
    cred = task.cred
    if pid != task.group.pid and not task.has_cap(_CAP_SYS_ADMIN):
        raise EPERM("pid")
    if uid not in (cred.uid, cred.euid, cred.suid) and not task.has_cap(_CAP_SETUID):
        raise EPERM("uid")
    if gid not in (cred.gid, cred.egid, cred.sgid) and not task.has_cap(_CAP_SETGID):
        raise EPERM("gid")
    return pid, uid, gid


def _drop(identity: int) -> None:
    """No copy of a ticket is left."""
    ticket = _tickets.pop(identity)
    unwatch(ticket.read_fd)
    os.close(ticket.read_fd)
    for c in ticket.descriptions:
        lib.desc_unref(c)


def deliver(
    task: Task, host_control: bytes, room: int, is_cloexec: bool, credentials: Ucred | None
) -> tuple[bytes, bool]:
    """The program's control buffer (at most `room` bytes) for what the host delivered, and whether it was cut.

    credentials: what a receiver with SO_PASSCRED gets if the message says nothing; None: it wants none."""
    writer = ControlWriter(room)
    descriptions: list[CDescription] = []
    for _, kind, data in parse(host_control):
        if kind != SCM_RIGHTS:
            continue
        for (fd,) in _INT32.iter_unpack(data):
            ticket = _tickets.get(os.fstat(fd).st_ino)
            if ticket is not None:
                for c in ticket.descriptions:
                    lib.desc_ref(c)
                descriptions += ticket.descriptions
                if credentials is not None and ticket.credentials is not None:
                    credentials = ticket.credentials
            os.close(fd)
    if credentials is not None:  # before the descriptors: scm_recv()
        writer.put(SOL_SOCKET, SCM_CREDENTIALS, _UCRED.pack(*credentials))
    if descriptions:
        _put_descriptors(task, writer, descriptions, is_cloexec)
    return writer.data, writer.is_truncated


def _put_descriptors(task: Task, writer: ControlWriter, descriptions: list[CDescription], is_cloexec: bool) -> None:
    """Gives as many as fit their numbers, scm_detach_fds(); takes over all references."""
    fitting = max(writer.space(), 0) // _INT32.size
    numbers = b""
    for index, c in enumerate(descriptions):
        if index >= fitting:
            writer.is_truncated = True
            lib.desc_unref(c)
            continue
        try:
            numbers += _INT32.pack(task.fd_table.alloc(c, cloexec=is_cloexec))
        except LinuxError:  # EMFILE: the rest is dropped
            writer.is_truncated = True
            fitting = index
    if numbers:
        writer.put(SOL_SOCKET, SCM_RIGHTS, numbers)


def take_back(task: Task, control: bytes) -> None:
    """Closes the descriptors of a control buffer that could not be copied out."""
    for level, kind, data in parse(control):
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            for (fd,) in _INT32.iter_unpack(data):
                task.fd_table.close(fd)

"""/proc/PID/fd and fdinfo: what a process has open. The links lead to the open file itself, not to its name."""

from __future__ import annotations

import os

from pysentry.abi.errno import ENOENT, ESRCH
from pysentry.abi.stat import S_IFLNK, S_IFREG
from pysentry.kernel.description import description_of
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import path_of
from pysentry.vfs.filesystems.generated import Directory, Node
from pysentry.vfs.filesystems.proc_subject import Subject, SubjectFile, SubjectLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CFdSlot

O_ACCMODE, O_WRONLY, O_RDWR, O_CLOEXEC = os.O_ACCMODE, os.O_WRONLY, os.O_RDWR, os.O_CLOEXEC
_LINK_MODES = {os.O_RDONLY: 0o500, O_WRONLY: 0o300, O_RDWR: 0o700}
_ANONYMOUS = {
    lib.DESC_EPOLL: b"anon_inode:[eventpoll]",
    lib.DESC_EVENTFD: b"anon_inode:[eventfd]",
    lib.DESC_TIMERFD: b"anon_inode:[timerfd]",
    lib.DESC_SIGNALFD: b"anon_inode:[signalfd]",
    lib.DESC_INOTIFY: b"anon_inode:inotify",
    lib.DESC_PIDFD: b"anon_inode:[pidfd]",
}
_HELD_BY_HOST = {
    (1, 3): b"/dev/null",
    (1, 5): b"/dev/zero",
    (1, 7): b"/dev/full",
    (1, 8): b"/dev/random",
    (1, 9): b"/dev/urandom",
}


def place_text(dentry: CDentry, reader: Task | None) -> bytes:
    """A place as d_path() shows it: "(deleted)" once its name is gone."""
    text = path_of(dentry, None if reader is None else reader.fs.root).removeprefix(b"(unreachable)")
    return text + b" (deleted)" if dentry.flags & lib.DENTRY_UNHASHED else text


def description_text(c: CDescription, reader: Task | None) -> bytes:
    """What a link to an open file says."""
    if c.dentry != ffi.NULL:
        return place_text(c.dentry, reader)
    if c.kind in _ANONYMOUS:
        return _ANONYMOUS[c.kind]
    status = os.fstat(c.host_fd) if c.host_fd >= 0 else None
    number = c.id if status is None else status.st_ino
    if c.kind == lib.DESC_PIPE:
        return b"pipe:[%d]" % number
    if c.kind == lib.DESC_SOCKET:
        return b"socket:[%d]" % number
    if status is not None and c.kind in (lib.DESC_CHR, lib.DESC_TTY):  # given to us from outside
        device = os.major(status.st_rdev), os.minor(status.st_rdev)
        return _HELD_BY_HOST.get(device) or (b"/dev/pts/%d" % device[1] if device[0] == 136 else b"/dev/tty")
    return b"/proc/host-file:[%d]" % number


def slot_of(subject: Subject, fd: int) -> CFdSlot | None:
    """An open descriptor's slot."""
    table = subject.c.files
    if table == ffi.NULL or not 0 <= fd < table.capacity or table.slots[fd].desc == ffi.NULL:
        return None
    return table.slots[fd]


class FdLink(SubjectLink):
    """One descriptor. It is another link once the number stands for another file."""

    __slots__ = ("fd", "identity")

    def __init__(self, subject: Subject, fd: int, c: CDescription) -> None:
        super().__init__(subject)
        self.fd = fd
        self.identity = c.id
        self.mode = S_IFLNK | _LINK_MODES.get(c.open_flags & O_ACCMODE, 0o700)

    def _description(self) -> CDescription | None:
        slot = slot_of(self.subject, self.fd)
        return None if slot is None or slot.desc.id != self.identity else slot.desc

    def is_valid(self) -> bool:
        return self.subject.is_alive() and self._description() is not None

    def path(self, reader: Task | None) -> bytes:
        self.subject.check_access(reader)
        c = self._description()
        if c is None:
            raise ENOENT("closed")
        return description_text(c, reader)

    def place(self, task: Task) -> CDentry | CDescription | None:
        self.subject.check_access(task)
        c = self._description()
        if c is None:
            raise ENOENT("closed")
        return c


class FdDirectory(Directory):
    """fd or, with files instead of links, fdinfo."""

    __slots__ = ("is_info", "subject")

    def __init__(self, subject: Subject, is_info: bool) -> None:
        super().__init__(mode=0o555 if is_info else 0o500)
        self.subject = subject
        self.is_info = is_info

    def owner(self) -> tuple[int, int]:
        return self.subject.owner()

    def is_valid(self) -> bool:
        return self.subject.is_alive()

    def lookup(self, task: Task | None, name: bytes) -> Node | None:
        if not name.isdigit() or (name[:1] == b"0" and name != b"0") or len(name) > 9:
            return None
        fd = int(name)
        slot = slot_of(self.subject, fd)
        if slot is None:
            return None
        if self.is_info:
            return SubjectFile(self.subject, lambda subject: fd_info(subject, fd), 0o400, is_private=True)
        return FdLink(self.subject, fd, slot.desc)

    def list(self, task: Task | None) -> list[tuple[bytes, int]]:
        try:
            table = self.subject.c.files
        except ESRCH:
            return []
        mode = S_IFREG if self.is_info else S_IFLNK
        slots = table.slots
        return [(b"%d" % fd, mode) for fd in range(table.capacity) if slots[fd].desc != ffi.NULL]


def fd_info(subject: Subject, fd: int) -> bytes:
    """Position, flags, mount and inode of an open file: proc_pid_fdinfo(5)."""
    slot = slot_of(subject, fd)
    if slot is None:
        raise ENOENT("closed")
    c = slot.desc
    flags = c.open_flags | (O_CLOEXEC if slot.cloexec else 0)
    mount = c.dentry.sb.id if c.dentry != ffi.NULL else 15
    lines = b"pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n" % (_position(c), flags, mount, _inode_number(c))
    return lines + description_of(c).info()


def _inode_number(c: CDescription) -> int:
    if c.inode != ffi.NULL:
        return c.inode.ino
    return os.fstat(c.host_fd).st_ino if c.host_fd >= 0 else c.id


def _position(c: CDescription) -> int:
    if c.kind in (lib.DESC_DIR, lib.DESC_PYTHON) or c.flags & lib.DESC_OWN_POS:
        return c.pos
    if c.kind != lib.DESC_FILE or c.host_fd < 0:
        return 0
    try:
        return os.lseek(c.host_fd, 0, os.SEEK_CUR)
    except OSError:
        return 0

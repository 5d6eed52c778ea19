"""Open file descriptions: what read, write, seek and the rest do on each kind of descriptor.

Owns the Python behaviour of `struct description`: a class per kind, found by `description_of`. The state that C needs
too (host descriptor, flags, position) is in the struct; a class with state of its own sets `keeps_state` and is told
of the last close. Does not own descriptor numbers (FdTable), paths (vfs/) nor how a task waits (kernel/wait).

Every description is backed by one host descriptor that never blocks, so the base class serves nearly all kinds:
try the host call; on EAGAIN wait for readiness and try again, unless the description is O_NONBLOCK. That flag is
virtual: it lives in `open_flags` only. Host descriptors that came from outside (DESC_GIVEN) may block and are shared
with strangers: they are read and written with RWF_NOWAIT, or after a poll.

A task that waits holds a reference: another thread may close the descriptor meanwhile.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import EAGAIN, EBADF, EFAULT, EINVAL, EISDIR, ENOMEM, ENOTTY, LinuxError, from_oserror
from pysentry.kernel import given, host
from pysentry.kernel.wait import Interrupted, wait_ready
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import ClassVar, Protocol, TypeVar

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

    class CloseWatcher(Protocol):
        def target_closed(self, identity: int) -> None: ...

    T = TypeVar("T")
    Iovecs = Sequence[tuple[int, int]]

POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20
POLLRDNORM, POLLWRNORM = 0x40, 0x100
ALWAYS_READY = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM  # DEFAULT_POLLMASK of include/linux/poll.h

O_ACCMODE, O_APPEND, O_NONBLOCK = os.O_ACCMODE, os.O_APPEND, os.O_NONBLOCK
MAX_RW_COUNT = 0x7FFFF000  # bytes one call moves at most: include/linux/fs.h
CHUNK = 1 << 20  # bytes moved per host call; also the largest pipe, so that a pipe write stays one write
PIPE_BUF = 4096
RWF_NOWAIT, RWF_APPEND, RWF_NOAPPEND = 0x8, 0x10, 0x20
RWF_DSYNC, RWF_SYNC = 0x2, 0x4
RWF_DURABLE = RWF_DSYNC | RWF_SYNC
RLIMIT_FSIZE = 1
RLIM_INFINITY = (1 << 64) - 1
SIGPIPE, SIGXFSZ = 13, 25
DESC_OWN_POS = lib.DESC_OWN_POS  # position in `pos`: several descriptions share one memfd
SHARED = lib.DESC_GIVEN | lib.DESC_DONTWAIT
SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE = range(5)


def skip(iovs: Iovecs, count: int) -> Iovecs:
    """What remains of the vectors after `count` bytes."""
    if not count:
        return iovs
    rest: list[tuple[int, int]] = []
    for address, length in iovs:
        if count >= length:
            count -= length
        else:
            rest.append((address + count, length - count))
            count = 0
    return rest


class Description:
    """Behaviour of one open file description; this class is right for any host descriptor without a position."""

    __slots__ = ("c",)
    keeps_state: ClassVar[bool] = False
    fills_reads: ClassVar[bool] = False  # a read goes on until the buffer is full or the file ends
    write_piece: ClassVar[int] = 1  # bytes of which all or none are written where the program's memory has a hole
    writes_all: ClassVar[bool] = False  # a blocking write returns when all is written: pipe(7)
    signals_epipe: ClassVar[bool] = False
    is_file_like: ClassVar[bool] = False  # without a host descriptor, but read and written as files are: splice(2)

    def __init__(self, c: CDescription) -> None:
        self.c = c

    @property
    def is_nonblocking(self) -> bool:
        """O_NONBLOCK, as fcntl(F_GETFL) shows it."""
        return bool(self.c.open_flags & O_NONBLOCK)

    # ---- reading ----

    async def read(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        """Bytes read into the vectors, from `offset` or the current position: read(2), preadv2(2)."""
        size = sum(length for _, length in iovs)
        try:
            return self.read_now(task, iovs, size, offset)
        except EAGAIN:
            if rwf & RWF_NOWAIT or self.is_nonblocking:
                raise
        deadline_ns = self.read_deadline_ns()
        return await self.when_ready(task, POLLIN, lambda: self.read_now(task, iovs, size, offset), deadline_ns)

    def read_now(self, task: Task, iovs: Iovecs, size: int, offset: int | None) -> int:
        """One try at reading; EAGAIN if there is nothing yet."""
        done = 0
        while True:
            want = min(size - done, CHUNK)
            try:
                data = self.host_read(want, None if offset is None else offset + done)
            except OSError as error:
                if done:
                    return done
                raise from_oserror(error) from None
            if not data:
                return done
            try:
                moved = task.memory.scatter(skip(iovs, done), data)
            except LinuxError:
                moved = 0
            done += moved
            if moved < len(data):  # a fault: what was not delivered was not read, where the kind allows it
                if offset is None:
                    self.unread(len(data) - moved)
                if not done:
                    raise LinuxError.from_errno(14)
                return done
            if moved < want or done == size or not self.fills_reads:
                return done

    def host_read(self, size: int, offset: int | None) -> bytes:
        """One host read that cannot wait. OSError as the host says; BlockingIOError: nothing there."""
        fd = self.c.host_fd
        if offset is not None:
            return os.pread(fd, size, offset)
        if self.c.flags & SHARED:
            return given.read(fd, size)
        return os.read(fd, size)

    def unread(self, count: int) -> None:
        """Takes the position back by bytes that could not be delivered; a stream cannot."""

    def read_deadline_ns(self) -> int | None:
        """When a blocking read gives up with EAGAIN (SO_RCVTIMEO), CLOCK_MONOTONIC."""
        return None

    # ---- writing ----

    async def write(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        """Bytes written from the vectors: write(2), pwritev2(2)."""
        size = sum(length for _, length in iovs)
        done = 0
        try:
            done = self.write_now(task, iovs, size, offset, 0)
            if done == size or not self.writes_all or rwf & RWF_NOWAIT or self.is_nonblocking:
                return done
            done = self.write_now(task, iovs, size, offset, done)  # waits only for what said EAGAIN: a hole does not
            if done == size:
                return done
        except EAGAIN:
            if rwf & RWF_NOWAIT or self.is_nonblocking:
                raise
        except LinuxError:
            if not done:
                raise
            return done
        lib.desc_ref(self.c)
        try:
            deadline_ns = self.write_deadline_ns()
            while await wait_ready(task, ((self.c, POLLOUT),), deadline_ns):
                try:
                    done = self.write_now(task, iovs, size, offset, done)
                except EAGAIN:
                    continue
                if done == size or not self.writes_all:
                    return done
        except (Interrupted, LinuxError):
            if not done:
                raise
        finally:
            lib.desc_unref(self.c)
        if not done:
            raise EAGAIN("send timeout")
        return done

    def write_now(self, task: Task, iovs: Iovecs, size: int, offset: int | None, done: int) -> int:
        """One try at writing what follows the first `done` bytes: all bytes written so far, or an error if there was
        no progress. Stops where the host takes less than offered."""
        start = done
        while True:
            try:
                wanted = min(size - done, CHUNK)
                data = task.memory.gather(skip(iovs, done), wanted)
                if len(data) < wanted and self.write_piece > 1:
                    data = data[: len(data) - len(data) % self.write_piece]
                    if not data:
                        raise EFAULT("a hole")
                count = self.host_write(task, data, None if offset is None else offset + done)
            except OSError as error:
                if error.errno == 32 and self.signals_epipe:
                    task.send_signal(SIGPIPE)
                if done > start:
                    return done
                raise from_oserror(error) from None
            except LinuxError:
                if done > start:
                    return done
                raise
            done += count
            if count < len(data) or done >= size:
                return done

    def host_write(self, task: Task, data: bytes, offset: int | None) -> int:
        """One host write that cannot wait."""
        fd = self.c.host_fd
        if offset is not None:
            return os.pwrite(fd, data, offset)
        if self.c.flags & SHARED:
            return given.write(fd, data)
        return os.write(fd, data)

    def write_deadline_ns(self) -> int | None:
        """When a blocking write gives up (SO_SNDTIMEO), CLOCK_MONOTONIC."""
        return None

    # ---- waiting ----

    async def when_ready(
        self, task: Task, events: int, attempt: Callable[[], T], deadline_ns: int | None = None
    ) -> T:
        """Waits for `events`, then tries `attempt` until it does not raise EAGAIN.

        Raises EAGAIN at the deadline, Interrupted when a signal must be handled."""
        lib.desc_ref(self.c)
        try:
            while await wait_ready(task, ((self.c, events),), deadline_ns):
                try:
                    return attempt()
                except EAGAIN:
                    continue
        finally:
            lib.desc_unref(self.c)
        raise EAGAIN("timed out")

    def poll_mask(self) -> int:
        """Readiness of a description without a host descriptor or with DESC_PY_POLL (others: ask the host)."""
        return ALWAYS_READY

    def make_pollable(self) -> None:
        """DESC_PY_POLL: from now on there is a host descriptor for epoll."""

    # ---- the rest ----

    def seek(self, offset: int, whence: int) -> int:
        """The new position: lseek(2). ESPIPE comes from the host descriptor."""
        try:
            return os.lseek(self.c.host_fd, offset, whence)
        except OSError as error:
            raise from_oserror(error) from None

    def truncate(self, task: Task, length: int) -> None:
        """ftruncate(2): only regular files."""
        raise EINVAL("not a regular file")

    def allocate(self, task: Task, mode: int, offset: int, length: int) -> None:
        """fallocate(2): the host's errors are right for every kind of descriptor."""
        host.fallocate(self.c.host_fd, mode, offset, length)

    def sync(self, data_only: bool) -> None:
        """fsync(2), fdatasync(2): EINVAL on pipes and sockets comes from the host."""
        try:
            os.fdatasync(self.c.host_fd) if data_only else os.fsync(self.c.host_fd)
        except OSError as error:
            raise from_oserror(error) from None

    def info(self) -> bytes:
        """What /proc/PID/fdinfo says of this kind beyond what all have: proc_pid_fdinfo(5)."""
        return b""

    async def ioctl(self, task: Task, fd: int, request: int, argument: int) -> int:
        """What syscalls/ioctl does not answer for every kind. ENOTTY: not for this one."""
        raise ENOTTY(f"ioctl {request:#x}")

    def closed(self) -> None:
        """The last reference is gone (keeps_state classes); the host descriptor is still open."""


class DirectoryDescription(Description):
    """A directory: read by getdents64 only. Its position is the index of the next entry."""

    __slots__ = ()

    async def read(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        raise EISDIR("directory")

    async def write(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        raise EBADF("directory")

    def seek(self, offset: int, whence: int) -> int:
        at = offset if whence == SEEK_SET else self.c.dir_pos + offset
        if whence not in (SEEK_SET, SEEK_CUR) or at < 0:
            raise EINVAL("directory position")
        self.c.dir_pos = at
        return at

    def allocate(self, task: Task, mode: int, offset: int, length: int) -> None:
        raise EBADF("directory")

    def sync(self, data_only: bool) -> None:
        """Nothing to do: a directory is in memory, or its changes went to the gofer one by one."""


class PathDescription(Description):
    """O_PATH: stands for a place only."""

    __slots__ = ()

    async def read(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        raise EBADF("O_PATH")

    async def write(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        raise EBADF("O_PATH")

    def seek(self, offset: int, whence: int) -> int:
        raise EBADF("O_PATH")

    def truncate(self, task: Task, length: int) -> None:
        raise EBADF("O_PATH")

    def allocate(self, task: Task, mode: int, offset: int, length: int) -> None:
        raise EBADF("O_PATH")

    def sync(self, data_only: bool) -> None:
        raise EBADF("O_PATH")

    async def ioctl(self, task: Task, fd: int, request: int, argument: int) -> int:
        raise EBADF("O_PATH")


# ---- finding the object of a struct ---------------------------------------------------------------------------------

KINDS: dict[int, type[Description]] = {  # each module adds its own
    lib.DESC_DIR: DirectoryDescription,
    lib.DESC_PATH: PathDescription,
}
_MODULES = {
    lib.DESC_FILE: "pysentry.kernel.file",
    lib.DESC_CHR: "pysentry.kernel.file",
    lib.DESC_PIPE: "pysentry.kernel.pipe",
    lib.DESC_TTY: "pysentry.kernel.tty",
    lib.DESC_SOCKET: "pysentry.net.socket",
    lib.DESC_EPOLL: "pysentry.kernel.epoll",
    lib.DESC_INOTIFY: "pysentry.kernel.inotify",
    lib.DESC_SIGNALFD: "pysentry.kernel.signalfd",
    lib.DESC_PIDFD: "pysentry.kernel.pidfd",
}
"""Who adds a kind: C makes descriptions of which Python may not have heard yet."""
_with_state: dict[int, Description] = {}
_close_watchers: dict[int, list[CloseWatcher]] = {}


def description_of(c: CDescription) -> Description:
    """The behaviour of a description; for classes without state a new object each time."""
    if c.flags & lib.DESC_LOWER:
        lib.desc_follow_copy_up(c)  # somebody wrote to the lower file meanwhile: its content is in memory now
    kept = _with_state.get(c.id) if c.flags & lib.DESC_PY_CLOSE else None
    if kept is not None:
        return kept
    found = _class_of(c.kind)(c)
    return adopt(found) if c.flags & lib.DESC_INET else found


def _class_of(kind: int) -> type[Description]:
    cls = KINDS.get(kind)
    if cls is None and kind in _MODULES:
        __import__(_MODULES[kind])
        cls = KINDS[kind]
    return cls or Description


def new_description(
    kind: int, host_fd: int, open_flags: int, cls: type[Description] | None = None
) -> Description:
    """A new description with one reference, which owns `host_fd` (-1: none)."""
    c = lib.desc_new(kind, host_fd, open_flags)
    if c == ffi.NULL:
        if host_fd >= 0:
            os.close(host_fd)
        raise ENOMEM("description")
    return adopt((cls or _class_of(kind))(c))


def adopt(description: Description) -> Description:
    """Remembers an object that keeps state for as long as its description lives."""
    if description.keeps_state:
        description.c.flags |= lib.DESC_PY_CLOSE
        _with_state[description.c.id] = description
    return description


def watch_close(c: CDescription, watcher: CloseWatcher) -> None:
    """`watcher.target_closed(id)` is called once, at the last close of a description."""
    c.flags |= lib.DESC_PY_CLOSE
    watchers = _close_watchers.setdefault(c.id, [])
    if watcher not in watchers:
        watchers.append(watcher)


def description_gone(identity: int) -> None:
    """The engine: the last reference of a DESC_PY_CLOSE description is gone; its host descriptor is still open."""
    for watcher in _close_watchers.pop(identity, ()):
        watcher.target_closed(identity)
    description = _with_state.pop(identity, None)
    if description is not None:
        description.closed()


def object_of(c: CDescription, cls: type[T]) -> T:
    """The object of a description that must be of one class, or EINVAL."""
    found = description_of(c)
    if not isinstance(found, cls):
        raise EINVAL(f"not a {cls.__name__}")
    return found



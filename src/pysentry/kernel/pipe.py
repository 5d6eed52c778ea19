"""Pipes and FIFOs: pipe(7), fifo(7).

Owns making pipes, their size (F_SETPIPE_SZ) and the rules of opening a FIFO. What flows through is the host pipe's
business: a pipe of the sandbox is a host pipe, and reading and writing are the base class's.

A FIFO is a host FIFO in a tmpfs that is mounted nowhere (`fifo_directory`, made at boot): a pipe's ends cannot be
opened again without a name, and a FIFO's can. Who waits for whom at open is decided here: the host could only wait.
"""

from __future__ import annotations

import fcntl
import os

from pysentry.abi.errno import EINVAL, ENXIO, EPERM, from_oserror, host_errors
from pysentry.kernel import host, sysctl
from pysentry.kernel.description import KINDS, O_ACCMODE, O_NONBLOCK, Description, adopt, new_description
from pysentry.kernel.wait import WaitQueue, wait_event
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription, CInode

F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032
FIONREAD = 0x541B


class Pipe(Description):
    """One end of a pipe."""

    __slots__ = ()
    write_piece = 4096
    writes_all = True
    signals_epipe = True

    @classmethod
    def open_ends(cls, status: int) -> tuple[CDescription, CDescription]:
        """A new pipe's read and write end, each with one reference: pipe2(2). `status`: O_NONBLOCK, O_DIRECT.

        The host keeps packets apart."""
        with host_errors():
            read_fd, write_fd = os.pipe2(os.O_CLOEXEC | O_NONBLOCK | status & os.O_DIRECT)
        reader = new_description(lib.DESC_PIPE, read_fd, os.O_RDONLY | status, cls)
        return reader.c, new_description(lib.DESC_PIPE, write_fd, os.O_WRONLY | status, cls).c

    def set_size(self, task: Task, size: int) -> int:
        """F_SETPIPE_SZ: the new capacity in bytes. EPERM above the limit, EBUSY below what is in it."""
        if size > 1 << 31:
            raise EINVAL("F_SETPIPE_SZ")
        if size > sysctl.values[sysctl.PIPE_MAX_SIZE] and not task.cred.cap_effective & 1 << 24:  # CAP_SYS_RESOURCE
            raise EPERM("pipe-max-size")
        with host_errors():
            return fcntl.fcntl(self.c.host_fd, F_SETPIPE_SZ, size)

    def size(self) -> int:
        """F_GETPIPE_SZ."""
        with host_errors():
            return fcntl.fcntl(self.c.host_fd, F_GETPIPE_SZ)


KINDS[lib.DESC_PIPE] = Pipe

# ---- FIFOs --------------------------------------------------------------------------------------------------------

_fifo_directory = -1
_fifos: dict[int, NamedPipe] = {}


def make_fifo_directory(size_bytes: int = 0) -> int:
    """Boot, before the lock-up: the place where host FIFOs live, and the content of files in memory, of which there can
    be `size_bytes` (0: any number). Returns its descriptor, for the sentry's filter (mknodat, openat and unlinkat are
    allowed with this directory)."""
    global _fifo_directory
    _fifo_directory = host.detached_tmpfs(size_bytes)
    return _fifo_directory


class FifoEnd(Pipe):
    """An open FIFO: counted by its NamedPipe until the last close."""

    __slots__ = ("fifo",)
    keeps_state = True
    fifo: NamedPipe

    def closed(self) -> None:
        self.fifo.leave(self.c.open_flags & O_ACCMODE)


class NamedPipe:
    """The pipe behind one FIFO inode. It lives while the inode is open somewhere (or somebody waits to open it)."""

    __slots__ = ("arrivals", "inode_id", "name", "readers", "readers_ever", "writers", "writers_ever")

    def __init__(self, inode_id: int) -> None:
        self.inode_id = inode_id
        self.name = f"fifo-{inode_id}"
        self.readers = self.writers = 0
        self.readers_ever = self.writers_ever = 0  # a partner that came and went counts: fifo_open of fs/pipe.c
        self.arrivals = WaitQueue()
        try:
            os.mknod(self.name, 0o010600, dir_fd=_fifo_directory)
        except OSError as error:
            raise from_oserror(error) from None

    @staticmethod
    async def open(task: Task, inode: CInode, flags: int) -> CDescription:
        """Opens a FIFO; permissions were checked. ENXIO: write, non-blocking, and nobody reads: fifo(7).

        The caller sets the description's dentry and inode."""
        if _fifo_directory < 0:
            raise ENXIO("no FIFO directory")
        fifo = _fifos.get(inode.id)
        if fifo is None:
            fifo = _fifos[inode.id] = NamedPipe(inode.id)
        return await fifo._open(task, flags)

    async def _open(self, task: Task, flags: int) -> CDescription:
        mode = flags & O_ACCMODE
        is_nonblocking = bool(flags & O_NONBLOCK)
        if mode == os.O_WRONLY and is_nonblocking and not self.readers:
            self._forget_if_unused()
            raise ENXIO("nobody reads")
        self._enter(mode)
        try:
            fd = self._open_host(mode)
            if mode == os.O_RDONLY and not is_nonblocking and not self.writers:
                seen = self.writers_ever
                await self._wait_for(task, lambda: self.writers_ever != seen, fd)
            elif mode == os.O_WRONLY and not self.readers:
                seen = self.readers_ever
                await self._wait_for(task, lambda: self.readers_ever != seen, fd)
        except BaseException:
            self.leave(mode)
            raise
        end = new_description(lib.DESC_PIPE, fd, flags, Pipe)
        kept = FifoEnd(end.c)
        kept.fifo = self
        adopt(kept)
        return end.c

    async def _wait_for(self, task: Task, has_come: Callable[[], bool], fd: int) -> None:
        try:
            while not has_come():
                await wait_event(task, self.arrivals)
        except BaseException:
            os.close(fd)
            raise

    def _open_host(self, mode: int) -> int:
        """The host descriptor. Through a read-write one, so that the host never waits nor refuses."""
        flags = os.O_CLOEXEC | O_NONBLOCK | os.O_NOFOLLOW
        try:
            both = os.open(self.name, os.O_RDWR | flags, dir_fd=_fifo_directory)
            if mode == os.O_RDWR:
                return both
            try:
                return os.open(self.name, mode | flags, dir_fd=_fifo_directory)
            finally:
                os.close(both)
        except OSError as error:
            raise from_oserror(error) from None

    def _enter(self, mode: int) -> None:
        if mode != os.O_WRONLY:
            self.readers += 1
            self.readers_ever += 1
        if mode != os.O_RDONLY:
            self.writers += 1
            self.writers_ever += 1
        self.arrivals.wake_all()

    def leave(self, mode: int) -> None:
        """An end is closed, or its open was given up."""
        if mode != os.O_WRONLY:
            self.readers -= 1
        if mode != os.O_RDONLY:
            self.writers -= 1
        self._forget_if_unused()

    def _forget_if_unused(self) -> None:
        if not self.readers and not self.writers:
            _fifos.pop(self.inode_id, None)
            try:
                os.unlink(self.name, dir_fd=_fifo_directory)
            except OSError as error:
                raise from_oserror(error) from None

"""FdTable: a task's descriptor numbers (struct fd_table, native/engine/files.c)."""

from __future__ import annotations

from pysentry.abi.errno import EBADF, from_errno
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CDescription, CFdSlot, CFdTable, CTask

O_ACCMODE, O_RDONLY, O_WRONLY, O_PATH = 3, 0, 1, 0o10000000
_NULL = ffi.NULL


class FdTable:
    """The table that the task uses now; clone(CLONE_FILES) shares it, exec unshares it."""

    __slots__ = ("_c",)

    def __init__(self, c: CTask) -> None:
        self._c = c

    @property
    def c(self) -> CFdTable:
        return self._c.files

    def get(self, fd: int) -> CDescription:
        """The description at a number (borrowed). EBADF."""
        desc: CDescription = lib.fd_get(self._c, fd)
        if desc == _NULL:
            raise EBADF
        return desc

    def get_io(self, fd: int, writing: bool) -> CDescription:
        """The same, open for reading or writing. EBADF otherwise, and for O_PATH descriptors."""
        desc = self.get(fd)
        flags = desc.open_flags
        if flags & O_PATH or (flags & O_ACCMODE) in (O_RDONLY if writing else O_WRONLY, O_ACCMODE):
            raise EBADF
        return desc

    def slot(self, fd: int) -> CFdSlot:
        """The slot of an open descriptor (its close-on-exec flag). EBADF."""
        self.get(fd)
        return self._c.files.slots[fd]

    def alloc(self, desc: CDescription, cloexec: bool = False, lowest: int = 0) -> int:
        """Gives a description the lowest free number from `lowest` on; takes over the caller's reference. EMFILE."""
        fd = lib.fd_alloc(self._c, desc, cloexec, lowest)
        if fd < 0:
            raise from_errno(-fd)
        return int(fd)

    def install(self, fd: int, desc: CDescription, cloexec: bool = False) -> None:
        """Puts a description at a number, closing what was there; takes over the caller's reference."""
        lib.fd_install(self._c, fd, desc, cloexec)

    def close(self, fd: int) -> int:
        """0, or CONTINUE if the workload's own leftover is closed natively too. EBADF."""
        result = lib.fd_close(self._c, fd)
        if result == -9:
            raise EBADF
        return int(result)

    def reserve(self, count: int, cloexec: bool = False) -> Reservation:
        """`count` free numbers that are given back unless install() is reached: a context manager. EMFILE."""
        return Reservation(self._c, count, cloexec)

    def open_fds(self) -> list[int]:
        """Open numbers, ascending."""
        table = self._c.files
        slots = table.slots
        return [fd for fd in range(table.capacity) if slots[fd].desc != _NULL]


class Reservation:
    """Numbers promised to a call that has yet to copy them out."""

    __slots__ = ("_c", "_cloexec", "_is_installed", "fds")

    def __init__(self, c: CTask, count: int, cloexec: bool) -> None:
        self._c = c
        self._cloexec = cloexec
        self._is_installed = False
        self.fds: list[int] = []
        for _ in range(count):
            fd = lib.fd_reserve(c, 0)
            if fd < 0:
                self._release()
                raise from_errno(-fd)
            self.fds.append(fd)

    def install(self, *descs: CDescription) -> None:
        """Takes over a reference of each."""
        self._is_installed = True
        for fd, desc in zip(self.fds, descs, strict=True):
            lib.fd_install(self._c, fd, desc, self._cloexec)

    def _release(self) -> None:
        for fd in reversed(self.fds):
            lib.fd_release(self._c, fd)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_exception: object) -> None:
        if not self._is_installed:
            self._release()

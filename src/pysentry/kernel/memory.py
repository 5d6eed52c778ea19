"""UserMemory: the workload's memory, read and written with the program's own protections (native/engine/memory.c).

What a pointer names is copied once and judged from the copy; another thread may change it at any moment.
"""

from __future__ import annotations

from pysentry.abi.errno import EFAULT, EINVAL, ENAMETOOLONG
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from struct import Struct
    from typing import Any

    from pysentry.abi.types import UserAddr
    from pysentry.platform.cdefs import CTask

IOV_MAX = 1024
_MAX_READ = 0x7FFFF000
_M64 = (1 << 64) - 1  # a field of a struct at the end of all addresses lies at their start, as in C


class UserMemory:
    """All addresses are the workload's; sizes in bytes. Everything raises EFAULT for memory that is not there."""

    __slots__ = ("_c",)

    def __init__(self, c: CTask) -> None:
        self._c = c

    def read(self, addr: UserAddr, size: int) -> bytes:
        """Exactly `size` bytes."""
        buffer = ffi.new("char[]", size or 1)
        if lib.um_read(self._c, addr & _M64, buffer, size) < 0:
            raise EFAULT(hex(addr))
        return bytes(ffi.buffer(buffer, size))

    def read_some(self, addr: UserAddr, size: int) -> bytes:
        """What can be read up to the first fault; EFAULT if that is nothing."""
        buffer = ffi.new("char[]", size or 1)
        moved = lib.um_read_some(self._c, addr & _M64, buffer, size)
        if moved < 0 or (moved == 0 and size):
            raise EFAULT(hex(addr))
        return bytes(ffi.buffer(buffer, moved))

    def write(self, addr: UserAddr, data: bytes | bytearray | memoryview) -> None:
        """All of `data`."""
        if lib.um_write(self._c, addr & _M64, ffi.from_buffer(data), len(data)) < 0:
            raise EFAULT(hex(addr))

    def write_some(self, addr: UserAddr, data: bytes | bytearray | memoryview) -> int:
        """Bytes written up to the first fault; EFAULT if that is none."""
        moved = lib.um_write_some(self._c, addr & _M64, ffi.from_buffer(data), len(data))
        if moved < 0 or (moved == 0 and len(data)):
            raise EFAULT(hex(addr))
        return int(moved)

    def read_cstr(self, addr: UserAddr, limit: int = 4096) -> bytes:
        """A NUL-terminated string, without the NUL. ENAMETOOLONG if there is none within `limit` bytes."""
        buffer = ffi.new("char[]", limit)
        length = lib.um_read_cstr(self._c, addr & _M64, buffer, limit)
        if length < 0:
            raise ENAMETOOLONG if length == -36 else EFAULT(hex(addr))
        return bytes(ffi.buffer(buffer, length))

    def read_struct(self, addr: UserAddr, layout: Struct) -> tuple[Any, ...]:
        return layout.unpack(self.read(addr, layout.size))

    def write_struct(self, addr: UserAddr, layout: Struct, *values: object) -> None:
        self.write(addr, layout.pack(*values))

    def read_iovecs(self, addr: UserAddr, count: int) -> list[tuple[int, int]]:
        """(address, length) pairs of a struct iovec array. EINVAL: too many, or a negative ssize_t."""
        if count < 0 or count > IOV_MAX:
            raise EINVAL("iovcnt")
        if not count:
            return []
        words = memoryview(self.read(addr, 16 * count)).cast("Q").tolist()
        vectors = list(zip(words[::2], words[1::2], strict=True))
        if sum(length for _, length in vectors) > 0x7FFFFFFFFFFFFFFF or any(length >> 63 for _, length in vectors):
            raise EINVAL("iov_len")
        return vectors

    def gather(self, vectors: Iterable[tuple[int, int]], limit: int = _MAX_READ) -> bytes:
        """The bytes of the vectors, at most `limit`; short at a fault, EFAULT if nothing could be read."""
        parts: list[bytes] = []
        for addr, length in vectors:
            length = min(length, limit)
            if not length:
                continue
            try:
                part = self.read_some(addr, length)
            except EFAULT:
                if parts:
                    break
                raise
            parts.append(part)
            limit -= len(part)
            if len(part) < length:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def scatter(self, vectors: Iterable[tuple[int, int]], data: bytes | bytearray | memoryview) -> int:
        """Writes `data` into the vectors: bytes placed; short at a fault, EFAULT if nothing could be written."""
        view = memoryview(data)
        done = 0
        for addr, length in vectors:
            part = view[done : done + length]
            if not part:
                if done >= len(view):
                    break
                continue
            try:
                moved = self.write_some(addr, part)
            except EFAULT:
                if done:
                    break
                raise
            done += moved
            if moved < len(part):
                break
        return done

"""What read, write and seek do on files: positions, limits, faults."""

from __future__ import annotations

import errno
import mmap
import os
from struct import Struct

import pytest

from pysentry.kernel.description import skip
from pysentry.platform.native import ffi
from tests.unit.kernel.calls import Call, address_of
from tests.unit.vfs.kernel_in_process import Kernel

SIGXFSZ = 25
RLIMIT_FSIZE = 1


@pytest.fixture
def file(kernel: Kernel) -> int:
    fd = kernel.open("/f", os.O_RDWR | os.O_CREAT)
    kernel.write(fd, b"0123456789")
    kernel.call("lseek", fd, 0, os.SEEK_SET)
    return fd


def test_skip_takes_bytes_from_the_front() -> None:
    assert list(skip([(100, 5), (200, 0), (300, 7)], 0)) == [(100, 5), (200, 0), (300, 7)]
    assert list(skip([(100, 5), (200, 3), (300, 7)], 6)) == [(201, 2), (300, 7)]
    assert list(skip([(100, 5)], 5)) == []


def test_two_opens_of_a_file_in_memory_have_their_own_positions(kernel: Kernel, file: int) -> None:
    other = kernel.open("/f", os.O_RDONLY)
    assert kernel.read(file, 4) == b"0123"
    assert kernel.read(other, 2) == b"01"
    assert kernel.read(file, 4) == b"4567"


def test_seek_refuses_what_is_before_the_file(kernel: Kernel, file: int) -> None:
    assert kernel.call("lseek", file, -2, os.SEEK_END) == 8
    with pytest.raises(OSError, match="EINVAL"):
        kernel.call("lseek", file, -9, os.SEEK_CUR)
    with pytest.raises(OSError, match="EINVAL"):
        kernel.call("lseek", file, 0, 9)
    assert kernel.call("lseek", file, 0, os.SEEK_CUR) == 8


def test_append_ignores_the_offset_of_pwrite_as_linux_does(kernel: Kernel, file: int) -> None:
    appending = kernel.open("/f", os.O_WRONLY | os.O_APPEND)
    assert kernel.call("pwrite64", appending, bytearray(b"x"), 1, 0) == 1
    assert kernel.read_file("/f") == b"0123456789x"


def test_a_read_into_memory_that_ends_is_short_and_the_position_follows(kernel: Kernel, file: int) -> None:
    with mmap.mmap(-1, 2 * mmap.PAGESIZE) as pages:
        start = int(ffi.cast("uintptr_t", ffi.from_buffer(pages)))
        host_mprotect(start + mmap.PAGESIZE)
        assert Call(kernel, "read", file, start + mmap.PAGESIZE - 4, 8).result == 4
        assert kernel.call("lseek", file, 0, os.SEEK_CUR) == 4
        assert Call(kernel, "read", file, start + mmap.PAGESIZE, 1).errno == errno.EFAULT
        assert kernel.call("lseek", file, 0, os.SEEK_CUR) == 4


def host_mprotect(address: int) -> None:
    import ctypes

    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0


def test_file_size_limit(kernel: Kernel, file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []
    monkeypatch.setattr(type(kernel.task), "send_signal", lambda _, signal: signals.append(signal))
    kernel.task.group.c.rlimit_cur[RLIMIT_FSIZE] = 12
    assert kernel.call("pwrite64", file, bytearray(b"abcdef"), 6, 10) == 2
    assert not signals
    with pytest.raises(OSError, match="EFBIG"):
        kernel.call("pwrite64", file, bytearray(b"z"), 1, 12)
    with pytest.raises(OSError, match="EFBIG"):
        kernel.call("ftruncate", file, 13)
    assert signals == [SIGXFSZ, SIGXFSZ]
    assert kernel.call("ftruncate", file, 3) == 0


@pytest.mark.parametrize("call", ["read", "write"])
def test_descriptors_that_only_name_a_place(kernel: Kernel, call: str) -> None:
    kernel.write_file("/f", b"")
    fd = kernel.open("/f", os.O_PATH)
    with pytest.raises(OSError, match="EBADF"):
        kernel.call(call, fd, bytearray(1), 1)


def test_directories_are_not_read(kernel: Kernel) -> None:
    fd = kernel.open("/", os.O_RDONLY)
    with pytest.raises(OSError, match="EISDIR"):
        kernel.call("read", fd, bytearray(1), 1)
    with pytest.raises(OSError, match="EBADF"):
        kernel.call("write", fd, bytearray(1), 1)


def test_vectors_are_filled_in_order(kernel: Kernel, file: int) -> None:
    first, second = bytearray(3), bytearray(4)
    vectors = bytearray(Struct("=QQQQ").pack(address_of(first), 3, address_of(second), 4))
    assert kernel.call("preadv", file, vectors, 2, 1, 0) == 7
    assert (first, second) == (b"123", b"4567")
    with pytest.raises(OSError, match="EINVAL"):
        kernel.call("preadv", file, vectors, 1025, 0, 0)


def test_copy_file_range_refuses_overlap(kernel: Kernel, file: int) -> None:
    begin, overlapping = bytearray(Struct("=q").pack(0)), bytearray(Struct("=q").pack(2))
    with pytest.raises(OSError, match="EINVAL"):
        kernel.call("copy_file_range", file, begin, file, overlapping, 5, 0)
    behind = bytearray(Struct("=q").pack(10))
    assert kernel.call("copy_file_range", file, begin, file, behind, 5, 0) == 5
    assert kernel.read_file("/f") == b"012345678901234"

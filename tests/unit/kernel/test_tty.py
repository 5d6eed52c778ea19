"""Terminals over real host pairs: reading in lines and raw, window size, the lock, hang-up."""

from __future__ import annotations

import errno
import os
import termios
from collections.abc import Iterator
from struct import Struct

import pytest

from pysentry.kernel import tty
from pysentry.platform.native import lib
from tests.unit.kernel.calls import Call
from tests.unit.vfs.kernel_in_process import Kernel

INT = Struct("=i")
TCGETS, TCSETS, TIOCGWINSZ, TIOCSWINSZ, TIOCSTI = 0x5401, 0x5402, 0x5413, 0x5414, 0x5412
TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER = 0x80045430, 0x40045431, 0x5441
TERMIOS = Struct("=IIIIB19s")
ICANON, ECHO = 2, 8


@pytest.fixture(autouse=True)
def pairs() -> Iterator[None]:
    """Host pairs, as the gofer would make them."""

    def open_pair() -> tuple[int, int, int]:
        master, slave = os.openpty()
        return int(os.ttyname(slave).rsplit("/", 1)[1]), master, slave

    tty.use_pair_opener(open_pair)
    yield
    assert not tty.ptys


@pytest.fixture
def ends(kernel: Kernel) -> Iterator[tuple[int, int]]:
    """(master, slave) as descriptors of the kernel's task; echo is off."""
    master = kernel.task.fd_table.alloc(tty.open_ptmx(kernel.task, None, os.O_RDWR))
    index = bytearray(4)
    kernel.call("ioctl", master, TIOCGPTN, index)
    kernel.call("ioctl", master, TIOCSPTLCK, bytearray(4))
    slave = kernel.task.fd_table.alloc(tty.open_pts(kernel.task, INT.unpack(index)[0], os.O_RDWR))
    change(kernel, slave, ECHO)
    yield master, slave
    if master in kernel.task.fd_table.open_fds():
        kernel.close(master)


def change(kernel: Kernel, fd: int, off: int, minimum: int = 1, tenths: int = 0) -> None:
    """Switches local modes off and sets VMIN and VTIME."""
    value = bytearray(36)
    kernel.call("ioctl", fd, TCGETS, value)
    iflag, oflag, cflag, lflag, line, characters = TERMIOS.unpack(value)
    changed = bytearray(characters)
    changed[termios.VMIN], changed[termios.VTIME] = minimum, tenths
    value[:] = TERMIOS.pack(iflag, oflag, cflag, lflag & ~off, line, bytes(changed))
    kernel.call("ioctl", fd, TCSETS, value)


def test_a_line_is_read_when_it_is_complete(kernel: Kernel, ends: tuple[int, int]) -> None:
    master, slave = ends
    call = Call(kernel, "read", slave, into := bytearray(10), 10)
    kernel.write(master, b"li")
    assert call.wake().is_waiting
    kernel.write(master, b"ne\n")
    assert call.wake().result == 5
    assert into[:5] == b"line\n"


def test_raw_reads_wait_for_vmin(kernel: Kernel, ends: tuple[int, int]) -> None:
    master, slave = ends
    change(kernel, slave, ICANON, minimum=3)
    call = Call(kernel, "read", slave, into := bytearray(10), 10)
    kernel.write(master, b"ab")
    assert call.wake().is_waiting
    assert call.deadline_ns is None
    kernel.write(master, b"cd")
    assert call.wake().result == 4
    assert into[:4] == b"abcd"


def test_raw_reads_between_bytes_and_without_minimum(kernel: Kernel, ends: tuple[int, int]) -> None:
    master, slave = ends
    change(kernel, slave, ICANON, minimum=3, tenths=5)
    call = Call(kernel, "read", slave, bytearray(10), 10)
    assert call.deadline_ns is None  # the clock starts with the first byte
    kernel.write(master, b"a")
    assert call.wake().deadline_ns is not None
    assert call.time_out().result == 1
    change(kernel, slave, ICANON, minimum=0, tenths=5)
    assert Call(kernel, "read", slave, bytearray(10), 10).time_out().result == 0
    change(kernel, slave, ICANON, minimum=0)
    assert kernel.read(slave, 10) == b""


def test_window_size_is_the_pairs(kernel: Kernel, ends: tuple[int, int]) -> None:
    master, slave = ends
    size = bytearray(Struct("=HHHH").pack(33, 77, 0, 0))
    kernel.call("ioctl", master, TIOCSWINSZ, size)
    seen = bytearray(8)
    kernel.call("ioctl", slave, TIOCGWINSZ, seen)
    assert seen == size


def test_a_locked_pair_cannot_be_opened(kernel: Kernel) -> None:
    c = tty.open_ptmx(kernel.task, None, os.O_RDWR)
    (index,) = tty.ptys
    with pytest.raises(tty.EIO):
        tty.open_pts(kernel.task, index, os.O_RDWR)
    with pytest.raises(tty.ENXIO):
        tty.open_pts(kernel.task, 987654, os.O_RDWR)
    lib.desc_unref(c)


def test_the_pair_ends_with_its_master(kernel: Kernel, ends: tuple[int, int]) -> None:
    master, slave = ends
    waiting = Call(kernel, "read", slave, bytearray(10), 10)
    kernel.close(master)
    assert not tty.ptys
    assert waiting.wake().result == 0
    assert Call(kernel, "write", slave, bytearray(b"x"), 1).errno == errno.EIO


def test_the_slave_is_opened_again_by_its_master(kernel: Kernel, ends: tuple[int, int]) -> None:
    master, slave = ends
    kernel.close(slave)
    again = kernel.call("ioctl", master, TIOCGPTPEER, os.O_RDWR | os.O_CLOEXEC)
    assert kernel.call("fcntl", again, 1, 0) == 1
    kernel.write(again, b"out")
    assert kernel.read(master, 10) == b"out"


def test_requests_that_are_refused(kernel: Kernel, ends: tuple[int, int]) -> None:
    for request, error in ((TIOCSTI, errno.EIO), (0x1234, errno.ENOTTY), (TIOCGPTPEER, errno.EIO)):
        assert Call(kernel, "ioctl", ends[1], request, bytearray(8)).errno == error

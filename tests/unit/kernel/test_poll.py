"""poll, select and epoll over real host descriptors."""

from __future__ import annotations

import errno
import os
import time
from struct import Struct

import pytest

from pysentry.kernel.poll import NO_WAIT, deadline_after, remaining
from pysentry.kernel.wait import Interrupted
from tests.unit.kernel.calls import Call
from tests.unit.kernel.test_pipe import open_pipe
from tests.unit.vfs.kernel_in_process import Kernel

POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL = 1, 4, 8, 16, 32
POLLFD = Struct("=iHH")
EVENT = Struct("=IQ")
ADD, DEL, MOD = 1, 2, 3


def pollfds(*entries: tuple[int, int]) -> bytearray:
    return bytearray(b"".join(POLLFD.pack(fd, events, 0xFFFF) for fd, events in entries))


def revents(table: bytearray) -> list[int]:
    return [seen for _, _, seen in POLLFD.iter_unpack(bytes(table))]


def test_deadlines() -> None:
    assert deadline_after(0, 0) == NO_WAIT
    assert remaining(deadline_after(5, 0))[0] in (4, 5)
    assert remaining(time.monotonic_ns() - 1) == (0, 0)
    assert deadline_after((1 << 63) - 1, 0) == (1 << 63) - 1
    for wrong in ((-1, 0), (0, -1), (0, 1_000_000_000)):
        with pytest.raises(Exception, match="timeout"):
            deadline_after(*wrong)


def test_poll_asks_the_host_and_knows_what_is_closed(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    table = pollfds((reader, POLLIN), (writer, POLLOUT), (77, POLLIN), (-3, POLLIN))
    assert kernel.call("poll", table, 4, 0) == 2
    assert revents(table) == [0, POLLOUT, POLLNVAL, 0]
    kernel.close(writer)
    table = pollfds((reader, 0))
    assert kernel.call("poll", table, 1, -1) == 1
    assert revents(table) == [POLLHUP]


def test_directories_and_files_are_always_ready(kernel: Kernel) -> None:
    kernel.write_file("/f", b"")
    table = pollfds((kernel.open("/", os.O_RDONLY), POLLIN | POLLOUT), (kernel.open("/f", os.O_RDONLY), POLLIN))
    assert kernel.call("poll", table, 2, -1) == 2
    assert revents(table) == [POLLIN | POLLOUT, POLLIN]


def test_poll_waits_wakes_and_times_out(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    call = Call(kernel, "poll", table := pollfds((reader, POLLIN)), 1, 1000)
    assert call.deadline_ns is not None
    assert call.wake().is_waiting
    kernel.write(writer, b"x")
    assert call.wake().result == 1
    assert revents(table) == [POLLIN]
    kernel.read(reader, 1)
    assert Call(kernel, "poll", pollfds((reader, POLLIN)), 1, 1000).time_out().result == 0
    assert Call(kernel, "poll", pollfds((reader, POLLIN)), 1, -1).interrupt().result is Interrupted


def test_what_remains_is_written_back(kernel: Kernel) -> None:
    timeout = bytearray(Struct("=qq").pack(100, 0))
    call = Call(kernel, "ppoll", None, 0, timeout, None, 0)
    assert call.interrupt().result is Interrupted
    seconds, nanoseconds = Struct("=qq").unpack(timeout)
    assert (seconds, nanoseconds) < (100, 0)
    assert seconds >= 98


def test_select_sets(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    read_set, write_set = bytearray((1 << reader).to_bytes(8, "little")), bytearray((1 << writer).to_bytes(8, "little"))
    assert kernel.call("select", writer + 1, read_set, write_set, None, None) == 1
    assert read_set == bytes(8)
    assert write_set[0] == 1 << writer
    with pytest.raises(OSError, match="EBADF"):
        kernel.call("select", 20, bytearray((1 << 19).to_bytes(8, "little")), None, None, None)
    with pytest.raises(OSError, match="EINVAL"):
        kernel.call("select", -1, None, None, None, None)


def test_a_hang_up_does_not_make_select_say_writable(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    kernel.close(writer)
    write_set = bytearray((1 << reader).to_bytes(8, "little"))
    call = Call(kernel, "select", reader + 1, None, write_set, None, None)
    assert call.is_waiting
    call.give_up()


# ---- epoll --------------------------------------------------------------------------------------------------------


def control(kernel: Kernel, epoll: int, operation: int, fd: int, events: int = POLLIN, data: int = 0) -> int:
    return kernel.call("epoll_ctl", epoll, operation, fd, bytearray(EVENT.pack(events, data)))


def wait(kernel: Kernel, epoll: int) -> list[tuple[int, int]]:
    events = bytearray(EVENT.size * 8)
    count = kernel.call("epoll_wait", epoll, events, 8, 0)
    return sorted(EVENT.iter_unpack(bytes(events[: count * EVENT.size])))


def test_epoll_gives_the_programs_data_back(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    epoll = kernel.call("epoll_create1", 0)
    control(kernel, epoll, ADD, reader, data=0xDEADBEEF12345678)
    assert wait(kernel, epoll) == []
    kernel.write(writer, b"x")
    assert wait(kernel, epoll) == [(POLLIN, 0xDEADBEEF12345678)]
    control(kernel, epoll, MOD, reader, data=5)
    assert wait(kernel, epoll) == [(POLLIN, 5)]
    control(kernel, epoll, DEL, reader)
    assert wait(kernel, epoll) == []


def test_epoll_errors(kernel: Kernel) -> None:
    reader, _ = open_pipe(kernel)
    epoll = kernel.call("epoll_create1", 0)
    kernel.write_file("/f", b"")
    cases = [
        (ADD, kernel.open("/f", os.O_RDONLY), "EPERM"),
        (ADD, epoll, "EINVAL"),
        (ADD, 99, "EBADF"),
        (MOD, reader, "ENOENT"),
        (DEL, reader, "ENOENT"),
        (9, reader, "EINVAL"),
    ]
    for operation, fd, name in cases:
        with pytest.raises(OSError, match=name):
            control(kernel, epoll, operation, fd)
    control(kernel, epoll, ADD, reader)
    with pytest.raises(OSError, match="EEXIST"):
        control(kernel, epoll, ADD, reader)
    with pytest.raises(OSError, match="EINVAL"):
        control(kernel, reader, ADD, epoll)


def test_a_descriptor_and_its_dup_are_two_members(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    copy = kernel.call("dup", reader)
    epoll = kernel.call("epoll_create1", 0)
    control(kernel, epoll, ADD, reader, data=1)
    control(kernel, epoll, ADD, copy, data=2)
    kernel.write(writer, b"x")
    assert wait(kernel, epoll) == [(POLLIN, 1), (POLLIN, 2)]
    control(kernel, epoll, DEL, reader)
    assert wait(kernel, epoll) == [(POLLIN, 2)]
    control(kernel, epoll, ADD, reader, data=3)
    assert wait(kernel, epoll) == [(POLLIN, 2), (POLLIN, 3)]


def test_the_last_close_ends_membership_a_close_before_it_does_not(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    copy = kernel.call("dup", reader)
    epoll = kernel.call("epoll_create1", 0)
    control(kernel, epoll, ADD, reader, data=1)
    control(kernel, epoll, ADD, copy, data=2)
    kernel.write(writer, b"x")
    kernel.close(reader)
    assert wait(kernel, epoll) == [(POLLIN, 1), (POLLIN, 2)]
    kernel.close(copy)
    assert wait(kernel, epoll) == []
    again, again_writer = open_pipe(kernel)
    control(kernel, epoll, ADD, again, data=4)
    kernel.write(again_writer, b"y")
    assert wait(kernel, epoll) == [(POLLIN, 4)]


def test_an_epoll_that_waits_ends_with_eintr(kernel: Kernel) -> None:
    epoll = kernel.call("epoll_create1", 0)
    assert Call(kernel, "epoll_wait", epoll, bytearray(12), 1, -1).interrupt().errno == errno.EINTR
    assert Call(kernel, "epoll_wait", epoll, bytearray(12), 1, 10).time_out().result == 0
    with pytest.raises(OSError, match="EINVAL"):
        kernel.call("epoll_wait", epoll, bytearray(12), 0, 0)


def test_epoll_in_epoll(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    inner, outer = kernel.call("epoll_create1", 0), kernel.call("epoll_create1", 0)
    control(kernel, inner, ADD, reader)
    control(kernel, outer, ADD, inner, data=7)
    kernel.write(writer, b"x")
    assert wait(kernel, outer) == [(POLLIN, 7)]
    with pytest.raises(OSError, match="ELOOP"):
        control(kernel, inner, ADD, outer)

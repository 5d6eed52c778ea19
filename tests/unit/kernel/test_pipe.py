"""Pipes: waiting, partial progress, SIGPIPE; FIFOs: who waits for whom at open."""

from __future__ import annotations

import errno
import fcntl
import os
from struct import Struct

import pytest

from pysentry.kernel import pipe
from pysentry.kernel.wait import Interrupted
from tests.unit.kernel.calls import Call
from tests.unit.vfs.kernel_in_process import Kernel

POLLIN, POLLOUT = 1, 4
SIGPIPE = 13


def open_pipe(kernel: Kernel, flags: int = 0) -> tuple[int, int]:
    ends = bytearray(8)
    kernel.call("pipe2", ends, flags)
    reader, writer = Struct("=ii").unpack(ends)
    return reader, writer


def test_an_empty_pipe_waits_for_a_writer(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    into = bytearray(8)
    call = Call(kernel, "read", reader, into, 8)
    assert [events for _, events in call.wants] == [POLLIN]
    assert call.wake().is_waiting  # spurious
    kernel.write(writer, b"hello")
    assert call.wake().result == 5
    assert into[:5] == b"hello"


def test_the_end_of_the_last_writer_is_the_end_of_the_file(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    call = Call(kernel, "read", reader, bytearray(8), 8)
    kernel.close(writer)
    assert call.wake().result == 0


def test_nonblocking_is_virtual(kernel: Kernel) -> None:
    reader, _ = open_pipe(kernel, os.O_NONBLOCK)
    assert Call(kernel, "read", reader, bytearray(8), 8).errno == errno.EAGAIN
    kernel.call("fcntl", reader, fcntl.F_SETFL, 0)
    waiting = Call(kernel, "read", reader, bytearray(8), 8)
    assert waiting.is_waiting
    waiting.give_up()


def test_a_blocking_write_writes_all_of_it(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    call = Call(kernel, "write", writer, bytearray(200_000), 200_000)
    seen = 0
    while call.is_waiting:
        assert [events for _, events in call.wants] == [POLLOUT]
        seen += len(kernel.read(reader, 65536))
        call.wake()
    assert call.result == 200_000
    while seen < 200_000:
        seen += len(kernel.read(reader, 65536))


def test_a_signal_ends_a_write_with_what_was_written(kernel: Kernel) -> None:
    _, writer = open_pipe(kernel)
    assert Call(kernel, "write", writer, bytearray(200_000), 200_000).interrupt().result == 65536
    assert Call(kernel, "write", writer, bytearray(1), 1).interrupt().result is Interrupted


def test_nobody_reads(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []
    monkeypatch.setattr(type(kernel.task), "send_signal", lambda _, signal: signals.append(signal))
    reader, writer = open_pipe(kernel)
    kernel.close(reader)
    with pytest.raises(OSError, match="EPIPE"):
        kernel.write(writer, b"x")
    assert signals == [SIGPIPE]


def test_a_descriptor_closed_while_waiting_stays_until_the_call_ends(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    into = bytearray(8)
    call = Call(kernel, "read", reader, into, 8)
    kernel.close(reader)
    kernel.write(writer, b"late")
    assert call.wake().result == 4


def test_numbers_come_back_when_they_cannot_be_copied_out(kernel: Kernel) -> None:
    with pytest.raises(OSError, match="EFAULT"):
        kernel.call("pipe2", 8, 0)
    assert open_pipe(kernel) == (0, 1)


def test_flags(kernel: Kernel) -> None:
    with pytest.raises(OSError, match="EINVAL"):
        kernel.call("pipe2", bytearray(8), os.O_APPEND)
    with pytest.raises(OSError, match="ENOPKG"):
        kernel.call("pipe2", bytearray(8), os.O_EXCL)  # O_NOTIFICATION_PIPE
    reader, _ = open_pipe(kernel, os.O_CLOEXEC)
    assert kernel.call("fcntl", reader, fcntl.F_GETFD, 0) == 1


def test_tee_leaves_what_it_copies(kernel: Kernel) -> None:
    reader, writer = open_pipe(kernel)
    other_reader, other_writer = open_pipe(kernel)
    kernel.write(writer, b"abc")
    assert kernel.call("tee", reader, other_writer, 2, 0) == 2
    assert kernel.read(other_reader, 8) == b"ab"
    assert kernel.read(reader, 8) == b"abc"


# ---- FIFOs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def fifo_directory(tmp_path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    monkeypatch.setattr(pipe, "_fifo_directory", fd)
    yield tmp_path
    os.close(fd)


def open_call(kernel: Kernel, flags: int) -> Call:
    return Call(kernel, "openat", -100, b"/fifo", flags, 0)


def test_a_reader_waits_for_a_writer(kernel: Kernel, fifo_directory) -> None:  # type: ignore[no-untyped-def]
    kernel.call("mknod", "/fifo", 0o010600, 0)
    reading = open_call(kernel, os.O_RDONLY)
    assert reading.is_waiting
    writer = open_call(kernel, os.O_WRONLY).result
    assert isinstance(writer, int)
    reader = reading.wake().result
    assert isinstance(reader, int)
    kernel.write(writer, b"through")
    assert kernel.read(reader, 100) == b"through"
    kernel.close(writer)
    assert kernel.read(reader, 100) == b""
    again = open_call(kernel, os.O_WRONLY | os.O_NONBLOCK).result
    assert isinstance(again, int)
    kernel.write(again, b"second life")
    assert kernel.read(reader, 100) == b"second life"
    kernel.close(again)
    kernel.close(reader)
    assert not list(fifo_directory.iterdir())


def test_a_writer_waits_for_a_reader(kernel: Kernel, fifo_directory) -> None:  # type: ignore[no-untyped-def]
    kernel.call("mknod", "/fifo", 0o010600, 0)
    writing = open_call(kernel, os.O_WRONLY)
    assert writing.is_waiting
    reader = open_call(kernel, os.O_RDONLY).result
    assert isinstance(reader, int)
    kernel.close(reader)  # came and went: that counts
    assert isinstance(writing.wake().result, int)


def test_opens_that_do_not_wait(kernel: Kernel, fifo_directory) -> None:  # type: ignore[no-untyped-def]
    kernel.call("mknod", "/fifo", 0o010600, 0)
    assert open_call(kernel, os.O_WRONLY | os.O_NONBLOCK).errno == errno.ENXIO
    both = open_call(kernel, os.O_RDWR).result
    assert isinstance(both, int)
    kernel.write(both, b"self")
    assert kernel.read(both, 10) == b"self"
    assert isinstance(open_call(kernel, os.O_RDONLY | os.O_NONBLOCK).result, int)


def test_an_open_that_a_signal_ends_leaves_nothing(kernel: Kernel, fifo_directory) -> None:  # type: ignore[no-untyped-def]
    kernel.call("mknod", "/fifo", 0o010600, 0)
    assert open_call(kernel, os.O_RDONLY).interrupt().result is Interrupted
    assert not list(fifo_directory.iterdir())
    assert open_call(kernel, os.O_WRONLY | os.O_NONBLOCK).errno == errno.ENXIO

"""AF_INET sockets on loopback, options, and what is refused."""

from __future__ import annotations

import errno
import os
import socket as host_socket
from struct import Struct

import pytest

from pysentry.abi.errno import EACCES
from pysentry.kernel.description import description_of
from pysentry.net import policy
from pysentry.net.socket import AF_INET, Socket
from pysentry.platform.native import lib
from tests.unit.kernel.calls import Call
from tests.unit.vfs.kernel_in_process import Kernel

STREAM, DGRAM, RAW = 1, 2, 3
INT = Struct("=i")
SOL_SOCKET, SOL_TCP, SO_LINGER, SO_RCVTIMEO, TCP_NODELAY = 1, 6, 13, 20, 1


def loopback(port: int = 0) -> tuple[bytearray, int]:
    return bytearray(Struct("=H").pack(AF_INET) + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)), 16


def port_of(kernel: Kernel, fd: int) -> int:
    address, size = bytearray(16), bytearray(INT.pack(16))
    kernel.call("getsockname", fd, address, size)
    return int.from_bytes(address[2:4], "big")


def listener(kernel: Kernel) -> tuple[int, int]:
    fd = kernel.call("socket", AF_INET, STREAM, 0)
    kernel.call("bind", fd, *loopback())
    kernel.call("listen", fd, 5)
    return fd, port_of(kernel, fd)


def test_a_connection_over_loopback(kernel: Kernel) -> None:
    server, port = listener(kernel)
    waiting = Call(kernel, "accept4", server, None, None, os.O_CLOEXEC)
    assert waiting.is_waiting
    client = kernel.call("socket", AF_INET, STREAM, 0)
    connecting = Call(kernel, "connect", client, *loopback(port))
    assert connecting.result == 0 or connecting.wake().result == 0
    accepted = waiting.wake().result
    assert isinstance(accepted, int)
    assert kernel.call("fcntl", accepted, 1, 0) == 1
    reading = Call(kernel, "recvfrom", accepted, into := bytearray(8), 8, 0, None, None)
    kernel.call("sendto", client, bytearray(b"hello"), 5, 0, None, 0)
    assert reading.wake().result == 5
    assert into[:5] == b"hello"
    kernel.call("shutdown", client, 1)
    assert kernel.read(accepted, 8) == b""


def test_wait_for_all(kernel: Kernel) -> None:
    server, port = listener(kernel)
    with host_socket.create_connection(("127.0.0.1", port)) as outside:
        accepted = kernel.call("accept", server, None, None)
        outside.sendall(b"abc")
        reading = Call(kernel, "recvfrom", accepted, into := bytearray(6), 6, 0x100, None, None)
        assert reading.is_waiting
        outside.sendall(b"def")
        assert reading.wake().result == 6
        assert into == b"abcdef"


def test_nobody_listens(kernel: Kernel) -> None:
    server, port = listener(kernel)
    kernel.close(server)
    call = Call(kernel, "connect", kernel.call("socket", AF_INET, STREAM, 0), *loopback(port))
    assert (call.wake() if call.is_waiting else call).errno == errno.ECONNREFUSED


def test_timeouts_end_with_eagain_and_are_never_restarted(kernel: Kernel) -> None:
    fd = kernel.call("socket", AF_INET, DGRAM, 0)
    kernel.call("bind", fd, *loopback())
    kernel.call("setsockopt", fd, SOL_SOCKET, SO_RCVTIMEO, bytearray(Struct("=qq").pack(5, 0)), 16)
    call = Call(kernel, "recvfrom", fd, bytearray(8), 8, 0, None, None)
    assert call.deadline_ns is not None
    assert call.time_out().errno == errno.EAGAIN
    assert Call(kernel, "recvfrom", fd, bytearray(8), 8, 0, None, None).interrupt().errno == errno.EINTR
    assert Call(kernel, "read", fd, bytearray(8), 8).interrupt().errno == errno.EINTR


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "error"),
    [(38, RAW, 0, errno.EAFNOSUPPORT), (17, RAW, 0, errno.EAFNOSUPPORT), (-1, STREAM, 0, errno.EAFNOSUPPORT),
     (AF_INET, RAW, 1, errno.EPERM), (AF_INET, RAW, 0, errno.EPROTONOSUPPORT),
     (AF_INET, STREAM | 0x100, 0, errno.EINVAL), (1, 9, 0, errno.ESOCKTNOSUPPORT)],
)  # fmt: skip
def test_sockets_that_are_not_to_be_had(kernel: Kernel, family: int, kind: int, protocol: int, error: int) -> None:
    assert Call(kernel, "socket", family, kind, protocol).errno == error


def test_options(kernel: Kernel) -> None:
    fd = kernel.call("socket", AF_INET, STREAM, 0)
    one, value, size = bytearray(INT.pack(1)), bytearray(4), bytearray(INT.pack(4))
    kernel.call("setsockopt", fd, SOL_TCP, TCP_NODELAY, one, 4)
    kernel.call("getsockopt", fd, SOL_TCP, TCP_NODELAY, value, size)
    assert value == one
    for level, option, name in ((SOL_SOCKET, 26, "ENOPROTOOPT"), (SOL_SOCKET, 36, "EPERM"), (99, 1, "ENOPROTOOPT")):
        with pytest.raises(OSError, match=name):
            kernel.call("setsockopt", fd, level, option, one, 4)


def test_a_lingering_close_never_reaches_the_host(kernel: Kernel) -> None:
    fd = kernel.call("socket", AF_INET, STREAM, 0)
    linger = bytearray(Struct("=ii").pack(1, 30))
    kernel.call("setsockopt", fd, SOL_SOCKET, SO_LINGER, linger, 8)
    value, size = bytearray(8), bytearray(INT.pack(8))
    kernel.call("getsockopt", fd, SOL_SOCKET, SO_LINGER, value, size)
    assert value == linger
    behind = description_of(lib.fd_get(kernel.task.c, fd))
    assert isinstance(behind, Socket)
    with host_socket.socket(fileno=os.dup(behind.c.host_fd)) as host:
        assert host.getsockopt(SOL_SOCKET, SO_LINGER, 8) == bytes(8)


def test_the_egress_policy_is_asked(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(family: int, address: bytes, is_sending: bool) -> None:
        asked.append((family, address[4:8], is_sending))
        raise EACCES("policy")

    monkeypatch.setattr(policy, "check", refuse)
    assert Call(kernel, "connect", kernel.call("socket", AF_INET, STREAM, 0), *loopback(80)).errno == errno.EACCES
    datagrams = kernel.call("socket", AF_INET, DGRAM, 0)
    assert Call(kernel, "sendto", datagrams, bytearray(b"x"), 1, 0, *loopback(53)).errno == errno.EACCES
    assert asked == [(AF_INET, bytes([127, 0, 0, 1]), is_sending) for is_sending in (False, True)]

"""AF_UNIX: names, connections, credentials and descriptors in messages, over real host sockets."""

from __future__ import annotations

import errno
import os
from struct import Struct

import pytest

from pysentry.kernel.description import POLLHUP
from pysentry.net import rights, unix
from tests.unit.kernel.calls import Call, address_of
from tests.unit.kernel.test_pipe import open_pipe
from tests.unit.vfs.kernel_in_process import Kernel

AF_UNIX, STREAM, DGRAM, SEQPACKET = 1, 1, 2, 5
SOL_SOCKET, SO_PASSCRED, SO_PEERCRED, SCM_RIGHTS, SCM_CREDENTIALS = 1, 16, 17, 1, 2
MSG_CTRUNC, MSG_PEEK = 8, 2
MSGHDR = Struct("=QI4xQQQQi4x")
INTS = Struct("=iii")


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[int, object]:
    """There is no engine that watches tickets: the test rings."""
    callbacks: dict[int, object] = {}
    monkeypatch.setattr(rights, "watch", lambda fd, events, callback: callbacks.__setitem__(fd, callback))
    monkeypatch.setattr(rights, "unwatch", lambda fd: callbacks.pop(fd, None))
    monkeypatch.setattr(unix, "_are_credentials_wanted", False)
    return callbacks


def ring(watched: dict[int, object]) -> None:
    """Calls back for the tickets that hung up, as the loop does."""
    import select

    for fd, callback in list(watched.items()):
        poll = select.poll()
        poll.register(fd, 0)
        if poll.poll(0):
            callback(POLLHUP)  # type: ignore[operator]


def named(path: bytes) -> tuple[bytearray, int]:
    address = bytearray(Struct("=H").pack(AF_UNIX) + path)
    return address, len(address)


def socket(kernel: Kernel, kind: int = STREAM) -> int:
    return kernel.call("socket", AF_UNIX, kind, 0)


def pair(kernel: Kernel, kind: int = STREAM) -> tuple[int, int]:
    ends = bytearray(8)
    kernel.call("socketpair", AF_UNIX, kind, 0, ends)
    first, second = Struct("=ii").unpack(ends)
    return first, second


def name_of(kernel: Kernel, fd: int, call: str = "getsockname") -> bytes:
    address, size = bytearray(128), bytearray(Struct("=i").pack(128))
    kernel.call(call, fd, address, size)
    return bytes(address[2 : Struct("=i").unpack(size)[0]])


def listener(kernel: Kernel, path: bytes = b"/s", kind: int = STREAM) -> int:
    fd = socket(kernel, kind)
    kernel.call("bind", fd, *named(path))
    kernel.call("listen", fd, 1)
    return fd


def send(kernel: Kernel, fd: int, data: bytes, control: bytes = b"") -> Call:
    buffer, extra = bytearray(data), bytearray(control)
    vector = bytearray(Struct("=QQ").pack(address_of(buffer), len(data)))
    header = MSGHDR.pack(0, 0, address_of(vector), 1, address_of(extra) if control else 0, len(control), 0)
    call = Call(kernel, "sendmsg", fd, bytearray(header), 0)
    call._kept += [buffer, extra, vector]
    return call


def receive(kernel: Kernel, fd: int, room: int = 128, flags: int = 0) -> tuple[bytes, bytes, int]:
    buffer, extra = bytearray(100), bytearray(room)
    vector = bytearray(Struct("=QQ").pack(address_of(buffer), 100))
    header = bytearray(MSGHDR.pack(0, 0, address_of(vector), 1, address_of(extra) if room else 0, room, 0))
    count = kernel.call("recvmsg", fd, header, flags)
    _, _, _, _, _, used, message_flags = MSGHDR.unpack(header)
    return bytes(buffer[:count]), bytes(extra[:used]), message_flags


def rights_of(*fds: int) -> bytes:
    return rights.pack(SOL_SOCKET, SCM_RIGHTS, b"".join(Struct("=i").pack(fd) for fd in fds))


# ---- names --------------------------------------------------------------------------------------------------------


def test_a_bound_name_is_a_socket_in_the_tree_and_nowhere_else(kernel: Kernel) -> None:
    fd = listener(kernel, b"/s")
    assert kernel.stat("/s").mode & 0o170000 == 0o140000
    assert name_of(kernel, fd) == b"/s\0"
    again = socket(kernel)
    with pytest.raises(OSError, match="EADDRINUSE"):
        kernel.call("bind", again, *named(b"/s"))
    with pytest.raises(OSError, match="EINVAL"):
        kernel.call("bind", fd, *named(b"/other"))
    assert not os.path.exists("/s")


def test_connection_and_names_of_both_sides(kernel: Kernel) -> None:
    server, client = listener(kernel), socket(kernel)
    kernel.call("bind", client, *named(b"/client"))
    assert Call(kernel, "connect", client, *named(b"/s\0garbage")).result == 0
    accepted = kernel.call("accept", server, None, None)
    assert name_of(kernel, client, "getpeername") == b"/s\0"
    assert name_of(kernel, accepted) == b"/s\0"
    assert name_of(kernel, accepted, "getpeername") == b"/client\0"
    kernel.write(client, b"hello")
    assert kernel.read(accepted, 10) == b"hello"
    kernel.close(client)
    assert kernel.read(accepted, 10) == b""
    assert name_of(kernel, accepted, "getpeername") == b"/client\0"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (b"/nothing", errno.ENOENT),
        (b"/file", errno.ECONNREFUSED),
        (b"\0abstract", errno.ECONNREFUSED),
        (b"/dgram", errno.EPROTOTYPE),
        (b"/stale", errno.ECONNREFUSED),
        (b"/bound", errno.ECONNREFUSED),
        (b"", errno.EINVAL),
        (b"x" * 109, errno.EINVAL),
    ],
)
def test_connections_that_cannot_be(kernel: Kernel, path: bytes, error: int) -> None:
    kernel.write_file("/file", b"")
    kernel.call("bind", socket(kernel, DGRAM), *named(b"/dgram"))
    kernel.call("bind", socket(kernel), *named(b"/bound"))
    stale = listener(kernel, b"/stale")
    kernel.close(stale)
    assert Call(kernel, "connect", socket(kernel), *named(path)).errno == error


def test_a_full_queue_waits_for_accept(kernel: Kernel) -> None:
    server = listener(kernel)
    for _ in range(2):
        assert Call(kernel, "connect", socket(kernel), *named(b"/s")).result == 0
    waiting = Call(kernel, "connect", socket(kernel), *named(b"/s"))
    assert waiting.is_waiting
    impatient = kernel.call("socket", AF_UNIX, STREAM | os.O_NONBLOCK, 0)
    assert Call(kernel, "connect", impatient, *named(b"/s")).errno == errno.EAGAIN
    kernel.call("accept", server, None, None)
    assert waiting.wake().result == 0
    late = Call(kernel, "connect", socket(kernel), *named(b"/s"))
    kernel.close(server)
    assert late.wake().errno == errno.ECONNREFUSED


def test_abstract_names_are_per_type_and_end_with_their_socket(kernel: Kernel) -> None:
    server = listener(kernel, b"\0name")
    kernel.call("bind", socket(kernel, DGRAM), *named(b"\0name"))
    assert name_of(kernel, server) == b"\0name"
    assert Call(kernel, "connect", socket(kernel), *named(b"\0name")).result == 0
    kernel.close(server)
    assert name_of(kernel, listener(kernel, b"\0name")) == b"\0name"


def test_autobind(kernel: Kernel) -> None:
    fd = socket(kernel)
    kernel.call("bind", fd, *named(b""))
    assert len(name_of(kernel, fd)) == 6


def test_datagrams_say_who_sent_them_also_when_the_sender_is_gone(kernel: Kernel) -> None:
    receiver, sender = socket(kernel, DGRAM), socket(kernel, DGRAM)
    kernel.call("bind", receiver, *named(b"/r"))
    kernel.call("bind", sender, *named(b"/sender"))
    for _ in range(2):
        assert Call(kernel, "sendto", sender, bytearray(b"hi"), 2, 0, *named(b"/r")).result == 2
    address, size = bytearray(128), bytearray(Struct("=i").pack(128))
    kernel.call("recvfrom", receiver, bytearray(10), 10, 0, address, size)
    assert bytes(address[2 : Struct("=i").unpack(size)[0]]) == b"/sender\0"
    kernel.close(sender)
    kernel.call("recvfrom", receiver, bytearray(10), 10, 0, address, size)
    assert bytes(address[2 : Struct("=i").unpack(size)[0]]) == b"/sender\0"


# ---- descriptors and credentials -------------------------------------------------------------------------------


def test_a_descriptor_travels_and_is_the_same_description(kernel: Kernel, watched: dict[int, object]) -> None:
    first, second = pair(kernel)
    reader, writer = open_pipe(kernel)
    assert send(kernel, first, b"x", rights_of(writer)).result == 1
    kernel.close(writer)
    ring(watched)
    data, control, _ = receive(kernel, second)
    (_, _, numbers), = rights.parse(control)
    (arrived,) = Struct("=i").unpack(numbers)
    assert data == b"x"
    kernel.write(arrived, b"through")
    assert kernel.read(reader, 10) == b"through"
    ring(watched)
    assert not watched
    kernel.close(arrived)
    assert kernel.read(reader, 10) == b""


def test_descriptors_that_nobody_takes_are_closed(kernel: Kernel, watched: dict[int, object]) -> None:
    first, second = pair(kernel)
    reader, writer = open_pipe(kernel)
    send(kernel, first, b"x", rights_of(writer))
    kernel.close(writer)
    assert kernel.read(second, 10) == b"x"  # read(2) drops them
    ring(watched)
    assert kernel.read(reader, 10) == b""
    reader, writer = open_pipe(kernel)
    send(kernel, first, b"x", rights_of(writer))
    kernel.close(writer)
    kernel.close(second)
    ring(watched)
    assert kernel.read(reader, 10) == b""


def test_too_little_room(kernel: Kernel, watched: dict[int, object]) -> None:
    first, second = pair(kernel)
    send(kernel, first, b"x", rights_of(0, 1, first))
    _, control, flags = receive(kernel, second, room=16 + 2 * 4)
    assert flags & MSG_CTRUNC
    ((_, _, numbers),) = rights.parse(control)
    assert len(numbers) == 8
    send(kernel, first, b"y", rights_of(0))
    assert receive(kernel, second, room=0) == (b"y", b"", MSG_CTRUNC)
    ring(watched)
    assert not watched


def test_peeking_takes_a_copy(kernel: Kernel, watched: dict[int, object]) -> None:
    first, second = pair(kernel)
    send(kernel, first, b"x", rights_of(0))
    for flags in (MSG_PEEK, 0):
        data, control, _ = receive(kernel, second, flags=flags)
        assert data == b"x"
        assert len(rights.parse(control)) == 1
    ring(watched)
    assert not watched


@pytest.mark.parametrize(
    ("control", "error"),
    [
        (rights_of(99), errno.EBADF),
        (rights_of(*[0] * 254), errno.EINVAL),
        (rights.pack(SOL_SOCKET, 77, b""), errno.EINVAL),
        (rights.pack(SOL_SOCKET, SCM_CREDENTIALS, b"short"), errno.EINVAL),
    ],
)
def test_control_messages_that_are_refused(kernel: Kernel, control: bytes, error: int) -> None:
    first, _ = pair(kernel)
    assert send(kernel, first, b"x", control).errno == error
    assert not rights._tickets


def test_credentials_are_the_sandboxs(kernel: Kernel) -> None:
    kernel._group.ns_tgid = 17
    kernel.become(1000, 100)
    first, second = pair(kernel)
    value, size = bytearray(12), bytearray(Struct("=i").pack(12))
    kernel.call("getsockopt", first, SOL_SOCKET, SO_PEERCRED, value, size)
    assert INTS.unpack(value) == (17, 1000, 100)
    kernel.call("setsockopt", second, SOL_SOCKET, SO_PASSCRED, bytearray(Struct("=i").pack(1)), 4)
    kernel.write(first, b"x")
    ((_, kind, data),) = rights.parse(receive(kernel, second)[1])
    assert (kind, INTS.unpack(data)) == (SCM_CREDENTIALS, (17, 1000, 100))
    forged = rights.pack(SOL_SOCKET, SCM_CREDENTIALS, INTS.pack(17, 0, 100))
    assert send(kernel, first, b"x", forged).errno == errno.EPERM


def test_who_connects_is_known_to_who_accepts(kernel: Kernel) -> None:
    kernel._group.ns_tgid = 17
    server, client = listener(kernel), socket(kernel)
    kernel.become(0, 6)
    Call(kernel, "connect", client, *named(b"/s"))
    accepted = kernel.call("accept", server, None, None)
    value, size = bytearray(12), bytearray(Struct("=i").pack(12))
    kernel.call("getsockopt", accepted, SOL_SOCKET, SO_PEERCRED, value, size)
    assert INTS.unpack(value) == (17, 0, 6)


def test_nothing_is_kept_of_closed_sockets(kernel: Kernel) -> None:
    before = (len(unix._all), len(unix._by_inode), len(unix._by_abstract), len(unix._by_host_name))
    for fd in (listener(kernel, b"/s"), listener(kernel, b"\0a"), *pair(kernel)):
        kernel.close(fd)
    assert (len(unix._all), len(unix._by_inode), len(unix._by_abstract), len(unix._by_host_name)) == before

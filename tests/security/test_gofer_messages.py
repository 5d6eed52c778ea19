"""Bytes that are no requests: the gofer answers with an error or exits, the client gives up, and nobody crashes."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gofer import protocol
from gofer._native import ffi, lib
from gofer.protocol import GoferError
from gofer.tree import Tree
from tests.harness.patience import PATIENCE_S
from tests.security.gofer_requests import requests_with
from tests.unit.gofer.harness import fork_gofer, gofer, open_directory


@pytest.fixture
def place() -> Iterator[Path]:
    with open_directory() as path:
        (path / "tree/dir/sub").mkdir(parents=True)
        (path / "tree/dir/sub/file").write_text("public")
        yield path


def raw_gofer(*trees: Tree) -> tuple[int, socket.socket]:
    pid, sock = fork_gofer(trees)
    sock.settimeout(PATIENCE_S)
    return pid, sock


def message(op: int, payload: bytes, *, request_id: int = 7, length: int | None = None, error: int = 0) -> bytes:
    size = protocol.HEADER.size + len(payload) if length is None else length
    return protocol.HEADER.pack(size, request_id, op, 0, error) + payload


HELLO = message(protocol.HELLO, protocol.HELLO_REQUEST.pack(protocol.VERSION, 0))


def ask(sock: socket.socket, data: bytes) -> tuple[int, bytes] | None:
    """Sends bytes; the answer's errno and body, or None when the gofer hung up."""
    try:
        sock.send(data)
        reply, fds, _, _ = socket.recv_fds(sock, protocol.MESSAGE_MAX, 4)
    except (BrokenPipeError, ConnectionResetError):
        return None
    for fd in fds:
        os.close(fd)
    if not reply:
        return None
    length, request_id, op, cpu, code = protocol.HEADER.unpack_from(reply)
    assert length == len(reply)
    assert (request_id, op, cpu) == (*struct.unpack_from("<IH", data, 4), 0)
    assert 0 <= code < 4096
    assert not (code and fds)
    return code, reply[protocol.HEADER.size :]


def exit_status(pid: int, sock: socket.socket) -> int:
    sock.close()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_nothing_is_answered_before_hello(place: Path) -> None:
    pid, sock = raw_gofer(Tree(str(place / "tree")))
    for op in range(2, 22):
        assert ask(sock, message(op, protocol.PATH.pack(0, 0))) == (errno.EPROTO, b"")
    newer = protocol.HELLO_REQUEST.pack(protocol.VERSION + 1, 0)
    assert ask(sock, message(protocol.HELLO, newer)) == (errno.EPROTONOSUPPORT, b"")
    assert ask(sock, message(protocol.WALK, protocol.WALK_REQUEST.pack(0, 0, 0, 0))) == (errno.EPROTO, b"")
    answer = ask(sock, HELLO)
    assert answer is not None
    assert answer[0] == 0
    assert exit_status(pid, sock) == 0


@pytest.mark.parametrize("data", [b"x", b"x" * 15], ids=["1 byte", "15 bytes"])
def test_less_than_a_header_ends_it(place: Path, data: bytes) -> None:
    pid, sock = raw_gofer(Tree(str(place / "tree")))
    assert ask(sock, HELLO) is not None
    sock.send(data)
    assert sock.recv(100) == b""
    assert exit_status(pid, sock) == 1


def test_malformed_messages_get_an_error_and_the_next_request_an_answer(place: Path) -> None:
    pid, sock = raw_gofer(Tree(str(place / "tree"), writable=True))
    assert ask(sock, HELLO) is not None
    good = message(protocol.WALK, protocol.WALK_REQUEST.pack(0, 3, 0, 0) + b"dir")
    for op, payload in requests_with(b"dir/sub/file"):
        for bad in (
            message(op, payload, length=0),
            message(op, payload, length=len(payload)),
            message(op, payload, length=0xFFFFFFFF),
            message(op, payload + b"\0"),
            message(op, payload[:-1]),
            message(op, payload[:4]),
            message(op, b""),
            message(op, payload + b"x" * (protocol.MESSAGE_MAX - 16 - len(payload))),
            message(op, payload + b"x" * (protocol.MESSAGE_MAX - 15 - len(payload))),
            message(op, payload + b"x" * (100_000 - len(payload))),
        ):
            answer = ask(sock, bad)
            assert answer is not None
            assert answer[0] == errno.EPROTO
        for number in (1, 255, 256, 0x7FFFFFFF, 0xFFFFFFFF):
            assert ask(sock, message(op, number.to_bytes(4, "little") + payload[4:])) == (errno.EINVAL, b"")
        for length in (0xFFFFFFFF, 0x80000000, 0xFFFFFFF0, 4096, 65536):
            answer = ask(sock, message(op, payload[:4] + length.to_bytes(4, "little") + payload[8:]))
            assert answer is not None
            assert answer[0] == errno.EPROTO
        answer = ask(sock, good)
        assert answer is not None
        assert answer[0] == 0
    for op in (0, 22, 100, 0xFFFF):
        assert ask(sock, message(op, b"")) == (errno.ENOSYS, b"")
    assert (place / "tree/dir/sub/file").read_text() == "public"
    assert exit_status(pid, sock) == 0


def test_the_longest_paths(place: Path) -> None:
    with gofer(Tree(str(place / "tree"))) as client:
        walk = client.walk(0, b"a/" * 2047 + b"a")
        assert (walk.stop, walk.attrs) == (errno.ENOENT, [])
        for path in (b"a" * 4096, b"a" * 60_000):
            with pytest.raises(GoferError) as error:
                client.walk(0, path)
            assert error.value.errno == errno.ENAMETOOLONG


def test_descriptors_sent_to_it_are_dropped(place: Path) -> None:
    pid, sock = raw_gofer(Tree(str(place / "tree")))
    assert ask(sock, HELLO) is not None
    reader, writer = os.pipe()
    for _ in range(50):
        socket.send_fds(sock, [HELLO], [writer] * 10)
        assert sock.recv(protocol.MESSAGE_MAX)
    os.close(writer)
    assert os.read(reader, 1) == b""  # nobody else holds the other end
    os.close(reader)
    assert exit_status(pid, sock) == 0


def test_a_sentry_that_never_reads_only_stops_itself(place: Path) -> None:
    pid, sock = raw_gofer(Tree(str(place / "tree")))
    assert ask(sock, HELLO) is not None
    sock.setblocking(False)
    request = message(protocol.OPEN, protocol.OPEN_REQUEST.pack(0, 12, 0, 0) + b"dir/sub/file")
    with suppress(BlockingIOError):
        for sent in range(100_000):  # noqa: B007
            sock.send(request)
    assert 0 < sent < 99_999
    assert exit_status(pid, sock) == 0


class Fuzzed:
    """One gofer for all examples, replaced when it chose to exit."""

    def __init__(self, start: Callable[[], tuple[int, socket.socket]]) -> None:
        self.start = start
        self.pid, self.sock = start()

    def replace(self) -> None:
        assert exit_status(self.pid, self.sock) in (0, 1)  # it was not killed
        self.pid, self.sock = self.start()


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Fuzzed]:
    with open_directory() as path:
        (path / "dir/sub").mkdir(parents=True)
        (path / "dir/sub/file").write_text("public")
        (path / "link").symlink_to("dir")
        os.mkfifo(path / "fifo")

        def start() -> tuple[int, socket.socket]:
            started = raw_gofer(Tree(str(path), writable=True), Tree(str(path), immutable=True))
            assert ask(started[1], HELLO) is not None
            return started

        state = Fuzzed(start)
        yield state
        assert exit_status(state.pid, state.sock) == 0


names = st.sampled_from([b"", b"dir", b"dir/sub", b"dir/sub/file", b"link", b"fifo", b"none", b"..", b"/", b"a\0b"])
strings = st.one_of(names, st.binary(max_size=40))
numbers = st.one_of(
    st.integers(0, 40),
    st.sampled_from([255, 256, 4095, 4096, 65535, 2**31 - 1, 2**31, 2**32 - 1]),
    st.integers(0, 2**32 - 1),
)


@st.composite
def nearly_sound_requests(draw: st.DrawFn) -> bytes:
    """Right layouts with strange values: what gets past the first checks."""
    path, second, third = draw(strings), draw(strings), draw(strings)
    op = draw(st.integers(1, 22))
    tree = draw(st.integers(0, 2))
    layouts = {
        protocol.WALK: ("<II", 1), protocol.READDIR: ("<II", 1), protocol.LIST: ("<II", 1),
        protocol.OPEN: ("<II", 1), protocol.CREATE: ("<II", 1),
        protocol.MKDIR: ("<II", 1), protocol.MKNOD: ("<II", 1), protocol.SYMLINK: ("<I", 2), protocol.LINK: ("<I", 2),
        protocol.RENAME: ("<I", 2), protocol.SETATTR: ("<10I", 1), protocol.GETXATTR: ("<II", 3),
        protocol.OPEN_MANY: ("<I", 2), protocol.SETXATTR: ("<II", 3), protocol.REMOVEXATTR: ("<II", 3),
    }  # fmt: skip
    rest, n_strings = layouts.get(op, ("<", 1))
    given_strings = [path, second, third][:n_strings]
    fixed = struct.pack("<I", tree) + b"".join(struct.pack("<I", len(text)) for text in given_strings)
    count = struct.calcsize(rest) // 4
    if op == protocol.SETATTR:
        count = (protocol.SETATTR_REQUEST.size - 8) // 4
    fixed += b"".join(struct.pack("<I", draw(numbers)) for _ in range(count))
    return message(op, fixed + b"".join(given_strings))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.one_of(
        nearly_sound_requests(),
        st.builds(message, st.integers(0, 23), st.binary(max_size=200)),
        st.builds(message, st.integers(0, 65535), st.binary(max_size=64), length=numbers),
        st.binary(min_size=16, max_size=300),
    )
)
def test_any_bytes_get_an_answer(fuzzed: Fuzzed, data: bytes) -> None:
    if ask(fuzzed.sock, data) is None:
        fuzzed.replace()


def test_the_client_survives_a_hostile_gofer() -> None:
    """The other way round: no reply, however wrong, makes the client read outside its buffer."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    replies = [
        protocol.WALK_REPLY.pack(0xFFFFFFFF, 0, 0, 0),
        protocol.WALK_REPLY.pack(1, 0, 0, 0),
        protocol.WALK_REPLY.pack(0, 0, 0xFFFFFFFF, 0),
        b"",
        b"x" * 65000,
    ]
    for reply in replies:
        client = ffi.new("struct gofer_client *")
        lib.gofer_client_init(client, ours.fileno(), 0)
        theirs.send(protocol.HEADER.pack(16 + len(reply), 1, protocol.WALK, 0, 0) + reply)
        answer = ffi.new("struct gofer_walk_answer *")
        assert lib.gofer_walk(client, 0, b"x", 1, 0, 0, answer) == -errno.ECONNRESET
        assert client.dead
    head = protocol.READDIR_REPLY.pack(0, 1, 1) + bytes(protocol.ATTR.size)
    for size, name_len, target_len in ((0, 0, 0), (8, 0, 0), (136, 1, 0), (137, 0, 0), (65528, 0, 0), (144, 8, 1)):
        entry = protocol.DIRENT.pack(0, size, name_len, target_len, 0) + bytes(protocol.ATTR.size) + b"n" * 8
        client = ffi.new("struct gofer_client *")
        lib.gofer_client_init(client, ours.fileno(), 0)
        theirs.send(protocol.HEADER.pack(16 + len(head + entry), 1, protocol.READDIR, 0, 0) + head + entry)
        page = ffi.new("struct gofer_readdir_answer *")
        assert lib.gofer_readdir(client, 0, b"x", 1, 0, page) == -errno.ECONNRESET
    ours.close()
    theirs.close()

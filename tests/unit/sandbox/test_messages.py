"""Messages: any document and any descriptors arrive as they were sent; what is no message is refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysentry.sandbox.messages import MOST_INLINE_BYTES, MessageError, decode, encode, receive, send

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


@given(VALUES, st.sampled_from(["", " ", "\n\t"]))
def test_json_is_json(value: object, blank: str) -> None:
    assert json.loads(encode(value)) == value
    assert decode(blank + json.dumps(value, indent=1) + blank) == value


@given(st.text('{}[]",:0123456789.eE+-truefalsn \\u', max_size=12))
def test_bad_json_is_refused_as_json_does(text: str) -> None:
    assert outcome(decode, text) == outcome(json.loads, text)


def outcome(read: Callable[[str], object], text: str) -> tuple[str, object]:
    try:
        return "value", read(text)
    except ValueError as error:
        return "error", str(error)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "[" * 100_000, '{"a":' * 100_000])
def test_what_json_would_take_but_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)


def test_names_that_are_no_text_survive() -> None:
    name = os.fsdecode(b"/tmp/\xff\xfe")
    assert decode(encode({"name": name})) == {"name": name}


def test_not_json() -> None:
    with pytest.raises(TypeError):
        encode({"a": object()})


@pytest.mark.parametrize("length", [0, 100, MOST_INLINE_BYTES, 300_000])
def test_descriptors_come_along(pair: tuple[socket.socket, socket.socket], length: int) -> None:
    document = {"op": "x" * length}
    reading, writing = os.pipe()
    send(pair[0], document, [writing, writing])
    os.close(writing)
    got, descriptors = receive(pair[1])
    assert got == document
    assert len(descriptors) == 2
    for fd in descriptors:
        assert not os.get_inheritable(fd)
        os.write(fd, b"!")
        os.close(fd)
    assert os.read(reading, 10) == b"!!"
    os.close(reading)


def test_end_of_file(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    assert receive(pair[1]) == (None, [])
    with pytest.raises(BrokenPipeError):
        send(pair[1], {})


@pytest.mark.parametrize(
    "data", [b"x", b"[]", b"\xff", b'{"size":-1}', b'{"size":5}', b'{"size":"5"}', b"{" + b" " * 70_000 + b"}"]
)
def test_what_is_no_message(pair: tuple[socket.socket, socket.socket], data: bytes) -> None:
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(pair[0], [data], [0] if b"5" not in data else [])
    with pytest.raises(MessageError):
        receive(pair[1])
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_memfd_that_is_shorter_than_it_says(pair: tuple[socket.socket, socket.socket]) -> None:
    memfd = os.memfd_create("short")
    os.write(memfd, b"{}")
    socket.send_fds(pair[0], [b'{"size":100}'], [memfd])
    os.close(memfd)
    with pytest.raises(MessageError, match="cut off"):
        receive(pair[1])


def test_it_is_light() -> None:
    program = (
        "import sys\nfrom pysentry.sandbox.messages import *\ndecode(encode({'a': [1]}))\n"
        "slow = {'re', 'json', 'enum', 'socket', 'typing'} & set(sys.modules)\nsys.exit(str(slow) if slow else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"], check=False
    )
    assert done.returncode == 0

"""Control messages: packing, parsing, cutting."""

from __future__ import annotations

import socket
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysentry.abi.errno import EINVAL
from pysentry.net.control import ControlWriter, pack, parse

HEADER = Struct("=Qii")
messages = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.binary(max_size=40)), max_size=5)


@given(messages)
def test_what_is_packed_is_parsed(messages: list[tuple[int, int, bytes]]) -> None:
    assert parse(b"".join(pack(*message) for message in messages)) == messages


@given(messages, st.integers(0, 200))
def test_a_writer_never_exceeds_its_room(messages: list[tuple[int, int, bytes]], room: int) -> None:
    writer = ControlWriter(room)
    for message in messages:
        writer.put(*message)
    assert len(writer.data) <= room
    if not writer.is_truncated:
        assert parse(writer.data) == messages


@given(st.binary(max_size=100))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    try:
        parse(data)
    except EINVAL:
        pass


@pytest.mark.parametrize("length", [0, 15, 33, 1 << 63])
def test_lengths_that_do_not_fit(length: int) -> None:
    with pytest.raises(EINVAL):
        parse(HEADER.pack(length, 1, 1) + bytes(16))


def test_sizes_are_the_hosts() -> None:
    for size in range(20):
        assert len(pack(1, 1, bytes(size))) == socket.CMSG_SPACE(size)

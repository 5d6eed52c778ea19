"""Control messages of sendmsg(2) and recvmsg(2): struct cmsghdr, packed and parsed. cmsg(3).

Owns the layout, not the meaning.
"""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import EINVAL

_HEADER = Struct("=Qii")  # cmsg_len, cmsg_level, cmsg_type
HEADER_SIZE = _HEADER.size
_ALIGNMENT = 8


def _align(size: int) -> int:
    return (size + _ALIGNMENT - 1) & ~(_ALIGNMENT - 1)


def parse(control: bytes) -> list[tuple[int, int, bytes]]:
    """(level, type, data) of each message. EINVAL where a length does not fit."""
    found = []
    at = 0
    while at + HEADER_SIZE <= len(control):
        length, level, kind = _HEADER.unpack_from(control, at)
        if length < HEADER_SIZE or length > len(control) - at:
            raise EINVAL("cmsg_len")
        found.append((level, kind, control[at + HEADER_SIZE : at + length]))
        at += _align(length)
    return found


def pack(level: int, kind: int, data: bytes) -> bytes:
    """One message, padded to where the next one starts."""
    message = _HEADER.pack(HEADER_SIZE + len(data), level, kind) + data
    return message.ljust(_align(len(message)), b"\0")


class ControlWriter:
    """Puts messages into a buffer of the program's size, as put_cmsg() of net/core/scm.c does: the rest is cut."""

    __slots__ = ("data", "is_truncated", "room")

    def __init__(self, room: int) -> None:
        self.room = room
        self.data = b""
        self.is_truncated = False

    def space(self) -> int:
        """Bytes of data that the next message may have; negative: not even a header fits."""
        return self.room - len(self.data) - HEADER_SIZE

    def put(self, level: int, kind: int, data: bytes) -> None:
        space = self.space()
        if space < 0:
            self.is_truncated = True
            return
        if len(data) > space:
            self.is_truncated = True
            data = data[:space]
        self.data += pack(level, kind, data)[: self.room - len(self.data)]

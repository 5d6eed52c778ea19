"""JSON objects over SOCK_SEQPACKET sockets: how the verbs and a sentry talk (boot and control sockets), and JSON text.

`import json` costs 9 ms, most of it for `re`; its two C functions do all that is needed here. The slow module is only
asked to say what is wrong with a text. Does not own what the messages mean (control.py, oci/client.py).
"""

from __future__ import annotations

import _json
import _socket
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Document = dict[str, object]

MOST_INLINE_BYTES = 60 * 1024
"""A longer object travels in a memfd: the message is {"size": N}, the memfd its last descriptor."""
MOST_BYTES = 16 << 20
MOST_DESCRIPTORS = 250
"""The kernel takes 253 in one message."""


class MessageError(Exception):
    """What came is no message: cut off, no JSON, not an object, or too long."""


class _Grammar:
    """What the C scanner asks its decoder for."""

    strict = True
    object_hook = None
    parse_float = float
    parse_int = int

    def __init__(self, object_pairs_hook: Callable[[list[tuple[str, object]]], object] | None) -> None:
        self.object_pairs_hook = object_pairs_hook
        self.memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(name: str) -> float:
        raise ValueError(f"{name} is not JSON")


_scan = _json.make_scanner(_Grammar(None))  # type: ignore[arg-type]


def decode(text: str, object_pairs_hook: Callable[[list[tuple[str, object]]], object] | None = None) -> object:
    """The value of a JSON text. object_pairs_hook: as json.loads has it. Raises ValueError, as json.loads does, with
    line and column."""
    scan = _json.make_scanner(_Grammar(object_pairs_hook)) if object_pairs_hook else _scan  # type: ignore[arg-type]
    try:
        value, end = scan(text, len(text) - len(text.lstrip(" \t\r\n")))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (StopIteration, ValueError, SystemError):  # the last: it could not find json.decoder for its error
        end = -1
    if end < 0 or text[end:].strip(" \t\r\n"):
        try:
            import json
        except ImportError:  # a sentry that is locked up has no files to import from
            raise ValueError("not JSON") from None
        json.loads(text, parse_constant=_Grammar.parse_constant)
        raise ValueError("not JSON")
    return value


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not JSON")


_encode = _json.make_encoder(None, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, False)


def encode(value: object) -> str:
    """A value as JSON in one line of ASCII. Unpaired surrogates (bytes that are no text) survive a round trip."""
    return "".join(_encode(value, 0))


def send(sock: _socket.socket, document: Document, descriptors: Sequence[int] = ()) -> None:
    """Sends one object and descriptors. Raises OSError (EPIPE: the other side is gone; never SIGPIPE)."""
    data = encode(document).encode("ascii")
    if len(data) <= MOST_INLINE_BYTES:
        _send(sock, data, descriptors)
        return
    memfd = os.memfd_create("message", os.MFD_CLOEXEC)
    try:
        written = 0
        while written < len(data):
            written += os.write(memfd, data[written:])
        _send(sock, encode({"size": len(data)}).encode("ascii"), [*descriptors, memfd])
    finally:
        os.close(memfd)


def _send(sock: _socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    rights = b"".join(fd.to_bytes(4, "little") for fd in descriptors)
    control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if rights else []
    sock.sendmsg([data], control, _socket.MSG_NOSIGNAL)


def receive(sock: _socket.socket) -> tuple[Document | None, list[int]]:
    """The next object and the descriptors that came with it (CLOEXEC, the caller's to close); None: end of file.

    Raises OSError, and MessageError for what is no message; then the descriptors that came are closed.
    """
    data, control, flags, _ = sock.recvmsg(
        MOST_INLINE_BYTES + 1, _socket.CMSG_SPACE(4 * (MOST_DESCRIPTORS + 1)), _socket.MSG_CMSG_CLOEXEC
    )
    descriptors = [
        int.from_bytes(rights[at : at + 4], "little")
        for level, kind, rights in control
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
        for at in range(0, len(rights) - 3, 4)
    ]
    try:
        if flags & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC):
            raise MessageError("a message was cut off")
        if not data:
            return None, descriptors
        document = _object(data)
        if list(document) == ["size"]:
            document = _from_memfd(document["size"], descriptors)
    except BaseException:
        for fd in descriptors:
            os.close(fd)
        raise
    return document, descriptors


def _object(data: bytes) -> Document:
    try:
        document = decode(data.decode("utf-8"))
    except ValueError:
        raise MessageError("a message is not JSON") from None
    if not isinstance(document, dict):
        raise MessageError("a message is not an object")
    return document


def _from_memfd(size: object, descriptors: list[int]) -> Document:
    if not isinstance(size, int) or not 0 < size <= MOST_BYTES or not descriptors:
        raise MessageError("a message has an impossible size")
    memfd = descriptors.pop()
    data = b""
    try:
        while len(data) < size:
            chunk = os.pread(memfd, size - len(data), len(data))
            if not chunk:
                raise MessageError("a message was cut off")
            data += chunk
    finally:
        os.close(memfd)
    return _object(data)

"""Method calls to systemd by its own D-Bus socket, one after the other.

Owns the wire format (D-Bus specification, "Message Protocol" and "Authentication Protocol") as far as these calls need
it: little-endian, the types of SIZES, a reply or an error. There is no bus daemon between, so no names to ask for.
"""

from __future__ import annotations

import _socket
from struct import error as StructError
from struct import pack, unpack_from

PATIENCE_S = 25.0
"""For an answer; what libraries of D-Bus have."""
MOST_BYTES = 1 << 20
CALL, ERROR = 1, 3
# Fields of a header: number, type.
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_TO, DESTINATION, SIGNATURE = 1, 2, 3, 4, 5, 6, 8
MANAGER = (
    (PATH, "o", "/org/freedesktop/systemd1"),
    (INTERFACE, "s", "org.freedesktop.systemd1.Manager"),
    (DESTINATION, "s", "org.freedesktop.systemd1"),
)
SIZES = {"y": 1, "b": 4, "u": 4, "t": 8}
ALIGNMENTS = {**SIZES, "g": 1, "v": 1, "s": 4, "o": 4, "a": 4, "(": 8}
FORMATS = {"y": "<B", "b": "<I", "u": "<I", "t": "<Q"}


class BusError(Exception):
    """systemd refuses, or cannot be talked to. name: the last word of D-Bus's, such as "UnitExists"; "" if no answer
    came."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class Connection:
    """To the manager that listens at `path`. Raises BusError."""

    def __init__(self, path: str) -> None:
        self._serial = 0
        self._left = b""
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._socket.settimeout(PATIENCE_S)
        try:
            self._socket.connect(path)
            # Without a user id of ours: in a user namespace we do not know the one that the socket tells.
            self._socket.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
            while not (line := self._line()).startswith(b"OK"):
                if line != b"DATA":
                    raise BusError(f"{path}: refused ({line!a})")
        except OSError as error:
            self.close()
            raise BusError(f"{path}: {error.strerror or error}") from None
        except BusError:
            self.close()
            raise

    def call(self, method: str, signature: str, *values: object) -> None:
        """One method of org.freedesktop.systemd1.Manager. values: as put() takes them. Raises BusError."""
        self._serial += 1
        body = bytearray()
        put(body, signature, values)
        fields = [(number, (kind, text)) for number, kind, text in (*MANAGER, (MEMBER, "s", method))]
        fields.append((SIGNATURE, ("g", signature)))
        message = bytearray(pack("<cBBBII", b"l", CALL, 0, 1, len(body), self._serial))
        put(message, "a(yv)", [fields])
        pad(message, 8)
        try:
            self._socket.sendall(message + body)
            while not self._is_answered():
                pass
        except OSError as error:
            raise BusError(f"{method}: {error.strerror or error}") from None

    def close(self) -> None:
        self._socket.close()

    def _is_answered(self) -> bool:
        """Takes one message: False for a signal. Raises BusError: an error."""
        start = self._take(16)
        order, kind, _, _, body_size, _, fields_size = unpack_from("<cBBBIII", start)
        if order != b"l" or body_size + fields_size > MOST_BYTES:
            raise BusError("an answer that makes no sense")
        fields = header_fields(start + self._take(-(-fields_size // 8) * 8), fields_size)
        body = self._take(body_size)
        if fields.get(REPLY_TO) != self._serial:
            return False
        if kind == ERROR:
            text = body[4 : 4 + unpack_from("<I", body)[0]].decode(errors="replace") if len(body) > 4 else ""
            name = str(fields.get(ERROR_NAME, ""))
            raise BusError(text or name, name.rpartition(".")[2])
        return True

    def _take(self, size: int) -> bytes:
        while len(self._left) < size:
            self._receive()
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def _line(self) -> bytes:
        while b"\r\n" not in self._left:
            self._receive()
        line, _, self._left = self._left.partition(b"\r\n")
        return line

    def _receive(self) -> None:
        piece = self._socket.recv(65536)
        if not piece:
            raise BusError("systemd closed the connection")
        self._left += piece


# ---- marshalling ---------------------------------------------------------------------------------------------------


def pad(data: bytearray, alignment: int) -> None:
    data += bytes(-len(data) % alignment)


def put(data: bytearray, signature: str, values: object) -> None:
    """Appends one value for each type of the signature.

    Args:
        data: starts where a message or its body starts: alignment counts from there.
        values: str for s, o and g; int for y, u and t; bool for b; a sequence for an array and a structure; a pair of a
            signature and a value for v.
    """
    assert isinstance(values, (tuple, list))
    for value in values:
        size = _first(signature)
        _put_one(data, signature[:size], value)
        signature = signature[size:]


def _first(signature: str) -> int:
    """How long the first complete type is."""
    if signature[0] == "a":
        return 1 + _first(signature[1:])
    if signature[0] == "(":
        end = 1
        while signature[end] != ")":
            end += _first(signature[end:])
        return end + 1
    return 1


def _put_one(data: bytearray, kind: str, value: object) -> None:
    code = kind[0]
    pad(data, ALIGNMENTS[code])
    if code in FORMATS:
        data += pack(FORMATS[code], value)
    elif code == "(":
        put(data, kind[1:-1], value)
    elif code == "v":
        put(data, f"g{_signature_of(value)}", value)
    elif code == "a":
        assert isinstance(value, (tuple, list, bytes))
        start = len(data)
        data += bytes(4)
        pad(data, ALIGNMENTS[kind[1]])
        first = len(data)
        for one in value:
            _put_one(data, kind[1:], one)
        data[start : start + 4] = pack("<I", len(data) - first)  # without the padding before the first element
    else:
        assert isinstance(value, str)
        text = value.encode("utf-8", "surrogateescape")
        data += pack("<B" if code == "g" else "<I", len(text)) + text + b"\0"


def _signature_of(variant: object) -> str:
    assert isinstance(variant, (tuple, list))
    return str(variant[0])


def header_fields(message: bytes, size: int) -> dict[int, object]:
    """Those of a message: an array of `size` bytes of (number, variant) that starts at 16. Raises BusError."""
    found: dict[int, object] = {}
    place, end = 16, 16 + size
    try:
        while place < end:
            number, kind = message[place], chr(message[place + 2])  # the variant's signature is one letter
            place += 4
            if kind == "u":
                found[number] = unpack_from("<I", message, place)[0]
                place += 4
            else:
                start, length = (
                    (place + 1, message[place]) if kind == "g" else (place + 4, *unpack_from("<I", message, place))
                )
                found[number] = message[start : start + length].decode(errors="replace")
                place = start + length + 1
            place += -place % 8
    except (IndexError, StructError) as error:
        raise BusError(f"an answer that makes no sense: {error}") from None
    return found

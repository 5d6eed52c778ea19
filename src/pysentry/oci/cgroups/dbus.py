"""Method calls to systemd by its own D-Bus socket, one after the other. The messages are jeepney's.

Owns how a connection begins, which jeepney knows for bus daemons only: there is none between, so no names to ask for.
Import it where a call is made: jeepney takes 20 ms.
"""

from __future__ import annotations

import socket
from struct import error as StructError

from jeepney import DBusAddress, HeaderFields, MessageType, Parser, new_method_call

from pysentry.oci.errors import BusError

PATIENCE_S = 25.0
"""For an answer; what libraries of D-Bus have."""
# Without a user id of ours: in a user namespace we do not know the one that the socket tells.
_BEGIN = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
_MANAGER = DBusAddress("/org/freedesktop/systemd1", "org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager")

_NONSENSE = (AssertionError, IndexError, KeyError, ValueError, StructError)
"""What jeepney raises where a message is none."""


class Connection:
    """To the manager that listens at `path`. Raises BusError."""

    def __init__(self, path: str) -> None:
        self._serial = 0
        self._parser = Parser()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(PATIENCE_S)
        try:
            self._socket.connect(path)
            self._socket.sendall(_BEGIN)
            self._parser.add_data(self._after_greeting())
        except OSError as error:
            self.close()
            raise BusError(f"{path}: {error.strerror or error}") from None
        except BusError:
            self.close()
            raise

    def call(self, method: str, signature: str, *values: object) -> None:
        """One method of org.freedesktop.systemd1.Manager. values: as jeepney takes them; of a variant, a pair of its
        signature and value. Raises BusError."""
        self._serial += 1
        try:
            self._socket.sendall(new_method_call(_MANAGER, method, signature, values).serialise(self._serial))
            while not self._is_answered():
                pass
        except OSError as error:
            raise BusError(f"{method}: {error.strerror or error}") from None

    def close(self) -> None:
        self._socket.close()

    def _after_greeting(self) -> bytes:
        """Takes the answers to _BEGIN; returns what came behind them."""
        left = b""
        while True:
            line, is_line, behind = left.partition(b"\r\n")
            if not is_line:
                left += self._receive()
            elif line.startswith(b"OK"):
                return behind
            elif line != b"DATA":
                raise BusError(f"refused ({line!a})")
            else:
                left = behind

    def _is_answered(self) -> bool:
        """Takes what has come: False if the answer was not there yet. Raises BusError: an error."""
        try:
            while (message := self._parser.get_next_message()) is not None:
                fields = message.header.fields
                if fields.get(HeaderFields.reply_serial) != self._serial:
                    continue  # a signal
                if message.header.message_type is not MessageType.error:
                    return True
                name = str(fields.get(HeaderFields.error_name, ""))
                raise BusError(str(message.body[0]) if message.body else name, name.rpartition(".")[2])
        except _NONSENSE as error:
            raise BusError(f"an answer that makes no sense: {error}") from None
        self._parser.add_data(self._receive())
        return False

    def _receive(self) -> bytes:
        piece = self._socket.recv(65536)
        if not piece:
            raise BusError("systemd closed the connection")
        return piece

"""The few pages of RFC 6455 that a container engine's streaming server asks of a client."""

from __future__ import annotations

import base64
import os
import socket
import struct
from urllib.parse import urlsplit

from tests.harness.patience import PATIENCE_S

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class WebSocket:
    """A connection to `url` over a socket that is not connected yet. Raises OSError if it is not upgraded."""

    def __init__(self, connection: socket.socket, url: str, protocol: str) -> None:
        self.connection = connection
        connection.settimeout(PATIENCE_S)
        parts = urlsplit(url)
        connection.connect((parts.hostname, parts.port))
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {
            "Host": parts.netloc,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": protocol,
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        self.stream = connection.makefile("rb")
        status = self.stream.readline()
        if b" 101 " not in status:
            raise OSError(f"{url}: {status!r} {self.stream.read(500)!r}")
        while self.stream.readline() not in (b"\r\n", b""):
            pass

    def send(self, payload: bytes, opcode: int = BINARY) -> None:
        length = len(payload)
        if length < 126:
            header = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 1 << 16:
            header = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        else:
            header = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
        # A client must mask. With zeros the bytes stay as they are.
        self.connection.sendall(header + bytes(4) + payload)

    def receive(self) -> bytes | None:
        """The next message; None at the end."""
        message = b""
        while True:
            header = self.stream.read(2)
            if len(header) < 2:
                return None
            is_final, opcode, length = header[0] & 0x80, header[0] & 0x0F, header[1] & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", self.stream.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self.stream.read(8))
            payload = self.stream.read(length)
            if opcode == CLOSE:
                return None
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode != PONG:
                message += payload
                if is_final:
                    return message

    def close(self) -> None:
        self.stream.close()
        self.connection.close()

"""The other end of --console-socket: an engine that is sent a terminal's master."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.harness.patience import PATIENCE_S


@contextlib.contextmanager
def console_listener(directory: Path) -> Iterator[tuple[Path, socket.socket]]:
    path = directory / "console.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(PATIENCE_S)
        yield path, listener
    path.unlink()


def receive_master(listener: socket.socket) -> int:
    connection, _ = listener.accept()
    with connection:
        _, descriptors, _, _ = socket.recv_fds(connection, 100, 1)
    return descriptors[0]


def read_terminal(master: int) -> str:
    text = b""
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:
            data = b""
        if not data:
            return text.decode()
        text += data

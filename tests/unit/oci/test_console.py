"""--console-socket: whom we wait for, and for how long."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pysentry.oci import console
from pysentry.oci.errors import ConsoleError


def test_a_listener_whose_queue_stays_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody accepts: an error in the end, not a `create` that hangs."""
    monkeypatch.setattr(console, "PATIENCE_S", 0.02)
    path = tmp_path / "console.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        first = console.connect(str(path))
        with pytest.raises(ConsoleError, match=r"dial unix .*: connect: "):
            console.connect(str(path))
        first.close()


def test_a_path_that_an_address_has_no_room_for(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    fd = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{fd}/console.sock")
        listener.listen()
        console.connect(str(folder / "console.sock")).close()
    os.close(fd)
    with pytest.raises(ConsoleError, match="dial unix"):
        console.connect(str(folder / "nothing"))

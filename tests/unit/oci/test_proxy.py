"""The process that stands for a program: it forwards what it gets, and ends exactly as the program."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from pysentry.oci import proxy
from pysentry.sandbox.messages import receive, send
from tests.harness.patience import PATIENCE_S


def spawn_proxy() -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    proxy.block_signals()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            proxy.become_proxy(theirs)
        finally:
            os._exit(96)
    proxy.unblock_signals()
    theirs.close()
    ours.settimeout(PATIENCE_S)
    return pid, ours


@pytest.mark.parametrize("number", sorted(proxy.SIGNALS))
def test_every_signal_is_forwarded(number: int) -> None:
    """Also one that comes before it is ready."""
    pid, connection = spawn_proxy()
    with connection:
        os.kill(pid, number)
        assert receive(connection)[0] == {"signal": number}
        send(connection, {"exited": 5 << 8})
        assert os.waitpid(pid, 0)[1] == 5 << 8


@pytest.mark.parametrize(
    "status", [0, 1 << 8, 255 << 8, signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE]
)
def test_it_ends_as_the_program(status: int) -> None:
    pid, connection = spawn_proxy()
    with connection:
        send(connection, {"exited": int(status)})
        assert os.waitpid(pid, 0)[1] & ~0x80 == status  # no core


def test_the_sentry_is_gone() -> None:
    pid, connection = spawn_proxy()
    connection.close()
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_what_makes_no_sense_is_the_end() -> None:
    pid, connection = spawn_proxy()
    with connection:
        send(connection, {"exited": "soon"})
        connection.send(b"nonsense")
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_it_keeps_nothing() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    pid, connection = spawn_proxy()
    os.close(writing)
    with connection, open(reading) as pipe:
        assert pipe.read() == ""
        files = os.listdir(f"/proc/{pid}/fd")
        assert len(files) <= 6  # 0, 1, 2, its connection and the two ends of its wake-up pipe
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in "012"} == {"/dev/null"}
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        send(connection, {"exited": 0})
        assert os.waitpid(pid, 0)[1] == 0


def test_status_for_a_shell() -> None:
    assert proxy.shell_status(3 << 8) == 3
    assert proxy.shell_status(9) == 137

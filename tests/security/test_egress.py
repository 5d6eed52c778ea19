"""--net host --egress: what no rule allows is not reached, by whatever call and in whatever disguise."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.harness.configuration import COMMAND
from tests.harness.runner import Runner

pytestmark = pytest.mark.configs(*COMMAND, "seccomp-slow", "ptrace")

PROGRAM = r"""
import errno, socket, sys
good, bad, udp = map(int, sys.argv[1:])

def told(call):
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"

def tcp(address, port, family=socket.AF_INET):
    with socket.socket(family) as s:
        s.connect((address, port))

def send(address, port, family=socket.AF_INET, call="sendto"):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        if call == "sendto":
            s.sendto(b"x", (address, port))
        else:
            s.sendmsg([b"x"], [], 0, (address, port))

print(told(lambda: tcp("127.0.0.1", good)), told(lambda: tcp("::ffff:127.0.0.1", good, socket.AF_INET6)))
print(told(lambda: tcp("127.0.0.1", bad)), told(lambda: tcp("0.0.0.0", bad)))
print(told(lambda: tcp("::ffff:127.0.0.1", bad, socket.AF_INET6)), told(lambda: tcp("127.0.0.2", good)))
print(told(lambda: send("127.0.0.1", udp)), told(lambda: send("127.0.0.1", udp, call="sendmsg")))
print(told(lambda: send("::ffff:127.0.0.1", udp, socket.AF_INET6)))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(told(lambda: s.connect(("127.0.0.1", udp))), told(lambda: s.send(b"x")))
a, b = socket.socketpair()
a.send(b"still"); print(b.recv(9).decode(), len(socket.if_nameindex()) > 0)
"""


@pytest.fixture
def ports() -> Iterator[tuple[int, int, socket.socket]]:
    """Two TCP servers of the host's, and a UDP one."""
    with ExitStack() as stack:
        good, bad = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        yield good.getsockname()[1], bad.getsockname()[1], udp


def test_only_what_a_rule_allows(runner: Runner, ports: tuple[int, int, socket.socket]) -> None:
    good, bad, udp = ports
    numbers = [str(port) for port in (good, bad, udp.getsockname()[1])]
    options = ["--net=host", f"--egress=127.0.0.1:{good}"]
    result = runner.run(["/usr/bin/python3", "-c", PROGRAM, *numbers], options=options)
    assert result.stdout.splitlines() == [
        "ok ok",
        "EACCES EACCES",
        "EACCES EACCES",
        "EACCES EACCES",
        "EACCES",
        "EACCES EDESTADDRREQ",
        "still True",
    ], result
    udp.setblocking(False)
    with pytest.raises(BlockingIOError):
        udp.recv(1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--net=host", "--egress=example.org"], "--egress example.org: 'example.org' is not an address"),
        (["--egress=10.0.0.1"], "--egress: there is nothing to reach without --net host"),
    ],
)
def test_bad_rules(runner: Runner, options: list[str], words: str) -> None:
    result = runner.run(["true"], options=options, has_report=False)
    assert result.status == 125
    assert result.stderr.startswith(f"pysentry: {words}"), result

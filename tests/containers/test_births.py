"""Programs born of a container's seed: the first one, and those that exec adds. Signals, terminals, ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.configuration import is_root
from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.runner import session_directory
from tests.harness.sentry import Sentry, process, wait_until_gone

SLEEP = ("sleep", "1000")
Start = Callable[..., Sentry]


@pytest.fixture(params=["seccomp", "ptrace"])
def platform(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(platform: str, tmp_path: Path) -> Iterator[Start]:
    running = contextlib.ExitStack()  # each is closed, also where closing another fails

    def make(*argv: str, is_started: bool = True, console: socket.socket | None = None, **fields: object) -> Sentry:
        directory = session_directory() / f"sentry-{os.getpid()}-{time.monotonic_ns()}"
        sentry = Sentry(directory, platform, process(*(argv or SLEEP), **fields), console)
        running.callback(sentry.close)
        if is_started:
            sentry.start()
        return sentry

    with running:
        yield make


def test_programs_are_added_and_their_ends_told_exactly(start: Start) -> None:
    sentry = start()
    assert sentry.output("sh", "-c", "echo $PPID; exit 3") == ("0\n", 3 << 8)
    assert sentry.output("sh", "-c", "kill -TERM $$") == ("", signal.SIGTERM)
    assert sentry.output("bash", "-c", "(sleep 0.05; echo later) & wait; exec sh -c 'exit 7'") == ("later\n", 7 << 8)
    thread = "import threading as t, os; t.Thread(target=os._exit, args=(9,)).start()"
    assert sentry.output("/usr/bin/python3", "-c", thread) == ("", 9 << 8)


def test_the_seed_is_not_seen_inside(start: Start) -> None:
    sentry = start()
    text, status = sentry.output("ps", "-eo", "pid,ppid,args", "--no-headers")
    rows = [line.split(None, 2) for line in text.splitlines()]
    assert status == 0
    assert [(row[1], row[2].split()[0]) for row in rows] == [("0", "sleep"), ("0", "ps")]
    assert rows[0][0] == "1"


def test_many_at_once(start: Start) -> None:
    sentry = start()
    many = [sentry.run("sh", "-c", f"echo {number}; exit {number}") for number in range(20)]
    for number, (connection, answer, (reader,)) in enumerate(many):
        assert answer.get("ok"), answer
        with open(reader, "rb") as stream:
            assert stream.read() == b"%d\n" % number
        assert connection.receive()[0] == {"exited": number << 8}
        connection.close()


@pytest.mark.parametrize(
    ("argv", "words", "status"),
    [
        (("no-such",), ('exec: "no-such"', "executable file not found in $PATH"), 127),
        (("/no/such",), ('exec: "/no/such"', "no such file or directory"), 127),
        (("/etc/passwd",), ("permission denied",), 126),
        (("/etc",), ("permission denied",), 126),
    ],
)
def test_what_cannot_be_executed(start: Start, argv: tuple[str, ...], words: tuple[str, ...], status: int) -> None:
    sentry = start()
    connection, answer, (reader,) = sentry.run(*argv)
    os.close(reader)
    assert answer["status"] == status
    assert all(word in answer["error"] for word in words), answer
    connection.close()
    first = start(*argv, is_started=False)
    answer = first.boot_up()
    assert (answer["stage"], answer["status"]) == ("failed", status)
    assert all(word in answer["error"] for word in words), answer
    assert first.wait() == status


def test_identity_and_limits(start: Start) -> None:
    sentry = start()
    script = "id -u; id -g; id -G; umask; pwd; ulimit -n; echo $HOME; grep NoNewPrivs /proc/self/status"
    fields = {"uid": 12, "gid": 34, "groups": (34, 56), "umask": 0o027, "rlimits": {7: (77, 88)}, "no_new_privs": True}
    text, _ = sentry.output("bash", "-c", script, cwd="/usr", **fields)
    assert text.splitlines() == ["12", "34", "34 56", "0027", "/usr", "77", "/", "NoNewPrivs:\t1"]


def test_pid_1_is_spared_from_what_it_does_not_handle(start: Start) -> None:
    sentry = start("sh", "-c", "trap 'exit 5' USR1; echo ready; while :; do sleep 0.02; done")
    assert sentry.process.stdout is not None
    assert sentry.process.stdout.readline() == b"ready\n"
    sentry.process.send_signal(signal.SIGTERM)
    assert sentry.ask("signal", signal=signal.SIGTERM) == {"ok": True}
    assert sentry.ask("status")["status"] == "running"
    sentry.process.send_signal(signal.SIGUSR1)
    assert sentry.wait() == 5


def test_pid_1_dies_of_its_own_faults(start: Start) -> None:
    fault = "import ctypes; ctypes.string_at(1)"
    assert start("/usr/bin/python3", "-c", fault).wait() == -signal.SIGSEGV


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_before_the_start_ends_it(start: Start, signal_number: int) -> None:
    sentry = start(is_started=False)
    assert sentry.boot_up()["stage"] == "ready"
    assert sentry.ask("status")["status"] == "created"
    sentry.ask("signal", signal=signal_number)
    assert sentry.wait() == -signal_number


def test_the_sentry_dies_as_pid_1_did(start: Start) -> None:
    assert start("sh", "-c", "exit 42").wait() == 42
    killed = start()
    killed.ask("signal", signal=int(signal.SIGKILL))
    assert killed.wait() == -signal.SIGKILL


def test_the_end_of_pid_1_ends_the_others(start: Start) -> None:
    sentry = start()
    connection, answer, (reader,) = sentry.run(*SLEEP)
    pids = sentry.ask("pids")["pids"]
    (first,) = set(pids) - {answer["host_pid"]}
    os.kill(first, signal.SIGKILL)
    sentry.wait()
    wait_until_gone(pids)
    connection.close()
    os.close(reader)


def test_the_end_of_the_sentry_ends_everybody(start: Start) -> None:
    sentry = start()
    connection, _, (reader,) = sentry.run(*SLEEP)
    pids = sentry.ask("pids")["pids"]
    sentry.process.kill()
    wait_until_gone(pids)
    connection.close()
    os.close(reader)


def test_hanging_up_ends_the_program(start: Start) -> None:
    sentry = start()
    connection, answer, (reader,) = sentry.run(*SLEEP)
    connection.close()
    os.close(reader)
    wait_until_gone([answer["host_pid"]])
    assert len(sentry.ask("pids")["pids"]) == 1


def test_signals_over_the_connection(start: Start) -> None:
    sentry = start()
    script = "trap 'echo got; exit 4' HUP; echo ready; while :; do sleep 0.02; done"
    connection, _, (reader,) = sentry.run("sh", "-c", script)
    with open(reader, "rb") as stream:
        assert stream.readline() == b"ready\n"
        connection.send({"signal": int(signal.SIGHUP)})
        assert stream.read() == b"got\n"
    assert connection.receive()[0] == {"exited": 4 << 8}
    connection.close()


@pytest.mark.parametrize(
    "request_text", [b"{", b"[]", b'{"op":"fly"}', b'{"op":"signal","signal":"x"}', b'{"op":"exec","process":{}}']
)
def test_bad_requests_are_refused_and_harm_nothing(start: Start, request_text: bytes) -> None:
    sentry = start()
    connection = sentry.connect()
    connection.socket.send(request_text)
    assert "bad request" in connection.receive()[0]["error"]
    connection.close()
    assert sentry.output("echo", "fine") == ("fine\n", 0)


def test_when_create_gives_up_the_sentry_ends(start: Start) -> None:
    sentry = start(is_started=False)
    assert sentry.stage() == {"stage": "namespaces"}
    sentry.boot.close()
    assert sentry.wait() == 125


@pytest.mark.skipif(not is_root(), reason="the seed runs as another user")
def test_without_its_seed_a_container_goes_on_but_starts_nothing_more(start: Start) -> None:
    sentry = start()
    assert sentry.output("true") == ("", 0)
    pids = sentry.ask("pids")["pids"]
    os.kill(sentry.seed(), signal.SIGKILL)
    answer: dict[str, object] = {"ok": True}
    while "error" not in answer:  # its death takes a moment to be noticed
        connection, answer, (reader,) = sentry.run("true")
        with open(reader, "rb") as stream:
            assert stream.read() == b""  # nobody has the other end
        connection.close()
    wait_until(lambda: sentry.ask("pids")["pids"] == pids, "nobody else is there")


@pytest.mark.skipif(not is_root(), reason="the seed runs as another user")
@pytest.mark.parametrize("is_stopped", [False, True])
def test_births_under_way_when_the_seed_dies_are_answered(start: Start, is_stopped: bool) -> None:
    sentry = start()
    pids = sentry.ask("pids")["pids"]
    seed = sentry.seed()
    if is_stopped:
        os.kill(seed, signal.SIGSTOP)  # it forks nothing from now on: each is pending
    requests = [sentry.request("echo", "born") for _ in range(10)]
    os.kill(seed, signal.SIGKILL)
    for connection, reader in requests:
        answer, _ = connection.receive()
        with open(reader, "rb") as stream:
            assert stream.read() == (b"born\n" if answer.get("ok") else b""), answer
        assert ("ok" in answer or "operation not permitted" in answer["error"]), answer
        assert not (is_stopped and answer.get("ok"))
        connection.close()
    wait_until(lambda: sentry.ask("pids")["pids"] == pids, "nobody else is there")


@pytest.mark.skipif(not is_root(), reason="the seed runs as another user")
def test_hanging_up_before_the_birth_ends_the_program(start: Start) -> None:
    sentry = start()
    pids = sentry.ask("pids")["pids"]
    seed = sentry.seed()
    os.kill(seed, signal.SIGSTOP)
    connection, reader = sentry.request(*SLEEP)
    connection.close()
    os.kill(seed, signal.SIGCONT)
    with open(reader, "rb") as stream:
        assert stream.read() == b""
    assert sentry.output("echo", "fine") == ("fine\n", 0)
    wait_until(lambda: sentry.ask("pids")["pids"] == pids, "nobody else is there")


# ---- terminals ------------------------------------------------------------------------------------------------------


class Screen:
    """The master's side."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.seen = b""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, text: str) -> None:
        wanted = text.encode()
        while wanted not in self.seen:
            assert select.select([self.master], [], [], PATIENCE_S)[0], (wanted, self.seen)
            self.seen += os.read(self.master, 4096)
        self.seen = self.seen.partition(wanted)[2]

    def is_hung_up(self) -> bool:
        try:
            while select.select([self.master], [], [], PATIENCE_S)[0]:
                if not os.read(self.master, 4096):
                    return True
        except OSError:
            return True
        return False


def play(screen: Screen) -> None:
    """An interactive bash: its terminal, its size, Ctrl-C."""
    screen.expect("ready> ")
    screen.type("tty; stty size; echo do''ne\n")
    screen.expect("/dev/pts/")
    screen.expect("30 100")
    screen.expect("done")
    screen.expect("ready> ")  # readline sets the size that it has read, before its prompt: it may be the old one
    fcntl.ioctl(screen.master, termios.TIOCSWINSZ, struct.pack("4H", 41, 111, 0, 0))
    screen.type("stty size\n")
    screen.expect("41 111")
    screen.type("sh -c 'echo wait''ing; exec sleep 1000'\n")
    screen.expect("waiting")
    screen.type("\x03")
    screen.expect("ready> ")
    screen.type("echo status=$?\n")
    screen.expect("status=130")


SHELL = ("bash", "--norc", "--noprofile", "-i")


def shell_fields() -> dict[str, object]:
    env = {"PATH": "/usr/bin:/bin", "PS1": "ready> ", "TERM": "dumb"}
    return {"env": env, "terminal": True, "console_size": (30, 100)}


def test_a_terminal_for_the_first_program(start: Start) -> None:
    ours, theirs = socket.socketpair()
    sentry = start(*SHELL, console=theirs, **shell_fields())
    theirs.close()
    _, rights, _, _ = ours.recvmsg(64, socket.CMSG_SPACE(4))
    screen = Screen(int.from_bytes(rights[0][2][:4], "little"))
    play(screen)
    screen.type("exit 6\n")
    assert sentry.wait() == 6
    assert screen.is_hung_up()
    os.close(screen.master)
    ours.close()


def test_a_terminal_for_an_added_program(start: Start) -> None:
    sentry = start()
    connection, answer, (master,) = sentry.run(*SHELL, **shell_fields())
    assert answer["terminal"] is True
    screen = Screen(master)
    play(screen)
    screen.type("exit 8\n")
    assert connection.receive()[0] == {"exited": 8 << 8}
    assert screen.is_hung_up()
    os.close(master)
    connection.close()


# ---- posture --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not is_root(), reason="reading other processes' /proc needs root")
def test_the_seed_has_nothing(start: Start) -> None:
    sentry = start()
    first = sentry.ask("pids")["pids"][0]
    seed = int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])
    lines = Path(f"/proc/{seed}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert "0" not in status["Uid"].split()
    assert all(int(fd.name) >= 1020 for fd in Path(f"/proc/{seed}/fd").iterdir())
    assert os.listdir(f"/proc/{seed}/root") == []

"""What a container is given: standard streams, preserved descriptors, a terminal; and that nobody else keeps them."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.harness.bundles import Config
from tests.harness.console import console_listener, read_terminal, receive_master
from tests.harness.patience import PATIENCE_S
from tests.harness.raw_runtime import RawRuntime, process


def test_stdio_is_the_containers_alone(raw: RawRuntime) -> None:
    """`$(...)` around create and start returns when the program has ended: no helper keeps our pipe."""
    identity = raw.identity()
    reading, writing = os.pipe()
    create = raw.start_call("create", "--bundle", str(raw.bundle("sh", "-c", "echo text")), identity, stdout=writing)
    os.close(writing)
    assert create.wait(PATIENCE_S) == 0
    raw.call("start", identity)
    with open(reading) as pipe:
        assert pipe.read() == "text\n"


def test_closing_stdout_is_seen(raw: RawRuntime) -> None:
    """The reader gets end of file as soon as the program has no output any more, though it runs on."""
    identity = raw.identity()
    reading, writing = os.pipe()
    bundle = raw.bundle("sh", "-c", "echo text; exec >/dev/null 2>&1; sleep 1000")
    create = raw.start_call("create", "--bundle", str(bundle), identity, stdout=writing, stderr=subprocess.DEVNULL)
    os.close(writing)
    assert create.wait(PATIENCE_S) == 0
    raw.call("start", identity)
    with open(reading) as pipe:
        assert pipe.read() == "text\n"
    assert raw.state(identity)["status"] == "running"


@pytest.mark.both_platforms
def test_stdin(raw: RawRuntime) -> None:
    reading, writing = os.pipe()
    container = raw.create("cat", stdin=reading)
    os.close(reading)
    container.call("start")
    os.write(writing, b"typed")
    os.close(writing)
    assert container.wait() == ("exited", 0)
    assert container.output.read_text() == "typed"


@pytest.mark.both_platforms
def test_preserved_descriptors(raw: RawRuntime) -> None:
    reading, writing = os.pipe()

    def give() -> None:
        os.dup2(writing, 3)

    container = raw.create(
        "sh", "-c", "echo text >&3", options=["--preserve-fds", "1"], preexec_fn=give, close_fds=False
    )
    os.close(writing)
    container.call("start")
    with open(reading) as pipe:
        assert pipe.read() == "text\n"


def test_preserved_descriptors_that_are_not_there(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("others take descriptors of their own for them")
    identity = raw.identity()
    status, _ = raw.leave("create", "--bundle", str(raw.bundle("true")), "--preserve-fds", "3", identity, status=None)
    assert status != 0
    assert raw.call("state", identity, status=None).returncode != 0


@pytest.mark.both_platforms
def test_terminal(raw: RawRuntime) -> None:
    def change(document: Config) -> None:
        document["process"]["terminal"] = True
        document["process"]["consoleSize"] = {"height": 31, "width": 97}

    with console_listener(raw.directory) as (path, listener):
        container = raw.create(
            "sh",
            "-c",
            "stty size; tty; read line; echo got $line",
            change=change,
            options=["--console-socket", str(path)],
        )
        master = receive_master(listener)
    container.call("start")
    os.write(master, b"word\n")
    assert container.wait() == ("exited", 0)
    text = read_terminal(master)
    os.close(master)
    assert "got word" in text
    assert re.search(r"/dev/(pts/0|console)", text)
    assert "31 97" in text or not raw.is_ours


@pytest.mark.parametrize("wanted", [True, False])
def test_terminal_and_console_socket_go_together(raw: RawRuntime, wanted: bool) -> None:
    identity = raw.identity()
    bundle = raw.bundle("true", change=process("terminal", wanted))
    options = [] if wanted else ["--console-socket", "/nowhere"]
    status, told = raw.leave("create", "--bundle", str(bundle), *options, identity, status=None)
    if raw.name != "crun":
        assert status == 1
        word = "cannot allocate tty" if wanted else "cannot use console socket"
        assert word in told
        assert raw.call("state", identity, status=None).returncode != 0


def test_console_socket_that_is_not_there(raw: RawRuntime) -> None:
    identity = raw.identity()
    bundle = raw.bundle("true", change=process("terminal", True))
    status, told = raw.leave("create", "--bundle", str(bundle), "--console-socket", "/no/such", identity, status=None)
    assert status != 0
    assert "no such file" in told.lower()
    assert raw.call("state", identity, status=None).returncode != 0

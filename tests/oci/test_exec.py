"""`exec`, attached and detached: what the program is, how it ends, who gets its signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.harness.console import console_listener, read_terminal, receive_master
from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.raw_runtime import ENDS_ON_TERM, WAITS, Container, RawRuntime, wait_for


@pytest.mark.both_platforms
def test_exec_attached(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    done = raw.call("exec", container.identity, "sh", "-c", "cat; exit 4", status=4, input="in")
    assert done.stdout == "in"
    assert raw.call("exec", container.identity, "sh", "-c", "kill -9 $$", status=None).returncode == 128 + 9


def test_exec_options(raw: RawRuntime) -> None:
    if raw.name == "crun":
        pytest.skip("crun loses PATH with --env")
    container = raw.start(*WAITS)
    options = ["--cwd", "/tmp", "--env", "A=1", "--user", "1000:1000"]
    done = raw.call("exec", *options, container.identity, "sh", "-c", "pwd; echo $A; id -u; id -g")
    assert done.stdout.split() == ["/tmp", "1", "1000", "1000"]


def test_exec_process_file(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    file = raw.directory / "process.json"
    document = {
        "args": ["sh", "-c", "echo $B; id -u"],
        "cwd": "/",
        "env": ["PATH=/bin", "B=2"],
        "user": {"uid": 5, "gid": 6},
    }
    file.write_text(json.dumps(document))
    assert raw.call("exec", "--process", str(file), container.identity).stdout.split() == ["2", "5"]


def exec_detached(raw: RawRuntime, container: Container, *args: str, **arguments: object) -> int:
    pid_file = raw.directory / f"exec-pid-{len(os.listdir(raw.directory))}"
    raw.leave("exec", "--detach", "--pid-file", str(pid_file), container.identity, *args, **arguments)
    text = pid_file.read_text()
    assert text == text.strip()
    return int(text)


def test_exec_detached_is_a_process_of_its_own(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    pid = exec_detached(raw, container, "sh", "-c", "exit 9")
    assert wait_for(pid) == ("exited", 9)
    pid = exec_detached(raw, container, "sh", "-c", "kill -USR1 $$; sleep 100")
    assert wait_for(pid) == ("killed", signal.SIGUSR1)
    assert container.status == "running"


@pytest.mark.both_platforms
def test_exec_detached_gets_signals(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    output = raw.directory / "exec-output"
    pid = exec_detached(raw, container, *ENDS_ON_TERM, output=output)
    wait_until(lambda: "up" in output.read_text(), "the program")
    os.kill(pid, signal.SIGTERM)
    assert wait_for(pid) == ("exited", 7)


def test_exec_detached_dies_with_its_process(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    pid = exec_detached(raw, container, "sleep", "1004")
    os.kill(pid, signal.SIGKILL)
    assert wait_for(pid) == ("killed", signal.SIGKILL)
    wait_until(lambda: "1004" not in raw.call("exec", container.identity, "ps").stdout, "the end of the program inside")


def test_exec_ends_with_the_container(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    pid = exec_detached(raw, container, "sleep", "1005")
    container.kill()
    assert wait_for(pid) == ("killed", signal.SIGKILL)  # before the first, whose namespace it keeps alive under runc
    assert container.wait() == ("killed", signal.SIGKILL)


def test_exec_detached_leaves_its_output_alone(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    reading, writing = os.pipe()
    call = raw.start_call(
        "exec",
        "--detach",
        container.identity,
        "sh",
        "-c",
        "echo text; exec >/dev/null 2>&1; sleep 1006",
        stdout=writing,
    )
    os.close(writing)
    assert call.wait(PATIENCE_S) == 0
    with open(reading) as pipe:
        assert pipe.read() == "text\n"


@pytest.mark.both_platforms
def test_exec_terminal(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    with console_listener(raw.directory) as (path, listener):
        raw.leave(
            "exec", "--detach", "--tty", "--console-socket", str(path), container.identity, "sh", "-c", "tty; echo up"
        )
        master = receive_master(listener)
    assert "up" in read_terminal(master)
    os.close(master)


@pytest.mark.both_platforms
def test_many_execs_at_once(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    calls = [
        raw.start_call("exec", container.identity, "sh", "-c", f"exit {n}", stdout=subprocess.DEVNULL)
        for n in range(12)
    ]
    assert [call.wait(PATIENCE_S) for call in calls] == list(range(12))

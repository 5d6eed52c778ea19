"""`exec`, attached and detached: what the program is, how it ends, who gets its signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.harness.bundles import Config, make_rootfs
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


def test_exec_has_a_home(raw: RawRuntime) -> None:
    """An empty one is none."""
    container = raw.start(*WAITS)
    shown = raw.call("exec", "--env", "HOME=", container.identity, "env").stdout.splitlines()
    assert [line for line in shown if line.startswith("HOME=")] in (["HOME=/"], ["HOME=/root"])


def test_exec_raises_ambient_capabilities(raw: RawRuntime) -> None:
    """Where something is inheritable; of that, not more."""
    if not raw.is_ours:
        pytest.skip("Debian's runc raises what it cannot")

    def change(document: Config) -> None:
        sets = {"bounding": [0, 34], "permitted": [0], "effective": [], "inheritable": [0, 34], "ambient": [0]}
        names = {0: "CAP_CHOWN", 34: "CAP_SYSLOG"}
        document["process"]["capabilities"] = {kind: [names[n] for n in numbers] for kind, numbers in sets.items()}

    container = raw.start(*WAITS, change=change)
    shown = raw.call("exec", "--cap", "CAP_SYSLOG", container.identity, "cat", "/proc/self/status").stdout
    masks = dict(line.split(":\t") for line in shown.splitlines() if line.startswith("Cap"))
    assert {kind: int(mask, 16) for kind, mask in masks.items()} == dict.fromkeys(masks, 1 << 34 | 1)


def test_a_missing_interpreter_is_told_in_the_words_of_runc(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("Debian's has other words")
    raw.rootfs = make_rootfs(raw.directory / "own")
    (raw.rootfs / "script").write_text("#!/no/interpreter\n")
    (raw.rootfs / "script").chmod(0o755)
    container = raw.start(*WAITS)
    done = raw.call("exec", container.identity, "/script", status=None)
    assert "exec /script: no such file or directory" in done.stderr


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

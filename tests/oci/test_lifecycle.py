"""The life of a container under a subreaper: every verb, what it answers, and how what is left behind ends.

Holds on runc and crun, too (--oci-runtimes=runc,crun), but for what a test says is ours. crun wants a machine that has
cgroup v1 alone: `unshare -m sh -c 'umount /sys/fs/cgroup/unified; pytest --oci-runtimes=crun ...'`.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.raw_runtime import ENDS_ON_TERM, WAITS, RawRuntime, wait_for


@pytest.mark.both_platforms
def test_from_create_to_delete(raw: RawRuntime) -> None:
    container = raw.create("sh", "-c", "echo out; echo err >&2; exit 3")
    state = raw.state(container.identity)
    assert state["status"] == "created"
    assert state["pid"] == container.pid
    assert state["id"] == container.identity
    assert Path(state["bundle"]) == container.bundle
    assert state["ociVersion"].startswith("1.")
    assert container.output.read_text() == ""
    container.call("start")
    assert container.wait() == ("exited", 3)
    assert "out" in container.output.read_text()
    state = raw.state(container.identity)
    assert (state["status"], state["pid"]) == ("stopped", 0)
    container.call("delete")
    assert "does not exist" in raw.call("state", container.identity, status=None).stderr or not raw.is_ours
    assert raw.call("state", container.identity, status=None).returncode != 0


def test_state_has_annotations(raw: RawRuntime) -> None:
    container = raw.create(*WAITS, change=lambda document: document.update(annotations={"a.b": "c"}))
    assert raw.state(container.identity)["annotations"] == {"a.b": "c"}


def test_pid_file_is_a_number_and_nothing_else(raw: RawRuntime) -> None:
    container = raw.create(*WAITS)
    assert (raw.directory / f"pid-{container.identity}").read_bytes() == str(container.pid).encode()


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("exit 0", ("exited", 0)),
        ("exit 255", ("exited", 255)),
        ("kill -TERM $$; sleep 100", None),
    ],
)
def test_wait_status_is_the_programs(raw: RawRuntime, program: str, status: tuple[str, int] | None) -> None:
    container = raw.start("sh", "-c", program)
    if status is None:  # pid 1 is spared by signals from inside
        assert container.status == "running"
        container.kill(signal.SIGKILL)
        status = ("killed", signal.SIGKILL)
    assert container.wait() == status


def test_kill_by_verb(raw: RawRuntime) -> None:
    container = raw.start(*ENDS_ON_TERM)
    container.wait_output("up")
    container.call("kill")
    assert container.wait() == ("exited", 7)


@pytest.mark.parametrize("word", ["9", "KILL", "SIGKILL"])
def test_kill_spellings(raw: RawRuntime, word: str) -> None:
    container = raw.start(*WAITS)
    container.call("kill", word)
    assert container.wait() == ("killed", signal.SIGKILL)


def test_kill_by_pid(raw: RawRuntime) -> None:
    """conmon and containerd's shim signal the pid in the pid file."""
    container = raw.start(*ENDS_ON_TERM)
    container.wait_output("up")
    os.kill(container.pid, signal.SIGTERM)
    assert container.wait() == ("exited", 7)


@pytest.mark.both_platforms
def test_every_catchable_signal_arrives(raw: RawRuntime) -> None:
    numbers = [n for n in range(1, 32) if n not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD)]
    traps = "; ".join(f"trap 'echo got-{n}-' {n}" for n in numbers)
    container = raw.start("sh", "-c", f"{traps}; echo up; while :; do sleep 0.01; done")
    container.wait_output("up")
    for number in numbers:
        os.kill(container.pid, number)
        container.wait_output(f"got-{number}-")


@pytest.mark.both_platforms
def test_sigkill_of_the_pid_ends_everything(raw: RawRuntime) -> None:
    container = raw.start("sh", "-c", "sleep 1001 & sleep 1002 & wait")
    os.kill(container.pid, signal.SIGKILL)
    assert container.wait() == ("killed", signal.SIGKILL)
    assert container.status == "stopped"
    container.call("delete")


def test_created_container_is_killed(raw: RawRuntime) -> None:
    container = raw.create(*WAITS)
    container.kill()
    assert container.wait() == ("killed", signal.SIGKILL)
    assert container.status == "stopped"


def test_created_container_ends_by_a_signal_to_its_process(raw: RawRuntime) -> None:
    """As `kill` does it; a pidfd's holder has only this."""
    container = raw.create(*WAITS)
    os.kill(container.pid, signal.SIGTERM)
    ended = container.wait()
    assert ended == ("killed", signal.SIGTERM) or not raw.is_ours
    assert container.status == "stopped"


def test_zombies_are_dead(raw: RawRuntime) -> None:
    """Nobody waited for it yet: still it is stopped, and can be deleted."""
    container = raw.start("true")
    os.waitid(os.P_PID, container.pid, os.WEXITED | os.WNOWAIT)
    assert container.status == "stopped"
    container.call("delete")
    assert container.wait() == ("exited", 0)


def test_delete_forced(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    container.call("delete", "--force")
    assert container.wait() == ("killed", signal.SIGKILL)
    assert raw.call("state", container.identity, status=None).returncode != 0


def test_created_container_is_deleted(raw: RawRuntime) -> None:
    if raw.name == "crun":
        pytest.skip("crun wants --force")
    container = raw.create(*WAITS)
    container.call("delete")
    assert container.wait() == ("killed", signal.SIGKILL)


def test_list(raw: RawRuntime) -> None:
    one, other = raw.create(*WAITS), raw.start(*WAITS)
    listed = json.loads(raw.call("list", "--format", "json").stdout)
    assert {item["id"]: (item["status"], item["pid"]) for item in listed} == {
        one.identity: ("created", one.pid),
        other.identity: ("running", other.pid),
    }
    assert set(raw.call("list", "-q").stdout.split()) == {one.identity, other.identity}
    assert one.identity in raw.call("list").stdout


def test_ps(raw: RawRuntime) -> None:
    container = raw.start("sh", "-c", "sleep 1003 & echo up; wait")
    container.wait_output("up")
    pids = json.loads(container.call("ps", "--format=json").stdout)
    assert container.pid in pids
    assert len(pids) == 2 + raw.is_ours  # the pid that we tell is the sentry's
    table = container.call("ps").stdout.splitlines()
    assert "PID" in table[0].split()
    assert len(table) == 4 or not raw.is_ours
    container.kill()
    container.wait()
    assert len(container.call("ps").stdout.splitlines()) == 1


@pytest.mark.both_platforms
def test_pause_and_resume(raw: RawRuntime) -> None:
    container = raw.start("sh", "-c", "while :; do echo tick; sleep 0.01; done")
    container.wait_output("tick")
    container.call("pause")
    assert container.status == "paused"
    size = container.output.stat().st_size
    assert container.call("pause", status=None).returncode != 0 or raw.name == "crun"
    assert container.output.stat().st_size == size
    container.call("resume")
    assert container.status == "running"
    wait_until(lambda: container.output.stat().st_size > size, "another tick")
    assert container.call("resume", status=None).returncode != 0 or raw.name == "crun"


def test_paused_containers_can_be_killed(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    container.call("pause")
    container.kill(signal.SIGKILL)
    if raw.name == "crun":
        container.call("resume")
    assert container.wait() == ("killed", signal.SIGKILL)


def test_events(raw: RawRuntime) -> None:
    if raw.name == "crun":
        pytest.skip("crun has no events")
    container = raw.start(*WAITS)
    event = json.loads(container.call("events", "--stats").stdout)
    assert (event["type"], event["id"]) == ("stats", container.identity)
    assert event["data"]["memory"]["usage"]["usage"] > 0
    assert event["data"]["cpu"]["usage"]["total"] > 0
    assert event["data"]["pids"]["current"] > 0


def test_update(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    text = json.dumps({"memory": {"limit": 300 << 20}, "pids": {"limit": 77}})
    container.call("update", "--resources=-", input=text)
    if raw.name != "crun":
        data = json.loads(container.call("events", "--stats").stdout)["data"]
        assert data["memory"]["usage"]["limit"] == 300 << 20
        assert data["pids"]["limit"] == 77


def test_run_in_the_foreground(raw: RawRuntime) -> None:
    identity = raw.identity()
    bundle = raw.bundle("sh", "-c", "cat; echo err >&2; exit 5")
    done = raw.call("run", "--bundle", str(bundle), identity, status=5, input="hello")
    assert (done.stdout, done.stderr) == ("hello", "err\n")
    assert raw.call("state", identity, status=None).returncode != 0  # deleted


def test_run_detached(raw: RawRuntime) -> None:
    identity = raw.identity()
    pid_file = raw.directory / "pid"
    raw.leave("run", "--bundle", str(raw.bundle(*WAITS)), "--detach", "--pid-file", str(pid_file), identity)
    assert raw.state(identity)["status"] == "running"
    raw.call("kill", identity, "KILL")
    assert wait_for(int(pid_file.read_text())) == ("killed", signal.SIGKILL)


def test_run_forwards_signals(raw: RawRuntime) -> None:
    identity = raw.identity()
    output = raw.directory / "run-output"
    with output.open("w") as stdout:
        running = raw.start_call("run", "--bundle", str(raw.bundle(*ENDS_ON_TERM)), identity, stdout=stdout)
    wait_until(lambda: "up" in output.read_text(), "the program")
    running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE_S) == 7

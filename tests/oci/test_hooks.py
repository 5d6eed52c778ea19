"""Hooks: all six kinds, in order, with the state on stdin, in the right namespaces, and what a failure does."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.harness.bundles import Config
from tests.harness.patience import PATIENCE_S
from tests.harness.raw_runtime import WAITS, RawRuntime

CREATION = ("prestart", "createRuntime", "createContainer")
OUTSIDE = (*CREATION, "poststart", "poststop")


def script(raw: RawRuntime, kind: str, text: str) -> dict[str, Any]:
    """A hook that runs a shell script of the host; $LOG is a file."""
    path = raw.directory / f"hook-{kind}-{len(os.listdir(raw.directory))}"
    path.write_text(f"#!/bin/sh\nLOG={raw.directory}/hooks.log\n{text}\n")
    path.chmod(0o755)
    return {"path": str(path)}


def with_hooks(hooks: dict[str, list[dict[str, Any]]]):  # type: ignore[no-untyped-def]
    def change(document: Config) -> None:
        document["hooks"] = hooks
        document["annotations"] = {"who": "me"}

    return change


def log_of(raw: RawRuntime) -> list[str]:
    path = raw.directory / "hooks.log"
    return path.read_text().splitlines() if path.exists() else []


def gone(raw: RawRuntime, identity: str) -> bool:
    return raw.call("state", identity, status=None).returncode != 0


@pytest.mark.both_platforms
def test_order_and_state(raw: RawRuntime) -> None:
    if raw.name == "runc":
        pytest.skip("runc 1.1 runs poststart hooks in create")
    hooks = {kind: [script(raw, kind, f"echo {kind} $(cat) >> $LOG")] for kind in OUTSIDE}
    hooks["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/started"], "env": ["PATH=/bin"]}]
    marker = raw.rootfs / "tmp/started"
    marker.unlink(missing_ok=True)
    container = raw.create("sh", "-c", "ls /tmp/started; sleep 1000", change=with_hooks(hooks))
    assert [line.split()[0] for line in log_of(raw)] == list(CREATION)
    assert not marker.exists()
    container.call("start")
    container.wait_output("/tmp/started")
    assert [line.split()[0] for line in log_of(raw)] == [*CREATION, "poststart"]
    container.kill()
    container.wait()
    container.call("delete")
    lines = log_of(raw)
    assert [line.split()[0] for line in lines] == list(OUTSIDE)
    states = {line.split()[0]: json.loads(line.split(" ", 1)[1]) for line in lines}
    for kind, state in states.items():
        assert state["id"] == container.identity
        assert Path(state["bundle"]) == container.bundle
        assert state["ociVersion"].startswith("1.")
        assert state["annotations"]["who"] == "me"
        if kind != "poststop" and raw.is_ours:
            assert state["pid"] == container.pid
    if raw.is_ours:  # the deprecated kind is of spec 1.0, where it ran in a created container
        assert [states[kind]["status"] for kind in CREATION] == ["created", "creating", "creating"]
    assert states["poststart"]["status"] == "running"
    assert states["poststop"]["status"] == "stopped"
    assert json.loads(marker.read_text())["id"] == container.identity


def test_several_of_a_kind_and_their_environment(raw: RawRuntime) -> None:
    first = script(raw, "createRuntime", 'echo "$0 $1 $A" >> $LOG')
    first |= {"args": ["name", "word"], "env": ["A=1", "PATH=/bin"]}
    second = script(raw, "createRuntime", 'echo "second $A$(pwd)" >> $LOG') | {"env": ["PATH=/bin"]}
    container = raw.create(*WAITS, change=with_hooks({"createRuntime": [first, second]}))
    one, other = log_of(raw)
    assert one.split()[1:] == ["word", "1"]
    assert other == f"second {container.bundle}" or not raw.is_ours


def test_create_container_hooks_are_inside(raw: RawRuntime) -> None:
    """In the container's namespaces, but with the host's files: the others are outside."""
    text = "echo $(readlink /proc/self/ns/net) $(readlink /proc/self/ns/uts) >> $LOG"
    hooks = {kind: [script(raw, kind, text)] for kind in CREATION}
    if raw.name == "crun":
        pytest.skip("crun runs these in the container's mounts, too")
    raw.create(*WAITS, change=with_hooks(hooks))
    host = f"{os.readlink('/proc/self/ns/net')} {os.readlink('/proc/self/ns/uts')}"
    prestart, create_runtime, create_container = log_of(raw)
    assert prestart == create_runtime == host
    assert create_container.split()[0] != host.split()[0]
    assert create_container.split()[1] != host.split()[1]


def test_hooks_have_nothing_of_ours(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("others give their hooks descriptors")
    hooks = {"createRuntime": [script(raw, "x", "ls -l /proc/self/fd | cat >> $LOG")]}
    raw.create(*WAITS, change=with_hooks(hooks))
    links = [line.split(" -> ") for line in log_of(raw) if " -> " in line]
    files = {left.split()[-1]: target for left, target in links}
    assert set(files) == {"0", "1", "2", "3"}  # 1 is the pipe, 3 the directory that is listed
    assert files["0"].startswith("/memfd:state")
    assert files["2"].startswith("/memfd:stderr")


@pytest.mark.parametrize("kind", CREATION)
def test_creation_fails_with_its_hook(raw: RawRuntime, kind: str) -> None:
    failing = script(raw, kind, "echo first >> $LOG; echo reason >&2; exit 3")
    hooks = {
        kind: [failing, script(raw, kind, "echo second >> $LOG")],
        "poststop": [script(raw, "poststop", "echo poststop >> $LOG")],
    }
    identity = raw.identity()
    bundle = raw.bundle(*WAITS, change=with_hooks(hooks))
    status, told = raw.leave("create", "--bundle", str(bundle), identity, status=None)
    assert status != 0
    if raw.is_ours:
        assert f"error running {kind} hook #0: exit status 3" in told
        assert "reason" in told
        assert log_of(raw) == ["first", "poststop"]
    assert gone(raw, identity)


def test_start_fails_with_its_hook(raw: RawRuntime) -> None:
    hooks = {"startContainer": [{"path": "/bin/false"}]}
    container = raw.create("sh", "-c", "echo ran", change=with_hooks(hooks))
    done = container.call("start", status=None)
    if raw.is_ours:  # runc notices too late
        assert done.returncode == 1
        assert "error running startContainer hook #0: exit status 1" in done.stderr
    container.wait()
    assert "ran" not in container.output.read_text()
    assert container.status == "stopped"


def test_a_hook_that_a_signal_ended(raw: RawRuntime) -> None:
    bundle = raw.bundle(*WAITS, change=with_hooks({"createRuntime": [script(raw, "createRuntime", "kill -SYS $$")]}))
    status, told = raw.leave("create", "--bundle", str(bundle), raw.identity(), status=None)
    assert status != 0
    assert "bad system call" in told.lower()


def test_a_start_hook_has_its_words_and_the_programs_environment(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("runc 1.1 gives it no environment")
    hook = {"path": "/bin/true", "args": ["sh", "-c", "echo $ONE; exit 4"]}  # busybox goes by argv[0]

    def change(document: Config) -> None:
        with_hooks({"startContainer": [hook]})(document)
        document["process"]["env"] += ["ONE=two"]

    told = raw.create("true", change=change).call("start", status=1).stderr
    assert "exit status 4, output: two" in told


def test_poststart_failure_stops_the_container(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("runc 1.1 runs poststart hooks in create, crun ignores how they end")
    container = raw.create(*WAITS, change=with_hooks({"poststart": [script(raw, "poststart", "exit 1")]}))
    assert container.call("start", status=None).returncode == 1
    assert container.wait() == ("killed", signal.SIGKILL)
    assert container.status == "stopped"


def test_poststop_failure_is_a_warning(raw: RawRuntime) -> None:
    if raw.name == "runc":
        pytest.skip("runc ends with the first failure")
    hooks = {"poststop": [script(raw, "p", "exit 1"), script(raw, "p", "echo second >> $LOG")]}
    container = raw.create(*WAITS, change=with_hooks(hooks))
    container.call("delete", "--force")
    assert log_of(raw) == ["second"]
    assert gone(raw, container.identity)


def test_time_limit(raw: RawRuntime) -> None:
    hook = script(raw, "createRuntime", "exec sleep 1000") | {"timeout": 1}
    identity = raw.identity()
    bundle = raw.bundle(*WAITS, change=with_hooks({"createRuntime": [hook]}))
    status, told = raw.leave("create", "--bundle", str(bundle), identity, status=None)
    assert status != 0
    assert "hook ran past specified timeout of 1" in told or raw.name == "crun"
    assert gone(raw, identity)


@pytest.mark.parametrize("path", ["/no/such/hook", "/etc/passwd"])
def test_hook_that_cannot_be_run(raw: RawRuntime, path: str) -> None:
    identity = raw.identity()
    bundle = raw.bundle(*WAITS, change=with_hooks({"prestart": [{"path": path}]}))
    status, told = raw.leave("create", "--bundle", str(bundle), identity, status=None)
    assert status != 0
    assert "no such file" in told.lower() or "permission denied" in told.lower() or raw.name == "crun"
    assert gone(raw, identity)


def test_delete_while_a_hook_runs(raw: RawRuntime) -> None:
    """`create` stands in a hook that never ends: the container can be removed, and `create` fails."""
    if not raw.is_ours:
        pytest.skip("others know nothing of a container yet")
    hooks = {"createRuntime": [script(raw, "x", "echo here >> $LOG; sleep 1007")]}
    identity = raw.identity()
    create = raw.start_call("create", "--bundle", str(raw.bundle(*WAITS, change=with_hooks(hooks))), identity)
    while not log_of(raw):
        assert create.poll() is None
    assert raw.state(identity)["status"] == "creating"
    assert "is not stopped: creating" in raw.call("delete", identity, status=1).stderr
    assert "container not running" in raw.call("kill", identity, status=1).stderr
    assert "in the creating state" in raw.call("start", identity, status=1).stderr
    raw.call("exec", identity, "true", status=255)
    assert "already exists" in raw.call("create", "--bundle", str(raw.bundle("true")), identity, status=1).stderr
    raw.call("delete", "--force", identity)
    assert create.wait(PATIENCE_S) == -signal.SIGKILL
    assert gone(raw, identity)

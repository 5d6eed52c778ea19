"""The live posture of sentry, gofer and workload, read from the host's /proc and compared with posture.toml."""

from __future__ import annotations

import os
import re
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.configuration import is_root
from tests.harness.runner import Runner

pytestmark = [
    pytest.mark.configs("seccomp", "ptrace", "user"),
    pytest.mark.skipif(not is_root(), reason="reading other processes' /proc needs root"),
]

EXPECTED = tomllib.loads(Path(__file__).with_name("posture.toml").read_text())
NAMESPACES = ("user", "mnt", "pid_for_children", "net", "ipc", "uts", "cgroup")


class Process:
    """What /proc says about one process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.directory = Path(f"/proc/{pid}")
        lines = (self.directory / "status").read_text().splitlines()
        self.status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def descriptors(self) -> dict[int, str]:
        return {int(link.name): os.readlink(link) for link in (self.directory / "fd").iterdir()}

    def mounts(self) -> list[tuple[str, str, str]]:
        """(mount point, type, options) as the process sees them."""
        rows = [line.split() for line in (self.directory / "mountinfo").read_text().splitlines()]
        return [(row[4], row[row.index("-") + 1], row[5]) for row in rows]

    def namespace(self, name: str) -> str:
        return os.readlink(self.directory / "ns" / name)

    def posture(self) -> dict[str, Any]:
        """The fields that posture.toml has, as it has them."""
        uids = set(self.status["Uid"].split())
        return {
            "no_new_privs": self.status["NoNewPrivs"] == "1",
            "seccomp": int(self.status["Seccomp"]),
            "capabilities": {
                name: int(self.status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
            },
            "is_root": "0" in uids,
            "groups": len(self.status.get("Groups", "").split()),
            "core_limit": self.limit("Max core file size"),
            "threads": int(self.status["Threads"]),
        }

    def limit(self, name: str) -> str:
        line = next(line for line in (self.directory / "limits").read_text().splitlines() if line.startswith(name))
        return line[len(name) :].split()[0]


class Sandbox:
    """One that runs: its processes by role."""

    def __init__(self, sentry: int) -> None:
        children = {pid: Process(pid) for pid in _children(sentry)}
        self.sentry = Process(sentry)
        workload = [one for one in children.values() if len(one.status["NSpid"].split()) > 1]
        gofers = [one for one in children.values() if one not in workload]
        assert len(workload) == len(gofers) == 1, [one.status["Name"] for one in children.values()]
        self.workload = workload[0]
        self.gofer = gofers[0]


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def sandbox(runner: Runner) -> Iterator[Sandbox]:
    process = runner.start(["sh", "-c", "echo ready; read end"], stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield Sandbox(process.pid)
    runner.finish(process, b"\n")


@pytest.mark.parametrize("role", ["sentry", "gofer", "workload"])
def test_posture(sandbox: Sandbox, role: str) -> None:
    expected = dict(EXPECTED[role])
    found = getattr(sandbox, role).posture()
    for name, value in expected.pop("capabilities").items():
        assert found["capabilities"][name] & ~value == 0, (
            f"{name} is {found['capabilities'][name]:#x}, at most {value:#x}"
        )
    del found["capabilities"]
    assert found.pop("seccomp") == 2
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("role", ["sentry", "gofer", "workload"])
def test_descriptors(sandbox: Sandbox, role: str) -> None:
    """Each is of a kind that the role is meant to have; none leads to a host directory or an executable."""
    allowed = re.compile("|".join([*EXPECTED["descriptors"][role], r"/var/tmp/pysentry-tests/.+/report\.json"]))
    found = getattr(sandbox, role).descriptors()
    assert not {fd: target for fd, target in found.items() if not allowed.fullmatch(target)}
    if role == "workload":
        assert min(found) >= 1020
    if role == "sentry":
        assert list(found.values()).count("/") <= 2


def test_the_sentry_and_the_workload_have_an_empty_root(sandbox: Sandbox) -> None:
    for process in (sandbox.sentry, sandbox.workload):
        assert [(at, kind) for at, kind, _ in process.mounts()] == [("/", "tmpfs")]
        assert "ro" in process.mounts()[0][2].split(",")
        assert os.listdir(process.directory / "root") == []
        assert os.readlink(process.directory / "cwd") == "/"


def test_the_gofer_sees_what_it_serves(sandbox: Sandbox) -> None:
    for at, kind, options in sandbox.gofer.mounts():
        if kind == "devpts":
            continue  # its own: where the sandbox's terminals come from
        assert {"ro", "nosuid", "nodev"} <= set(options.split(",")), (at, kind, options)  # no bind says rw
    for name in ("proc", "sys", "dev"):  # the host's are covered
        assert os.listdir(sandbox.gofer.directory / "root/0" / name) == []


def test_namespaces(sandbox: Sandbox) -> None:
    here = Process(os.getpid())
    for name in ("user", "mnt", "net", "ipc", "uts", "cgroup"):
        assert sandbox.sentry.namespace(name) != here.namespace(name), name
        assert sandbox.workload.namespace(name) != here.namespace(name), name
    for name in ("user", "pid"):
        assert sandbox.workload.namespace(name) != sandbox.sentry.namespace(name), name
        assert sandbox.workload.namespace(name) != here.namespace(name), name
    assert sandbox.gofer.namespace("mnt") not in (here.namespace("mnt"), sandbox.sentry.namespace("mnt"))


def test_the_sentry_is_not_dumpable(sandbox: Sandbox) -> None:
    """Its /proc files then belong to root, whoever it runs as."""
    assert (sandbox.sentry.directory / "mem").stat().st_uid == 0
    assert (sandbox.sentry.directory / "environ").stat().st_uid == 0


def test_two_sandboxes_share_no_user(runner: Runner, sandbox: Sandbox) -> None:
    if runner.configuration.unprivileged:
        pytest.skip("an ordinary user has one uid for all its sandboxes")
    other = runner.start(["sh", "-c", "echo ready; read end"], stdin=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    assert Process(other.pid).status["Uid"] != sandbox.sentry.status["Uid"]
    runner.finish(other, b"\n")


def test_all_threads_have_the_filter(runner: Runner) -> None:
    program = (
        "import threading, sys\n"
        "for _ in range(3): threading.Thread(target=sys.stdin.readline, daemon=True).start()\n"
        "print('ready', flush=True); threading.Event().wait()"
    )
    process = runner.start(["/usr/bin/python3", "-c", program], stdin=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    workload = Sandbox(process.pid).workload
    threads = list((workload.directory / "task").iterdir())
    assert len(threads) == 4
    for thread in threads:
        lines = (thread / "status").read_text().splitlines()
        assert "Seccomp:\t2" in lines
        assert "NoNewPrivs:\t1" in lines
    process.kill()
    runner.finish(process, has_report=False)


def test_kill_at_any_moment_leaves_nothing(runner: Runner) -> None:
    """SIGKILL to the sentry while it boots: finish() checks that no process is left."""
    for delay_s in (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05):
        process = runner.start(["sleep", "30"])
        time.sleep(delay_s)
        process.kill()
        runner.finish(process, has_report=False)


def test_kill_when_the_workload_is_just_cloned(runner: Runner) -> None:
    """Nobody traces it yet, so it has to notice by itself that the sentry died."""
    for _ in range(10):
        process = runner.start(["sleep", "30"])
        while len(_children(process.pid)) < 2 and process.poll() is None:
            pass
        process.kill()
        runner.finish(process, has_report=False)


@pytest.mark.parametrize("role", ["gofer", "workload"])
def test_when_a_part_is_killed_the_rest_ends(runner: Runner, role: str) -> None:
    process = runner.start(["sh", "-c", "echo ready; sleep 60"])
    assert process.stdout is not None
    process.stdout.readline()
    part: Process = getattr(Sandbox(process.pid), role)
    os.kill(part.pid, 9)
    result = runner.finish(process, has_report=False)
    assert result.status == (125 if role == "gofer" else 137), result

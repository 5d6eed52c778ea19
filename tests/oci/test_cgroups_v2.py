"""Cgroups of real containers in v2 with its controllers, made by ourselves or by systemd: limits, statistics, update,
pause, OOM events, and that they go. Skipped where v1 has the controllers (test_cgroups.py reads those).
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.bundles import Config
from tests.harness.patience import wait_until
from tests.harness.raw_runtime import WAITS, Container, RawRuntime

MIB = 1 << 20
ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ROOT / "cgroup.controllers"
NEEDED = {"cpu", "memory", "pids"}
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make cgroups below the hierarchy's root"),
    pytest.mark.skipif(
        not CONTROLLERS.exists() or not set(CONTROLLERS.read_text().split()) >= NEEDED, reason="no controllers in v2"
    ),
]


@pytest.fixture(params=["directory", "systemd"])
def runtime(raw: RawRuntime, request: pytest.FixtureRequest) -> RawRuntime:
    if request.param == "systemd":
        if not Path("/run/systemd/system").is_dir():
            pytest.skip("systemd is not the init of this machine")
        raw.options.append("--systemd-cgroup")
    return raw


def with_limits(runtime: RawRuntime, **resources: Any) -> Callable[[Config], None]:
    def change(document: Config) -> None:
        document["linux"]["resources"] = resources
        if "--systemd-cgroup" in runtime.options:
            document["linux"]["cgroupsPath"] = f"system.slice:pysentry-test:{uuid.uuid4().hex[:8]}"

    return change


def place(container: Container) -> Path:
    path = Path(f"/proc/{container.pid}/cgroup").read_text().strip().removeprefix("0::/")
    return ROOT / path


def values(directory: Path, *names: str) -> list[str]:
    return [(directory / name).read_text().strip() for name in names]


def units(directory: Path) -> str:
    """What systemd knows of it; "": nothing, or it is not here."""
    if not Path("/run/systemd/system").is_dir():
        return ""
    command = ["systemctl", "list-units", "--all", "--no-legend", "--plain", directory.name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def end(container: Container, directory: Path) -> None:
    container.end()
    assert not directory.exists()
    assert not units(directory)


LIMITS = ("memory.max", "memory.swap.max", "memory.low", "cpu.weight", "cpu.max", "pids.max")


def test_limits_update_and_the_end(runtime: RawRuntime) -> None:
    change = with_limits(
        runtime,
        memory={"limit": 256 * MIB, "swap": 384 * MIB, "reservation": 64 * MIB},
        cpu={"shares": 512, "quota": 50000, "period": 100000},
        pids={"limit": 60},
    )
    container = runtime.start(*WAITS, change=change)
    directory = place(container)
    assert values(directory, *LIMITS) == [
        str(256 * MIB), str(128 * MIB), str(64 * MIB), "20", "50000 100000", "60",
    ]  # fmt: skip
    assert str(container.pid) in (directory / "cgroup.procs").read_text().split()
    assert bool(units(directory)) == ("--systemd-cgroup" in runtime.options)
    container.call("update", "--memory=64m", "--memory-swap=64m", "--pids-limit=70", "--cpu-quota=20000")
    expected = [str(64 * MIB), "0", str(64 * MIB), "20", "20000 100000", "70"]
    assert values(directory, *LIMITS) == expected
    if units(directory):  # what systemd was told is what it writes when it writes a controller's files again
        subprocess.run(["systemctl", "set-property", "--runtime", directory.name, "MemoryHigh=60M"], check=True)
        wait_until(lambda: values(directory, "memory.high") == [str(60 * MIB)], "systemd has written its files")
        assert values(directory, *LIMITS) == expected
    end(container, directory)


def test_statistics_pause_and_exec(runtime: RawRuntime, tmp_path: Path) -> None:
    container = runtime.start(*WAITS, change=with_limits(runtime, memory={"limit": 256 * MIB}, pids={"limit": 60}))
    directory = place(container)
    data = json.loads(container.call("events", "--stats").stdout)["data"]
    assert data["memory"]["usage"]["limit"] == 256 * MIB
    assert data["memory"]["usage"]["usage"] > 0
    assert data["pids"]["limit"] == 60
    assert data["cpu"]["usage"]["total"] > 0
    container.call("pause")
    assert (container.status, values(directory, "cgroup.freeze")) == ("paused", ["1"])
    container.call("resume")
    assert (container.status, values(directory, "cgroup.freeze")) == ("running", ["0"])
    pid_file = tmp_path / "exec-pid"
    runtime.leave("exec", "--detach", "--pid-file", str(pid_file), container.identity, *WAITS)
    assert pid_file.read_text() in (directory / "cgroup.procs").read_text().split()
    end(container, directory)


def test_an_oom_is_told_and_the_name_is_free_again(runtime: RawRuntime) -> None:
    """systemd takes a scope with an OOM kill for failed; a failed unit keeps its name."""
    mark = f"/tmp/{uuid.uuid4().hex}"  # the root file system is shared
    program = f"until test -e {mark}; do sleep 0.01; done; dd if=/dev/zero of=/dev/null bs=200M; sleep 1000"
    change = with_limits(runtime, memory={"limit": 64 * MIB, "swap": 64 * MIB})
    container = runtime.start("sh", "-c", program, change=change)
    directory = place(container)
    with runtime.start_call("events", "--interval=100ms", container.identity, stdout=subprocess.PIPE) as events:
        assert events.stdout is not None
        assert json.loads(events.stdout.readline())["type"] == "stats"
        container.call("exec", "touch", mark)
        assert any(json.loads(line)["type"] == "oom" for line in events.stdout)
        container.kill()
        events.stdout.read()
    wait_until(lambda: container.status == "stopped", "the container's end")
    end(container, directory)


def test_a_sentry_that_is_killed_leaves_no_unit(runtime: RawRuntime) -> None:
    container = runtime.create(*WAITS, change=with_limits(runtime, pids={"limit": 60}))
    directory = place(container)
    os.kill(container.pid, 9)
    assert container.wait() == ("killed", 9)
    container.call("delete")
    runtime.identities.discard(container.identity)
    assert not directory.exists()
    assert not units(directory)

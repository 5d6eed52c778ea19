"""Cgroups of real containers: who is in them when, limits, statistics, pause, OOM events, metrics, and that they go."""

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
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make cgroups below the hierarchies' roots"),
    pytest.mark.skipif(not Path("/sys/fs/cgroup/memory").exists(), reason="reads the files of cgroup v1"),
]


def limits(**resources: Any) -> Callable[[Config], None]:
    return lambda document: document["linux"].update(resources=resources)


def place(container: Container, controller: str) -> Path:
    document = json.loads((container.bundle / "config.json").read_text())
    return Path(f"/sys/fs/cgroup/{controller}{document['linux']['cgroupsPath']}")


def value(container: Container, controller: str, name: str) -> str:
    return (place(container, controller) / name).read_text().strip()


def test_all_processes_are_inside_before_create_returns(raw: RawRuntime) -> None:
    container = raw.create(*WAITS, change=limits(memory={"limit": 256 * MIB}, pids={"limit": 60}))
    for controller in ("memory", "pids", "freezer", "cpu"):
        assert str(container.pid) in value(container, controller, "cgroup.procs").split()
    assert value(container, "memory", "memory.limit_in_bytes") == str(256 * MIB)
    container.end()
    assert not any(place(container, controller).exists() for controller in ("memory", "pids", "freezer", "cpu"))


def test_statistics(raw: RawRuntime) -> None:
    container = raw.start(*WAITS, change=limits(memory={"limit": 256 * MIB}, pids={"limit": 60}))
    event = json.loads(container.call("events", "--stats").stdout)
    assert (event["type"], event["id"]) == ("stats", container.identity)
    assert event["data"]["memory"]["usage"]["limit"] == 256 * MIB
    assert event["data"]["memory"]["usage"]["usage"] > 0
    assert event["data"]["pids"]["limit"] == 60
    assert event["data"]["cpu"]["usage"]["total"] > 0


def test_update_by_options_and_by_document(raw: RawRuntime) -> None:
    container = raw.start(*WAITS, change=limits(memory={"limit": 256 * MIB}, pids={"limit": 60}))
    container.call("update", "--memory=512m", "--pids-limit=70", "--cpu-share=300")
    assert value(container, "memory", "memory.limit_in_bytes") == str(512 * MIB)
    assert value(container, "pids", "pids.max") == "70"
    assert value(container, "cpu", "cpu.shares") == "300"
    document = json.dumps({"memory": {"limit": 128 * MIB}, "cpu": {"quota": 50000, "period": 100000}})
    container.call("update", "--resources=-", input=document)
    assert value(container, "memory", "memory.limit_in_bytes") == str(128 * MIB)
    assert value(container, "cpu", "cpu.cfs_quota_us") == "50000"
    assert value(container, "pids", "pids.max") == "70"


def test_an_impossible_update_says_which(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    told = container.call("update", "--cpuset-cpus=4096", status=1).stderr
    assert "4096" in told
    assert "cpuset.cpus" in told or not raw.is_ours


def test_a_container_that_waits_for_its_sentry_is_paused_at_once(raw: RawRuntime) -> None:
    container = raw.start("sh", "-c", "echo up; read line < /dev/ptmx")
    container.wait_output("up")
    container.call("pause")
    assert container.status == "paused"
    container.call("resume")
    assert container.status == "running"
    container.call("pause")
    container.call("delete", "--force")
    raw.identities.discard(container.identity)


def test_events_tell_of_an_oom_and_end_with_the_container(raw: RawRuntime) -> None:
    # dd holds one block of this size; the sentry and the gofer are smaller and have a better score.
    mark = f"/tmp/{uuid.uuid4().hex}"  # the root file system is shared
    program = f"until test -e {mark}; do sleep 0.01; done; dd if=/dev/zero of=/dev/null bs=200M"
    container = raw.start("sh", "-c", program, change=limits(memory={"limit": 64 * MIB, "swap": 64 * MIB}))
    with raw.start_call("events", "--interval=100ms", container.identity, stdout=subprocess.PIPE) as events:
        assert events.stdout is not None
        assert json.loads(events.stdout.readline())["type"] == "stats"
        container.call("exec", "touch", mark)
        assert any(json.loads(line)["type"] == "oom" for line in events.stdout)
        if not raw.is_ours:  # runc's goes on until the container is deleted
            events.kill()
        events.stdout.read()
    container.wait()


def test_metrics(raw: RawRuntime) -> None:
    if not raw.is_ours:
        pytest.skip("the verb is ours")
    from prometheus_client.parser import text_string_to_metric_families as parse

    running, paused = raw.start(*WAITS), raw.start(*WAITS)
    created = raw.create(*WAITS)
    paused.call("pause")
    found: dict[tuple[str, ...], float] = {}
    for family in parse(raw.call("metrics").stdout):
        found |= {(sample.name, *sample.labels.values()): sample.value for sample in family.samples}
    for container, status in ((running, "running"), (paused, "paused"), (created, "created")):
        assert found["pysentry_container_status", container.identity, status] == 1
        assert found["pysentry_memory_usage_bytes", container.identity] > 0
    assert found["pysentry_calls_total", running.identity, "control"] > 0
    assert found["pysentry_internal_errors_total", running.identity] == 0
    assert found["pysentry_startup_seconds", created.identity] > 0
    assert ("pysentry_calls_total", paused.identity, "control") not in found
    paused.call("resume")


def test_what_a_killed_create_made_goes(raw: RawRuntime) -> None:
    """SIGKILL at whatever moment: a forced delete leaves no cgroup."""
    if not raw.is_ours:
        pytest.skip("runc forgets the cgroup of a container that it had no time to write down")
    bundle = raw.bundle(*WAITS, change=limits(pids={"limit": 60}))
    cgroup = json.loads((bundle / "config.json").read_text())["linux"]["cgroupsPath"]
    for controller in ("cpu", "pids"):
        identity = raw.identity()
        directory = Path(f"/sys/fs/cgroup/{controller}{cgroup}")
        create = raw.start_call(
            "create", "--bundle", str(bundle), identity, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def is_seen(place: Path = directory, process: subprocess.Popen[str] = create) -> bool:
            return place.exists() or process.poll() is not None

        wait_until(is_seen, "the cgroup")
        create.kill()
        create.wait()
        raw.call("delete", "--force", identity)
        assert not directory.exists()

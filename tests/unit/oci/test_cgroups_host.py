"""Real cgroups of this host: what the kernel makes of what we write. As root; what reads v1's files back wants its
memory controller, what freezes in v2 a mount of that, with controllers or without."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pysentry.oci import cgroups
from pysentry.oci.cgroups import events, view
from pysentry.oci.cgroups.files import read
from pysentry.oci.cgroups.v2 import CgroupV2
from pysentry.oci.cgroups.writes import ALWAYS_ALLOWED
from pysentry.oci.document import Fields
from pysentry.oci.errors import CgroupError
from pysentry.oci.spec_resources import Resources
from pysentry.sandbox.hierarchies import UNIFIED, find_hierarchies

MIB = 1 << 20


def has_memory_v1() -> bool:
    return any("memory" in hierarchy.controllers for hierarchy in find_hierarchies())


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make cgroups below the hierarchies' roots")


def resources(**document: Any) -> Resources:
    return Resources(Fields(document, "linux.resources"))


class Made:
    """Makes cgroups with names of their own, and their processes."""

    def __init__(self) -> None:
        self.parent = f"/pysentry-unit-{uuid.uuid4().hex[:8]}"
        self.cgroups: list[cgroups.Cgroup] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, name: str = "one", **document: Any) -> cgroups.Cgroup:
        cgroup, self.warnings = cgroups.make(f"{self.parent}/{name}", resources(**document), name)
        self.cgroups.append(cgroup)
        return cgroup

    def run(self, cgroup: cgroups.Cgroup, program: str) -> subprocess.Popen[bytes]:
        """A Python program in the cgroup, from its first instruction on."""
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, preexec_fn=cgroup.join)
        self.processes.append(process)
        return process


@pytest.fixture
def made() -> Iterator[Made]:
    if not has_memory_v1():
        pytest.skip("no v1 memory controller: its files are what is read back here")
    maker = Made()
    yield maker
    for cgroup in maker.cgroups:
        cgroup.kill()
        cgroup.destroy()
    for process in maker.processes:
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert not list(Path("/sys/fs/cgroup").glob(f"*{maker.parent}"))


def value(cgroup: cgroups.Cgroup, controller: str, name: str) -> str:
    return read(cgroup.paths[controller], name)


def test_what_was_planned_is_found_and_harms_nobody(made: Made) -> None:
    """`create` died between writing down where the cgroup goes and writing down that it is there."""
    planned = cgroups.reopen(cgroups.plan(f"{made.parent}/one", "one").to_document())
    assert planned.directories
    assert not any(map(os.path.exists, planned.directories))
    planned.destroy()
    cgroup = made()
    assert planned.paths == cgroup.paths
    process = made.run(cgroup, SLEEPER)
    wait_for_up(process)
    planned.kill()
    planned.destroy()
    assert cgroup.pids() == [process.pid]
    cgroup.kill()
    process.wait()
    cgroups.make(f"{made.parent}/two", None, "two")
    planned = cgroups.plan(f"{made.parent}/two", "two")
    planned.destroy()
    assert not any(map(os.path.exists, planned.directories))


SLEEPER = "import time; print('up', flush=True); time.sleep(1000)"
BUSY = "print('up', flush=True)\nwhile True: pass"


def wait_for_up(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"


def test_limits_are_read_back(made: Made) -> None:
    disk = Path("/proc/partitions").read_text().split("\n")[2].split()
    device = {"major": int(disk[0]), "minor": int(disk[1])}
    cgroup = made(
        memory={"limit": 64 * MIB, "swap": 128 * MIB, "reservation": 32 * MIB, "kernelTCP": 16 * MIB, "swappiness": 30},
        cpu={"shares": 512, "quota": 50000, "period": 100000, "burst": 1000, "cpus": "0", "mems": "0"},
        pids={"limit": 77},
        blockIO={
            "throttleReadBpsDevice": [device | {"rate": MIB}],
            "throttleWriteIOPSDevice": [device | {"rate": 100}],
        },
        devices=[{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "minor": 229}],
    )
    assert made.warnings == []
    read_back = {
        ("memory", "memory.limit_in_bytes"): str(64 * MIB),
        ("memory", "memory.memsw.limit_in_bytes"): str(128 * MIB),
        ("memory", "memory.soft_limit_in_bytes"): str(32 * MIB),
        ("memory", "memory.kmem.tcp.limit_in_bytes"): str(16 * MIB),
        ("memory", "memory.swappiness"): "30",
        ("cpu", "cpu.shares"): "512",
        ("cpu", "cpu.cfs_quota_us"): "50000",
        ("cpu", "cpu.cfs_period_us"): "100000",
        ("cpu", "cpu.cfs_burst_us"): "1000",
        ("cpuset", "cpuset.cpus"): "0",
        ("cpuset", "cpuset.mems"): "0",
        ("pids", "pids.max"): "77",
        ("blkio", "blkio.throttle.read_bps_device"): f"{disk[0]}:{disk[1]} {MIB}",
        ("blkio", "blkio.throttle.write_iops_device"): f"{disk[0]}:{disk[1]} 100",
    }
    assert {key: value(cgroup, *key) for key in read_back} == read_back
    listed = value(cgroup, "devices", "devices.list").splitlines()
    assert set(listed) == {*ALWAYS_ALLOWED, "c 10:229 rwm"}


def test_a_rejected_value_names_field_file_and_value(made: Made) -> None:
    with pytest.raises(CgroupError, match=r"^cpu\.cpus: cannot write '4096' to /.*/cpuset\.cpus: .*\(E[A-Z]+\)$"):
        made(cpu={"cpus": "4096"})


def test_what_the_host_lacks_is_a_warning(made: Made) -> None:
    if any("rdma" in hierarchy.controllers for hierarchy in find_hierarchies()):
        pytest.skip("this host has an rdma controller")
    made(rdma={"mlx5_1": {"hcaHandles": 3}}, unified={"memory.high": "1"})
    assert made.warnings == [
        "rdma.mlx5_1: ignored: the rdma controller is not mounted on this host",
        "unified.memory.high: ignored: cgroup v1 has no file for it",
    ]


@pytest.mark.parametrize("first", [64, 512])
def test_update_in_any_order_of_old_and_new(made: Made, first: int) -> None:
    """Up and down: each pair is in conflict with the old one, if written in the wrong order."""
    cgroup = made(
        memory={"limit": first * MIB, "swap": first * MIB}, cpu={"quota": 20000, "period": 50000, "burst": 20000}
    )
    for limit, quota, period in ((512, 500000, 1000000), (64, 1000, 2000), (128, 200000, 400000)):
        document = resources(
            memory={"limit": limit * MIB, "swap": limit * MIB},
            cpu={"quota": quota, "period": period, "burst": quota},
        )
        assert cgroup.update(document) == []
        assert value(cgroup, "memory", "memory.limit_in_bytes") == str(limit * MIB)
        assert value(cgroup, "memory", "memory.memsw.limit_in_bytes") == str(limit * MIB)
        assert value(cgroup, "cpu", "cpu.cfs_quota_us") == str(quota)
        assert value(cgroup, "cpu", "cpu.cfs_period_us") == str(period)
        assert value(cgroup, "cpu", "cpu.cfs_burst_us") == str(quota)
    assert cgroup.update(resources(memory={"limit": -1}, pids={"limit": 0}, cpu={"quota": -1, "burst": 0})) == []
    assert int(value(cgroup, "memory", "memory.memsw.limit_in_bytes")) > 1 << 60
    assert value(cgroup, "pids", "pids.max") == "max"
    assert value(cgroup, "cpu", "cpu.cfs_quota_us") == "-1"


def test_update_leaves_what_is_not_given(made: Made) -> None:
    cgroup = made(pids={"limit": 5}, devices=[{"allow": False}])
    listed = value(cgroup, "devices", "devices.list")
    cgroup.update(resources(cpu={"shares": 300, "quota": 0}, devices=[{"allow": True}]))
    assert value(cgroup, "pids", "pids.max") == "5"
    assert value(cgroup, "cpu", "cpu.shares") == "300"
    assert value(cgroup, "cpu", "cpu.cfs_quota_us") == "-1"
    assert value(cgroup, "devices", "devices.list") == listed


def test_stats_of_a_busy_process(made: Made) -> None:
    cgroup = made(pids={"limit": 9}, memory={"limit": 256 * MIB})
    wait_for_up(made.run(cgroup, BUSY))
    first = cgroup.stats()
    while (second := cgroup.stats())["cpu"]["usage"]["user"] <= first["cpu"]["usage"]["user"]:
        pass
    assert second["cpu"]["usage"]["total"] > first["cpu"]["usage"]["total"] > 0
    assert sum(second["cpu"]["usage"]["percpu"]) > 0
    assert second["memory"]["usage"]["limit"] == 256 * MIB
    assert MIB < second["memory"]["usage"]["usage"] <= second["memory"]["usage"]["max"]
    assert second["memory"]["raw"]["total_rss"] > MIB
    assert second["pids"] == {"current": 1, "limit": 9}
    assert second["cpuset"]["cpus"]
    # The keys that the contract lists.
    event = events.stats_event("one", cgroup)
    assert (event["type"], event["id"]) == ("stats", "one")
    assert {"cpu", "memory", "pids", "blkio", "hugetlb"} <= event["data"].keys()
    assert {"usage", "swap", "kernel", "kernelTCP", "raw"} <= event["data"]["memory"].keys()
    json.dumps(event)


def test_freezing_stops_and_thawing_goes_on(made: Made) -> None:
    cgroup = made()
    wait_for_up(made.run(cgroup, BUSY))
    cgroup.freeze()
    assert cgroup.is_frozen()
    usage = cgroup.stats()["cpu"]["usage"]["total"]
    assert cgroup.stats()["cpu"]["usage"]["total"] == usage
    again = cgroups.reopen(json.loads(json.dumps(cgroup.to_document())))
    assert again.is_frozen()
    again.thaw()
    assert not cgroup.is_frozen()
    while cgroup.stats()["cpu"]["usage"]["total"] == usage:
        pass


def test_killing_a_frozen_cgroup_that_forks(made: Made) -> None:
    cgroup = made(pids={"limit": 50})
    program = (
        "import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nprint('up', flush=True)\n"
        "while True:\n  try:\n    os.fork()\n  except OSError:\n    pass"
    )
    process = made.run(cgroup, program)
    wait_for_up(process)
    cgroup.freeze()
    cgroup.kill()
    assert process.wait() == -signal.SIGKILL
    cgroup.destroy()
    assert cgroup.pids() == []


def test_destroying_with_a_process_inside_waits_and_fails(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    cgroup = made()
    process = made.run(cgroup, SLEEPER)
    wait_for_up(process)
    assert cgroup.pids() == [process.pid]
    monkeypatch.setattr("pysentry.oci.cgroups.cgroup.PATIENCE_S", 0.01)
    with pytest.raises(CgroupError, match="unable to remove cgroup /"):
        cgroup.destroy()


def test_destroying_takes_what_the_container_made_below(made: Made) -> None:
    cgroup = made()
    for directory in cgroup.directories:
        os.makedirs(f"{directory}/inner/most")
    cgroup.destroy()
    cgroup.destroy()


def test_a_parent_stays_until_its_last_container_goes(made: Made) -> None:
    first, second = made("first"), made("second")
    place = Path(first.paths["memory"]).parent
    first.destroy()
    assert place.exists()
    second.destroy()
    assert not place.exists()


def test_a_parent_of_others_stays(made: Made) -> None:
    place = Path("/sys/fs/cgroup/memory" + made.parent)
    place.mkdir()
    made("first").destroy()
    assert place.exists()
    place.rmdir()


def test_a_cgroup_with_processes_is_refused_and_unharmed(made: Made) -> None:
    cgroup = made()
    process = made.run(cgroup, SLEEPER)
    wait_for_up(process)
    with pytest.raises(CgroupError, match="container's cgroup is not empty: 1 process"):
        cgroups.make(f"{made.parent}/one", None, "other")
    assert cgroup.pids() == [process.pid]


def until(poll_fd: int, mask: int) -> None:
    poll = select.poll()
    poll.register(poll_fd, mask)
    poll.poll()


def test_oom_is_told(made: Made) -> None:
    cgroup = made(memory={"limit": 32 * MIB, "swap": 32 * MIB})
    watch = cgroup.oom_watch()
    process = made.run(cgroup, "data = bytearray(b'x') * (200 << 20)")
    until(watch.fileno(), watch.events)
    assert watch.take() >= 1
    assert process.wait() == -signal.SIGKILL
    cgroup.destroy()
    until(watch.fileno(), watch.events)  # the kernel wakes whoever watched
    assert watch.take() == 0
    watch.close()


def pidfd(process: subprocess.Popen[bytes]) -> int:
    return os.pidfd_open(process.pid)


def test_the_stream_ends_with_the_container_and_tells_its_oom_first(made: Made) -> None:
    cgroup = made(memory={"limit": 32 * MIB, "swap": 32 * MIB})
    program = "import sys\nprint('up', flush=True)\nsys.stdin.read(1)\ndata = bytearray(b'x') * (200 << 20)"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=cgroup.join
    )
    made.processes.append(process)
    wait_for_up(process)
    end = pidfd(process)
    stream = events.stream("one", cgroup, 0.01, end)
    assert next(stream)["type"] == "stats"
    assert process.stdin is not None
    process.stdin.close()
    rest = [event for event in stream if event["type"] != "stats"]
    assert rest
    assert rest[0] == {"type": "oom", "id": "one"}
    os.close(end)


def test_the_view_inside_names_each_hierarchy(made: Made) -> None:
    cgroup = made(memory={"limit": 64 * MIB})
    shown = {controller: one.host for one in view.view(cgroup) for controller in one.controllers}
    assert read(shown["memory"], "memory.limit_in_bytes") == str(64 * MIB)
    assert set(shown.values()) == set(cgroup.directories)


def test_joining_from_outside(made: Made) -> None:
    cgroup = made()
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE)
    made.processes.append(process)
    wait_for_up(process)
    cgroup.join(process.pid)
    lines = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
    inside = [line for line in lines if line.endswith(f"{made.parent}/one")]
    assert len(inside) == len(cgroup.directories)


@pytest.fixture
def as_nobody() -> Callable[[str], str]:
    def run(program: str) -> str:
        def become_nobody() -> None:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)

        source = str(Path(cgroups.__file__).resolve().parents[3])
        program = f"import sys; sys.path.insert(0, {source!r})\n{program}"
        done = subprocess.run(
            ["/usr/bin/python3", "-c", program], preexec_fn=become_nobody, capture_output=True, text=True, cwd="/"
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


ASK = """
from pysentry.oci import cgroups
from pysentry.oci.document import Fields
from pysentry.oci.errors import CgroupError
from pysentry.oci.spec_resources import Resources
try:
    cgroup, warnings = cgroups.make("/pysentry-unit-nobody", Resources(Fields({document}, "")), "x", {is_rootless})
    cgroup.join(); cgroup.kill(); cgroup.destroy()
    print(cgroup.to_document(), "; ".join(warnings))
except CgroupError as error:
    print("error", error)
"""


def test_an_unprivileged_user_has_no_cgroup(as_nobody: Callable[[str], str]) -> None:
    document = "{'devices': [{'allow': False}], 'pids': {'limit': -1}}"
    program = ASK.replace("{document}", document)
    said = as_nobody(program.replace("{is_rootless}", "True"))
    assert said.startswith("{'version': 0, 'paths': {}} no cgroup: ")
    assert "EACCES" in said
    said = as_nobody(program.replace("{is_rootless}", "False"))
    assert said.startswith("error cannot make cgroup ")
    assert "EACCES" in said
    assert said.endswith("(--rootless=true goes on without)\n")


def test_an_unprivileged_user_asks_for_limits(as_nobody: Callable[[str], str]) -> None:
    said = as_nobody(ASK.replace("{document}", "{'memory': {'limit': 1 << 26}}").replace("{is_rootless}", "True"))
    assert said.startswith("error cannot set limits: no cgroup can be made (")


def freezer_v2() -> Path | None:
    """v2 freezes and kills without any controller, so also beside v1."""
    for hierarchy in find_hierarchies():
        if hierarchy.controllers == (UNIFIED,):
            return Path(hierarchy.mount_point)
    return None


@pytest.fixture
def made_v2() -> Iterator[CgroupV2]:
    place = freezer_v2()
    if place is None:
        pytest.skip("cgroup v2 is not mounted on this host")
    directory = place / f"pysentry-unit-{uuid.uuid4().hex[:8]}"
    directory.mkdir()
    cgroup = CgroupV2({UNIFIED: str(directory)})
    yield cgroup
    cgroup.kill()
    cgroup.destroy()
    assert not directory.exists()


def test_v2_freezes_thaws_and_kills(made_v2: CgroupV2) -> None:
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=made_v2.join) as process:
        wait_for_up(process)
        assert made_v2.pids() == [process.pid]
        made_v2.freeze()
        assert cgroups.reopen(made_v2.to_document()).is_frozen()
        made_v2.thaw()
        assert not made_v2.is_frozen()
        made_v2.freeze()
        made_v2.kill()
        assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("platform", ["seccomp", "ptrace"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_sandbox_is_frozen_while_its_program_waits_for_the_sentry(
    request: pytest.FixtureRequest, platform: str, version: int
) -> None:
    """The kernel never calls it frozen: the program sleeps killably until the sentry, frozen too, answers."""
    cgroup: cgroups.Cgroup
    cgroup = request.getfixturevalue("made")() if version == 1 else request.getfixturevalue("made_v2")
    command = [sys.executable, "-m", "pysentry", "run", f"--platform={platform}", "--", "sh", "-c", "echo up; cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=cgroup.join) as process:
        wait_for_up(process)
        cgroup.freeze()
        assert cgroup.is_frozen()
        cgroup.thaw()
        assert process.communicate(b"still here")[0] == b"still here"
        assert process.returncode == 0


def test_a_user_who_is_not_told_where_tasks_sleep_can_freeze(
    made_v2: CgroupV2, as_nobody: Callable[[str], str]
) -> None:
    """A sandbox has always a task that waits for the sentry, and is not for its user to look into."""
    directory = made_v2.paths[UNIFIED]
    os.chown(f"{directory}/cgroup.freeze", 65534, 65534)
    command = [sys.executable, "-m", "pysentry", "run", "--", "sh", "-c", "echo up; cat"]
    freezing = f"from pysentry.oci.cgroups.v2 import CgroupV2; CgroupV2({{'': {directory!r}}}).freeze()"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=made_v2.join) as process:
        wait_for_up(process)
        as_nobody(freezing)
        assert made_v2.is_frozen()
        made_v2.thaw()
        assert process.communicate(b"still here")[0] == b"still here"

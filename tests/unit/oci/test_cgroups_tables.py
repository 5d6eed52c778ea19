"""Which file gets what, in v1 and v2: trees of files that look like a host's. What the kernel says to it is
test_cgroups_host.py's."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyfakefs.fake_filesystem import FakeFilesystem

from pysentry.oci import cgroups
from pysentry.oci.cgroups import update, view, writes
from pysentry.oci.cgroups.files import NO_LIMIT, expand_list
from pysentry.oci.cgroups.placement import clean_path
from pysentry.oci.cgroups.writes import (
    ALWAYS_ALLOWED,
    plan,
    plan_devices,
    weight_of_block_io,
    weight_of_shares,
)
from pysentry.oci.document import Fields
from pysentry.oci.errors import CgroupError, UsageError
from pysentry.oci.spec_resources import Resources
from pysentry.sandbox.hierarchies import find_hierarchies, memory_limit_bytes

V1_MOUNTS = """\
30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw shared:2 master:3 - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
35 30 0:28 /some /mnt/a\\040second\\040mount rw - cgroup cgroup rw,memory
36 30 0:31 /../outside /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
"""
V1_OWN = "12:pids:/\n11:memory:/us\n4:cpu,cpuacct:/us\n1:name=systemd:/us\n0::/us\n"
V2_MOUNTS = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"


def resources(**document: Any) -> Resources:
    return Resources(Fields(document, "linux.resources"))


def host(fs: FakeFilesystem, mounts: str, own: str) -> None:
    for name, text in (("mountinfo", mounts), ("cgroup", own)):
        path = f"/proc/self/{name}"
        if fs.exists(path):
            fs.remove(path)
        fs.create_file(path, contents=text)


def files(fs: FakeFilesystem, directory: str, **texts: str) -> None:
    for name, text in texts.items():
        fs.create_file(f"{directory}/{name}", contents=text)


def has(directory: str) -> dict[str, str]:
    found = {}
    for name in os.listdir(directory):
        with open(f"{directory}/{name}") as file:
            found[name] = file.read()
    return found


@pytest.fixture
def v1(fs: FakeFilesystem) -> FakeFilesystem:
    host(fs, V1_MOUNTS, V1_OWN)
    for name in ("cpu,cpuacct", "memory", "systemd"):
        files(fs, f"/sys/fs/cgroup/{name}/box", **{"cgroup.procs": ""})
    return fs


V2_FILES = {
    "cgroup.controllers": "cpuset cpu io memory pids hugetlb rdma\n",
    "cgroup.freeze": "0\n",
    "cpu.max": "max 100000\n",
    "cpu.max.burst": "0\n",
    "cpu.weight": "100\n",
    "cpu.idle": "0\n",
    "cpuset.cpus": "",
    "cpuset.mems": "",
    "io.max": "",
    "io.weight": "default 100\n",
    "memory.low": "0\n",
    "memory.max": "max\n",
    "memory.swap.max": "max\n",
    "memory.high": "max\n",
    "pids.max": "max\n",
    "hugetlb.2MB.max": "max\n",
    "rdma.max": "",
}
BOX = "/sys/fs/cgroup/box"


@pytest.fixture
def v2(fs: FakeFilesystem) -> FakeFilesystem:
    host(fs, V2_MOUNTS, "0::/user.slice/session.scope\n")
    files(fs, BOX, **V2_FILES, **{"cgroup.procs": ""})
    fs.create_file("/sys/fs/cgroup/cgroup.controllers", contents=V2_FILES["cgroup.controllers"])
    fs.create_file("/sys/fs/cgroup/cgroup.subtree_control", contents="cpuset cpu io memory pids hugetlb rdma\n")
    return fs


# ---- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("", "the-id"),
        ("/kubepods/burstable/pod1/c1", "/kubepods/burstable/pod1/c1"),
        ("relative/one", "relative/one"),
        ("/../../etc", "/etc"),
        ("../../up", "up"),
        ("a/../../../b", "b"),
        ("..", "the-id"),
        ("//twice", "/twice"),
        ("machine.slice:libpod:abc", "/machine.slice/libpod-abc.scope"),
        ("kubepods-burstable-pod1.slice:crio:abc",
         "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/crio-abc.scope"),
        (":docker:abc", "/system.slice/docker-abc.scope"),
        ("-.slice:x:abc", "/x-abc.scope"),
        ("a.slice::abc", "/a.slice/abc.scope"),
        ("a.slice:x:b.slice", "/a.slice/b.slice"),
        ("../..:x:y", "..:x:y"),  # has a slash: a plain path
        ("..:..:..", "/...slice/..-...scope"),
        ("/a:b:c", "/a:b:c"),
    ],
)  # fmt: skip
def test_path(asked: str, path: str) -> None:
    assert clean_path(asked, "the-id") == path


@given(st.text(alphabet="./:ab-", max_size=30), st.sampled_from(["id", "a.b"]))
def test_no_path_leads_out(asked: str, identity: str) -> None:
    path = clean_path(asked, identity)
    inside = os.path.normpath("/top/" + path)
    assert inside.startswith("/top")
    assert ".." not in path.split("/")


def test_hierarchies(v1: FakeFilesystem) -> None:
    found = {hierarchy.controllers: hierarchy for hierarchy in find_hierarchies()}
    assert list(found) == [("cpu", "cpuacct"), ("memory",), ("name=systemd",), ("",)]
    assert found[("memory",)].directory("/box") == "/sys/fs/cgroup/memory/box"
    assert found[("memory",)].directory("box") == "/sys/fs/cgroup/memory/us/box"
    assert found[("",)].directory("box") == "/sys/fs/cgroup/unified/box"


def test_a_mount_of_a_part(fs: FakeFilesystem) -> None:
    """Inside a container without a cgroup namespace."""
    line = "32 30 0:28 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    host(fs, line, "11:memory:/docker/abc/inner\n")
    (memory,) = find_hierarchies()
    assert memory.directory("box") == "/sys/fs/cgroup/memory/inner/box"
    assert memory.directory("/box") == "/sys/fs/cgroup/memory/box"


def test_memory_that_our_cgroup_leaves_us_v1(v1: FakeFilesystem) -> None:
    statistics = "cache 0\nhierarchical_memory_limit {}\ntotal_cache 0\n"
    assert memory_limit_bytes() is None
    files(v1, "/sys/fs/cgroup/memory/us", **{"memory.stat": statistics.format(1 << 30)})
    assert memory_limit_bytes() == 1 << 30
    (Path("/sys/fs/cgroup/memory/us/memory.stat")).write_text(statistics.format(0x7FFFFFFFFFFFF000))
    assert memory_limit_bytes() is None


def test_memory_that_our_cgroup_leaves_us_v2(fs: FakeFilesystem) -> None:
    host(fs, V2_MOUNTS, "0::/a/b/c\n")
    assert memory_limit_bytes() is None
    files(fs, "/sys/fs/cgroup/a", **{"memory.max": "1000000\n"})
    files(fs, "/sys/fs/cgroup/a/b", **{"memory.max": "2000000\n"})
    files(fs, "/sys/fs/cgroup/a/b/c", **{"memory.max": "max\n"})
    assert memory_limit_bytes() == 1000000


def test_nothing_is_mounted(fs: FakeFilesystem) -> None:
    host(fs, "25 1 0:1 / / rw - ext4 /dev/sda rw\n", "0::/\n")
    cgroup, warnings = cgroups.make("/box", resources(devices=[{"allow": False}]), "box")
    assert (cgroup.paths, warnings) == ({}, ["no cgroup: none is mounted"])
    with pytest.raises(CgroupError, match=r"cannot set limits: .* \(no cgroup file system is mounted\)"):
        cgroups.make("/box", resources(pids={"limit": 5}), "box")


# ---- what -----------------------------------------------------------------------------------------------------------

DISK = {"major": 8, "minor": 0}
EVERYTHING: dict[str, Any] = {
    "memory": {"limit": 1 << 26, "swap": 1 << 27, "reservation": 1 << 25, "swappiness": 10, "disableOOMKiller": True},
    "cpu": {"shares": 1024, "quota": 5000, "period": 20000, "burst": 100, "idle": 0, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 0},
    "blockIO": {
        "weight": 500,
        "weightDevice": [DISK | {"weight": 1000}],
        "throttleReadBpsDevice": [DISK | {"rate": 1048576}],
        "throttleWriteIOPSDevice": [DISK | {"rate": 0}],
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 1 << 22}],
    "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 5}, {"name": "lo", "priority": 0}]},
    "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
    "unified": {"memory.high": "33554432"},
}


def planned(version: int, **document: Any) -> list[tuple[str, str]]:
    return [(item.files[0], item.text) for item in plan(resources(**document), version) if item.files]


def test_everything_in_v1() -> None:
    assert planned(1, **EVERYTHING) == [
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("memory.limit_in_bytes", "67108864"),
        ("memory.soft_limit_in_bytes", "33554432"),
        ("memory.swappiness", "10"),
        ("memory.oom_control", "1"),
        ("cpu.shares", "1024"),
        ("cpu.cfs_period_us", "20000"),
        ("cpu.cfs_quota_us", "5000"),
        ("cpu.cfs_burst_us", "100"),
        ("cpu.idle", "0"),
        ("pids.max", "max"),
        ("blkio.weight", "500"),
        ("blkio.weight_device", "8:0 1000"),
        ("blkio.throttle.read_bps_device", "8:0 1048576"),
        ("blkio.throttle.write_iops_device", "8:0 0"),
        ("net_cls.classid", "1048577"),
        ("net_prio.ifpriomap", "eth0 5"),
        ("net_prio.ifpriomap", "lo 0"),
        ("memory.memsw.limit_in_bytes", "134217728"),
        ("hugetlb.2MB.limit_in_bytes", "4194304"),
        ("hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
        ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"),
    ]


def test_everything_in_v2(v2: FakeFilesystem) -> None:
    cgroup, warnings = cgroups.make("/box", resources(**EVERYTHING, devices=[{"allow": False}]), "box")
    assert cgroup.version == 2
    written = {
        name: text for name, text in has(BOX).items() if text.rstrip("\n") != V2_FILES.get(name, "").rstrip("\n")
    }
    assert written == {
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "memory.max": "67108864",
        "memory.low": "33554432",
        "memory.swap.max": "67108864",
        "memory.high": "33554432",
        "cpu.weight": "39",
        "cpu.max": "5000 20000",
        "cpu.max.burst": "100",
        "io.weight": "8:0 10000",  # a file of the kernel keeps "default 4950" beside it
        "io.max": "8:0 wiops=max",
        "hugetlb.2MB.max": "4194304",
        "rdma.max": "mlx5_1 hca_handle=3 hca_object=10000",
    }
    assert warnings == [
        f"{field}: ignored: cgroup v2 has no file for it"
        for field in ("devices", "memory.swappiness", "memory.disableOOMKiller", "network.classID")
        + ("network.priorities",) * 2
    ]


@pytest.mark.parametrize(
    ("document", "v1_writes", "v2_writes"),
    [
        ({"memory": {"limit": -1}},
         [("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
         [("memory.max", "max"), ("memory.swap.max", "max")]),
        ({"memory": {"limit": 0, "swap": 0, "reservation": 0}}, [], []),
        ({"memory": {"limit": 5, "swap": 5}},
         [("memory.limit_in_bytes", "5"), ("memory.memsw.limit_in_bytes", "5")],
         [("memory.max", "5"), ("memory.swap.max", "0")]),
        ({"memory": {"limit": 5, "swap": -1}},
         [("memory.limit_in_bytes", "5"), ("memory.memsw.limit_in_bytes", "-1")],
         [("memory.max", "5"), ("memory.swap.max", "max")]),
        ({"memory": {"disableOOMKiller": False, "useHierarchy": True}}, [("memory.use_hierarchy", "1")], []),
        ({"cpu": {"quota": -1}}, [("cpu.cfs_quota_us", "-1")], [("cpu.max", "max 100000")]),
        ({"cpu": {"period": 50000}}, [("cpu.cfs_period_us", "50000")], [("cpu.max", "{cpu.max} 50000")]),
        ({"cpu": {"shares": 0, "quota": 0, "period": 0}}, [], []),
        ({"cpu": {"shares": 2}}, [("cpu.shares", "2")], [("cpu.weight", "1")]),
        ({"cpu": {"shares": 262144}}, [("cpu.shares", "262144")], [("cpu.weight", "10000")]),
        ({"cpu": {"realtimeRuntime": 950, "realtimePeriod": 1000}},
         [("cpu.rt_period_us", "1000"), ("cpu.rt_runtime_us", "950")], []),
        ({"pids": {"limit": -1}}, [("pids.max", "max")], [("pids.max", "max")]),
        ({"unified": {"io.latency": "8:0 target=1\n8:16 target=2"}}, [],
         [("io.latency", "8:0 target=1"), ("io.latency", "8:16 target=2")]),
    ],
)  # fmt: skip
def test_conversions(document: dict[str, Any], v1_writes: list[Any], v2_writes: list[Any]) -> None:
    assert planned(1, **document) == v1_writes
    assert planned(2, **document) == v2_writes


def test_a_period_alone_keeps_the_quota(v2: FakeFilesystem) -> None:
    cgroup, _ = cgroups.make("/box", resources(cpu={"quota": 7000}), "box")
    cgroup.update(resources(cpu={"period": 50000}))
    assert has(BOX)["cpu.max"] == "7000 50000"


@pytest.mark.parametrize(
    ("memory", "says"),
    [
        ({"limit": 10, "swap": 5}, r"memory\.swap: 5 is less than memory\.limit, 10"),
        ({"swap": 5}, "unable to set swap limit without memory limit"),
    ],
)
def test_contradictions_in_v2(v2: FakeFilesystem, memory: dict[str, int], says: str) -> None:
    with pytest.raises(CgroupError, match=says):
        cgroups.make("/box", resources(memory=memory), "box")


@given(st.integers(0, 1 << 63))
def test_weights_stay_in_range(shares: int) -> None:
    assert 1 <= weight_of_shares(shares) <= 10000


def test_block_io_weights() -> None:
    assert [weight_of_block_io(weight) for weight in (10, 500, 1000)] == [1, 4950, 10000]


def test_bfq_takes_the_weight_as_it_is(v2: FakeFilesystem) -> None:
    v2.create_file(f"{BOX}/io.bfq.weight")
    cgroups.make("/box", resources(blockIO={"weight": 500}), "box")
    assert has(BOX)["io.bfq.weight"] == "500"
    assert has(BOX)["io.weight"] == V2_FILES["io.weight"]


def test_v1_takes_the_name_that_the_host_has(v1: FakeFilesystem) -> None:
    host(v1, V1_MOUNTS.replace("rw,memory", "rw,blkio"), V1_OWN.replace("memory", "blkio"))
    files(v1, "/sys/fs/cgroup/memory/box", **{"blkio.bfq.weight": "100"})
    _, warnings = cgroups.make("/box", resources(blockIO={"weight": 500, "leafWeight": 10}), "box")
    assert has("/sys/fs/cgroup/memory/box")["blkio.bfq.weight"] == "500"
    assert warnings == ["blockIO.leafWeight: ignored: this host has no blkio.leaf_weight"]


def test_a_controller_that_a_parent_withholds_is_an_error(v2: FakeFilesystem) -> None:
    v2.remove(f"{BOX}/pids.max")
    v2.remove(f"{BOX}/cgroup.controllers")
    v2.create_file(f"{BOX}/cgroup.controllers", contents="memory\n")
    with pytest.raises(CgroupError, match=r"pids\.limit: the pids controller cannot be enabled for /sys/fs/cgroup/box"):
        cgroups.make("/box", resources(pids={"limit": 5}), "box")


def test_controllers_are_handed_down(v2: FakeFilesystem) -> None:
    v2.remove("/sys/fs/cgroup/cgroup.subtree_control")
    v2.create_file("/sys/fs/cgroup/cgroup.subtree_control", contents="cpuset cpu io memory pids hugetlb\n")
    cgroups.make("/box", None, "box")
    with open("/sys/fs/cgroup/cgroup.subtree_control") as file:
        assert file.read().startswith("+rdma")


DENY_ALL = ("devices.deny", "a *:* rwm")


@pytest.mark.parametrize(
    ("rules", "texts"),
    [
        ([], []),
        ([{"allow": False}], []),
        ([{"allow": False, "type": "a", "access": "rwm"}], []),
        ([{"allow": False}, {"allow": True}], [("devices.allow", "a *:* rwm")]),
        ([{"allow": True, "type": "c", "major": 1, "access": "r"}], [("devices.allow", "c 1:* r")]),
        ([{"allow": True, "major": 7, "minor": -1}], [("devices.allow", "b 7:* rwm"), ("devices.allow", "c 7:* rwm")]),
        ([{"allow": True, "access": "m"}], [("devices.allow", "b *:* m"), ("devices.allow", "c *:* m")]),
    ],
)
def test_device_rules(rules: list[dict[str, Any]], texts: list[tuple[str, str]]) -> None:
    """What is not listed is denied. The kernel takes anything that begins with `a` for everything."""
    written = [(item.files[0], item.text) for item in plan_devices(resources(devices=rules), 1)]
    assert written == [DENY_ALL, *texts, *(("devices.allow", rule) for rule in ALWAYS_ALLOWED)]


def test_a_device_that_a_parent_denies(v1: FakeFilesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime in a container: its own list cannot be widened."""
    host(v1, V1_MOUNTS.replace("rw,memory", "rw,devices"), V1_OWN.replace("memory", "devices"))
    files(v1, "/sys/fs/cgroup/memory/box", **{"devices.allow": "", "devices.deny": ""})

    def refuse(directory: str, name: str, text: str) -> None:
        if name == "devices.allow":
            raise OSError(errno.EPERM, "")

    monkeypatch.setattr(writes, "write", refuse)
    _, warnings = cgroups.make("/box", resources(devices=[{"allow": True, "type": "c", "major": 10}]), "box")
    assert warnings == ["devices: cannot allow 'c 10:* rwm': a parent cgroup denies it"]


# ---- read back ------------------------------------------------------------------------------------------------------


def test_stats_of_v2(v2: FakeFilesystem) -> None:
    for name, text in {
        "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\n",
        "memory.current": "4096\n",
        "memory.peak": "8192\n",
        "memory.stat": "anon 1\nfile 2\nkernel 3\nsock 4\n",
        "memory.events": "low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\n",
        "memory.swap.current": "100\n",
        "pids.current": "3\n",
        "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \n",
        "hugetlb.2MB.current": "2097152\n",
        "hugetlb.2MB.events": "max 9\n",
        "cpuset.cpus.effective": "0-1,3\n",
        "cpuset.mems.effective": "0\n",
    }.items():
        v2.create_file(f"{BOX}/{name}", contents=text)
    cgroup, _ = cgroups.make("/box", resources(memory={"limit": 65536, "swap": 131072}, pids={"limit": 9}), "box")
    stats = cgroup.stats()
    assert stats["cpu"]["usage"] == {"total": 30000, "percpu": [], "kernel": 10000, "user": 20000}
    assert stats["cpu"]["throttling"] == {"periods": 4, "throttledPeriods": 2, "throttledTime": 7000}
    assert stats["cpuset"] == {"cpus": [0, 1, 3], "mems": [0]}
    assert stats["memory"]["usage"] == {"limit": 65536, "usage": 4096, "max": 8192, "failcnt": 5}
    assert stats["memory"]["swap"]["limit"] == 131072
    assert stats["memory"]["swap"]["usage"] == 4196
    assert stats["memory"]["cache"] == 2
    assert stats["memory"]["kernelTCP"]["limit"] == NO_LIMIT
    assert stats["pids"] == {"current": 3, "limit": 9}
    assert stats["hugetlb"] == {"2MB": {"usage": 2097152, "max": 0, "failcnt": 9}}
    assert stats["blkio"]["ioServicedRecursive"] == [
        {"major": 8, "minor": 0, "op": name, "value": value}
        for name, value in (("Read", 3), ("Write", 4), ("Discard", 6))
    ]


def test_stats_of_v1_sum_nothing_up_and_miss_nothing(v1: FakeFilesystem) -> None:
    files(
        v1,
        "/sys/fs/cgroup/cpu,cpuacct/box",
        **{
            "cpuacct.usage": "50",
            "cpuacct.usage_percpu": "20 30 ",
            "cpuacct.usage_all": "cpu user system\n0 1 2\n1 3 4\n",
            "cpuacct.stat": "user 5\nsystem 7\n",
            "cpu.stat": "nr_periods 1\nnr_throttled 0\nthrottled_time 0\n",
        },
    )
    files(v1, "/sys/fs/cgroup/memory/box", **{"memory.usage_in_bytes": "77", "memory.stat": "cache 6\nrss 9"})
    cgroup, _ = cgroups.make("/box", None, "box")
    assert list(cgroup.paths) == ["cpu", "cpuacct", "memory", "name=systemd"]
    assert len(cgroup.directories) == 3
    stats = cgroup.stats()
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    usage = {"total": 50, "percpu": [20, 30], "percpu_kernel": [2, 4], "percpu_user": [1, 3]}
    assert stats["cpu"]["usage"] == usage | {"kernel": 7 * tick_ns, "user": 5 * tick_ns}
    assert stats["memory"]["usage"]["usage"] == 77
    assert stats["memory"]["raw"] == {"cache": 6, "rss": 9}
    assert stats["pids"] == {"current": 0, "limit": 0}


def test_the_view_of_v1_has_links_for_controllers_that_share(v1: FakeFilesystem) -> None:
    cgroup, _ = cgroups.make("/box", None, "box")
    shared, *others = view.view(cgroup)
    assert (shared.name, shared.host) == ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/box")
    assert shared.links == ["cpu", "cpuacct"]
    assert [(one.name, one.host) for one in others] == [
        (name, f"/sys/fs/cgroup/{name}/box") for name in ("memory", "systemd")
    ]
    assert [one.links for one in others] == [[], []]


def test_the_view_of_v2_is_the_mount_point(v2: FakeFilesystem) -> None:
    cgroup, _ = cgroups.make("/box", None, "box")
    assert [(one.name, one.host, one.links) for one in view.view(cgroup)] == [("", BOX, [])]


def test_a_cgroup_in_use_is_refused(v2: FakeFilesystem) -> None:
    with open(f"{BOX}/cgroup.procs", "w") as file:
        file.write("17\n19\n")
    with pytest.raises(CgroupError, match=r"not empty: 2 process\(es\) found in /sys/fs/cgroup/box"):
        cgroups.make("/box", None, "box")


def test_what_was_made_goes_when_a_value_is_rejected(v2: FakeFilesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(directory: str, name: str, text: str) -> None:
        raise OSError(errno.ERANGE, "")

    monkeypatch.setattr(writes, "write", reject)
    v2.create_file("/sys/fs/cgroup/new/cgroup.procs")
    with pytest.raises(
        CgroupError, match=r"pids\.limit: cannot write '5' to /sys/fs/cgroup/box/pids\.max: .*\(ERANGE\)"
    ):
        cgroups.make("/box", resources(pids={"limit": 5}), "box")


def test_lists_of_cpus() -> None:
    assert expand_list("0-2,7") == [0, 1, 2, 7]
    assert expand_list("") == []


# ---- options of update ----------------------------------------------------------------------------------------------


def test_options_become_the_document() -> None:
    document = update.document_of(
        {"memory": "64m", "memory-swap": "-1", "cpu-quota": "-1", "cpu-share": "512", "cpuset-cpus": "0-1",
         "pids-limit": "20", "blkio-weight": "100"}
    )  # fmt: skip
    assert document == {
        "memory": {"limit": 64 << 20, "swap": -1},
        "cpu": {"quota": -1, "shares": 512, "cpus": "0-1"},
        "pids": {"limit": 20},
        "blockIO": {"weight": 100},
    }
    assert Resources(Fields(document)).memory is not None


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("1", 1), ("1b", 1), ("2k", 2048), ("64MiB", 64 << 20), ("64 MB", 64 << 20), ("1.5g", 3 << 29), ("1T", 1 << 40)],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert update.size_of(text) == size_bytes


@pytest.mark.parametrize("text", ["", "5", "-1"])
def test_numbers(text: str) -> None:
    if text:
        assert update.document_of({"cpu-quota": text}) == {"cpu": {"quota": int(text)}}
    for wrong in ("1_0", " 1", "1.0", "--1", "٣", text + "x"):
        with pytest.raises(UsageError, match="invalid value for cpu-quota"):
            update.document_of({"cpu-quota": wrong})


@pytest.mark.parametrize("text", ["", "m", "-2", "1x", "1kk", "1.2.3", "0x10", "1e3", "٣"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="invalid value for memory"):
        update.document_of({"memory": text})


def test_an_option_that_changes_nothing_here_is_refused() -> None:
    with pytest.raises(UsageError, match="--l3-cache-schema is not supported"):
        update.document_of({"l3-cache-schema": "x"})

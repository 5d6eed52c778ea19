"""What is in /sys: CPUs, memory nodes, the loopback interface."""

from __future__ import annotations

from pysentry.kernel.proc_status import read_host_path
from pysentry.vfs.filesystems.generated import Directory, File, Link, Node, constant
from pysentry.vfs.filesystems.proc_sys import tree


def _cpu_list(count: int) -> bytes:
    return b"0\n" if count == 1 else b"0-%d\n" % (count - 1)


def _link(target: bytes) -> Link:
    return Link(lambda _: target)


def _file(text: bytes) -> File:
    return File(constant(text))


def _node_memory() -> bytes:
    """All of the memory is in one node, as far as the sandbox is told. What /proc calls Cached is FilePages here."""
    text = read_host_path("meminfo").replace(b"\nCached:   ", b"\nFilePages:")
    total, free = (int(line.split()[1]) for line in text.splitlines()[:2])
    text += b"MemUsed:        %8d kB\n" % (total - free)
    return b"".join(b"Node 0 " + line for line in text.splitlines(keepends=True))


def make_root(count: int) -> Directory:
    """count: CPUs."""
    all_cpus = _cpu_list(count)
    mask = b"%x\n" % ((1 << count) - 1)
    found: dict[str, Node] = {
        "devices/system/cpu/online": _file(all_cpus),
        "devices/system/cpu/possible": _file(all_cpus),
        "devices/system/cpu/present": _file(all_cpus),
        "devices/system/cpu/offline": _file(b"\n"),
        "devices/system/cpu/isolated": _file(b"\n"),
        "devices/system/cpu/kernel_max": _file(b"%d\n" % max(count, 255)),
        "devices/system/cpu/smt/active": _file(b"0\n"),
        "devices/system/cpu/smt/control": _file(b"notsupported\n"),
        "devices/system/node/online": _file(b"0\n"),
        "devices/system/node/possible": _file(b"0\n"),
        "devices/system/node/has_cpu": _file(b"0\n"),
        "devices/system/node/node0/cpulist": _file(all_cpus),
        "devices/system/node/node0/cpumap": _file(mask),
        "devices/system/node/has_memory": _file(b"0\n"),
        "devices/system/node/has_normal_memory": _file(b"0\n"),
        "devices/system/node/node0/meminfo": File(_node_memory),
        "devices/system/node/node0/distance": _file(b"10\n"),
        "kernel/mm/transparent_hugepage/enabled": _file(b"always [madvise] never\n"),
        "kernel/mm/transparent_hugepage/defrag": _file(b"always defer defer+madvise [madvise] never\n"),
        "kernel/mm/transparent_hugepage/shmem_enabled": _file(b"always within_size advise [never] deny force\n"),
        "kernel/mm/transparent_hugepage/hpage_pmd_size": _file(b"2097152\n"),
        "kernel/mm/hugepages": Directory(),  # of no size
        "fs/cgroup": Directory(),
        "block": Directory(),
        "bus": Directory(),
        "class/block": Directory(),
        "class/tty": Directory(),
        "class/net/lo": _link(b"../../devices/virtual/net/lo"),
        "dev/block": Directory(),
        "dev/char": Directory(),
        "firmware": Directory(),
        "module": Directory(),
        "power": Directory(),
        "kernel/security": Directory(),
        "kernel/debug": Directory(),
    }
    for cpu in range(count):
        place = f"devices/system/cpu/cpu{cpu}"
        found[f"{place}/online"] = _file(b"1\n")
        found[f"{place}/topology/core_id"] = _file(b"%d\n" % cpu)
        found[f"{place}/topology/physical_package_id"] = _file(b"0\n")
        found[f"{place}/topology/die_id"] = _file(b"0\n")
        found[f"{place}/topology/thread_siblings"] = _file(b"%x\n" % (1 << cpu))
        found[f"{place}/topology/thread_siblings_list"] = _file(b"%d\n" % cpu)
        found[f"{place}/topology/core_cpus"] = _file(b"%x\n" % (1 << cpu))
        found[f"{place}/topology/core_cpus_list"] = _file(b"%d\n" % cpu)
        found[f"{place}/topology/core_siblings"] = _file(mask)
        found[f"{place}/topology/core_siblings_list"] = _file(all_cpus)
        found[f"devices/system/node/node0/cpu{cpu}"] = _link(b"../../cpu/cpu%d" % cpu)
    loopback = {
        "address": b"00:00:00:00:00:00",
        "broadcast": b"00:00:00:00:00:00",
        "addr_len": b"6",
        "carrier": b"1",
        "dev_id": b"0x0",
        "flags": b"0x9",
        "ifindex": b"1",
        "iflink": b"1",
        "mtu": b"65536",
        "operstate": b"unknown",
        "tx_queue_len": b"1000",
        "type": b"772",
    }
    for name, text in loopback.items():
        found[f"devices/virtual/net/lo/{name}"] = _file(text + b"\n")
    return tree(found)

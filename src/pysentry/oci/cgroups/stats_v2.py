"""`events --stats` from cgroup v2's files, with v1's keys as runc fills them. Owns which number comes from where."""

from __future__ import annotations

from pysentry.oci.cgroups.files import NO_LIMIT, expand_list, number, read_number, read_or, read_table
from pysentry.oci.cgroups.stats_v1 import huge_page_sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Keys of io.stat: which list and operation they are in v1.
IO = {
    "rbytes": ("ioServiceBytesRecursive", "Read"),
    "wbytes": ("ioServiceBytesRecursive", "Write"),
    "dbytes": ("ioServiceBytesRecursive", "Discard"),
    "rios": ("ioServicedRecursive", "Read"),
    "wios": ("ioServicedRecursive", "Write"),
    "dios": ("ioServicedRecursive", "Discard"),
}


def stats(directory: str) -> dict[str, Any]:
    """
    Args:
        directory: the cgroup's.
    """
    cpu = read_table(directory, "cpu.stat")
    limit = read_or(directory, "pids.max")
    found: dict[str, Any] = {
        "cpu": {
            "usage": {
                "total": cpu.get("usage_usec", 0) * 1000,
                "percpu": [],
                "kernel": cpu.get("system_usec", 0) * 1000,
                "user": cpu.get("user_usec", 0) * 1000,
            },
            "throttling": {
                "periods": cpu.get("nr_periods", 0),
                "throttledPeriods": cpu.get("nr_throttled", 0),
                "throttledTime": cpu.get("throttled_usec", 0) * 1000,
            },
        },
        "memory": _memory(directory),
        "pids": {"current": read_number(directory, "pids.current"), "limit": 0 if limit == "max" else number(limit)},
        "blkio": _io(read_or(directory, "io.stat")),
        "hugetlb": {size: _hugetlb(directory, size) for size in huge_page_sizes(directory, "current")},
    }
    if cpus := read_or(directory, "cpuset.cpus.effective"):
        mems = read_or(directory, "cpuset.mems.effective")
        found["cpuset"] = {"cpus": expand_list(cpus), "mems": expand_list(mems)}
    return found


def _memory(directory: str) -> dict[str, Any]:
    raw = read_table(directory, "memory.stat")
    events = read_table(directory, "memory.events")
    usage, swap = read_number(directory, "memory.current"), read_number(directory, "memory.swap.current")
    limit, swap_limit = read_number(directory, "memory.max"), read_number(directory, "memory.swap.max")
    peak, swap_peak = read_number(directory, "memory.peak"), read_number(directory, "memory.swap.peak")
    return {
        "cache": raw.get("file", 0),
        "usage": {"limit": limit, "usage": usage, "max": peak, "failcnt": events.get("max", 0)},
        # Memory and swap together, as v1 counts it.
        "swap": {
            "limit": NO_LIMIT if NO_LIMIT in (limit, swap_limit) else limit + swap_limit,
            "usage": usage + swap,
            "max": peak + swap_peak,
            "failcnt": read_table(directory, "memory.swap.events").get("fail", 0),
        },
        "kernel": {"limit": NO_LIMIT, "usage": raw.get("kernel", 0), "max": 0, "failcnt": 0},
        "kernelTCP": {"limit": NO_LIMIT, "usage": raw.get("sock", 0), "max": 0, "failcnt": 0},
        "raw": raw,
    }


def _io(text: str) -> dict[str, list[dict[str, Any]]]:
    """Lines such as "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0"."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in text.splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        for word in words:
            key, _, value = word.partition("=")
            if key in IO and minor.isdecimal():
                name, operation = IO[key]
                entry = {"major": int(major), "minor": int(minor), "op": operation, "value": number(value)}
                found.setdefault(name, []).append(entry)
    return found


def _hugetlb(directory: str, size: str) -> dict[str, int]:
    """The largest usage so far is not kept in v2."""
    events = read_table(directory, f"hugetlb.{size}.events")
    return {"usage": read_number(directory, f"hugetlb.{size}.current"), "max": 0, "failcnt": events.get("max", 0)}

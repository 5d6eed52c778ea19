"""`events --stats` from cgroup v1's files. Owns which number comes from where; the keys are runc's.

Does not own v2's (stats_v2.py). A file that the host does not have counts as 0 and as no entry.
"""

from __future__ import annotations

import os

from pysentry.oci.cgroups.files import expand_list, number, read_number, read_or, read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CPUSET_NUMBERS = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)
MEMORY_KINDS = {"usage": "", "swap": "memsw.", "kernel": "kmem.", "kernelTCP": "kmem.tcp."}
# bfq's files are empty unless bfq schedules the disk; then the throttling layer has counted.
BLKIO = {
    "ioServiceBytesRecursive": ("blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive"),
    "ioServicedRecursive": ("blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive"),
    "ioQueueRecursive": ("blkio.bfq.io_queued_recursive", "blkio.io_queued_recursive"),
    "ioServiceTimeRecursive": ("blkio.bfq.io_service_time_recursive", "blkio.io_service_time_recursive"),
    "ioWaitTimeRecursive": ("blkio.bfq.io_wait_time_recursive", "blkio.io_wait_time_recursive"),
    "ioMergedRecursive": ("blkio.bfq.io_merged_recursive", "blkio.io_merged_recursive"),
    "ioTimeRecursive": ("blkio.bfq.time_recursive", "blkio.time_recursive"),
    "sectorsRecursive": ("blkio.bfq.sectors_recursive", "blkio.sectors_recursive"),
}


def stats(paths: dict[str, str]) -> dict[str, Any]:
    """
    Args:
        paths: the cgroup's directories by controller; a missing one leaves its section at zero.
    """
    pids, huge = paths.get("pids", ""), paths.get("hugetlb", "")
    limit = read_or(pids, "pids.max")
    found: dict[str, Any] = {
        "cpu": {"usage": _cpu_usage(paths.get("cpuacct", "")), "throttling": _throttling(paths.get("cpu", ""))},
        "memory": _memory(paths.get("memory", "")),
        "pids": {"current": read_number(pids, "pids.current"), "limit": 0 if limit == "max" else number(limit)},
        "blkio": _blkio(paths.get("blkio", "")),
        "hugetlb": {size: _hugetlb(huge, size) for size in huge_page_sizes(huge, "usage_in_bytes")},
    }
    if "cpuset" in paths:
        found["cpuset"] = _cpuset(paths["cpuset"])
    return found


def _cpu_usage(directory: str) -> dict[str, Any]:
    """Nanoseconds."""
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    split = read_table(directory, "cpuacct.stat")
    by_cpu = [line.split() for line in read_or(directory, "cpuacct.usage_all").splitlines()[1:]]
    return {
        "total": read_number(directory, "cpuacct.usage"),
        "percpu": [int(word) for word in read_or(directory, "cpuacct.usage_percpu").split()],
        "percpu_kernel": [int(words[2]) for words in by_cpu],
        "percpu_user": [int(words[1]) for words in by_cpu],
        "kernel": split.get("system", 0) * tick_ns,
        "user": split.get("user", 0) * tick_ns,
    }


def _throttling(directory: str) -> dict[str, int]:
    table = read_table(directory, "cpu.stat")
    return {
        "periods": table.get("nr_periods", 0),
        "throttledPeriods": table.get("nr_throttled", 0),
        "throttledTime": table.get("throttled_time", 0),
    }


def _memory(directory: str) -> dict[str, Any]:
    raw = read_table(directory, "memory.stat")
    found: dict[str, Any] = {"cache": raw.get("cache", 0)}
    for key, kind in MEMORY_KINDS.items():
        found[key] = {
            "limit": read_number(directory, f"memory.{kind}limit_in_bytes"),
            "usage": read_number(directory, f"memory.{kind}usage_in_bytes"),
            "max": read_number(directory, f"memory.{kind}max_usage_in_bytes"),
            "failcnt": read_number(directory, f"memory.{kind}failcnt"),
        }
    return found | {"raw": raw}


def _cpuset(directory: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cpus": expand_list(read_or(directory, "cpuset.cpus")),
        "mems": expand_list(read_or(directory, "cpuset.mems")),
    }
    return found | {name: read_number(directory, f"cpuset.{name}") for name in CPUSET_NUMBERS}


def _blkio(directory: str) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for key, names in BLKIO.items():
        for name in names:
            if entries := _blkio_entries(read_or(directory, name)):
                found[key] = entries
                break
    return found


def _blkio_entries(text: str) -> list[dict[str, Any]]:
    """Lines such as "254:0 Read 8192" or "254:0 12"; the sum over all devices is left out."""
    entries = []
    for line in text.splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        if minor and words:
            entry: dict[str, Any] = {"major": int(major), "minor": int(minor), "value": number(words[-1])}
            if len(words) == 2:
                entry["op"] = words[0]
            entries.append(entry)
    return entries


def huge_page_sizes(directory: str, name: str) -> list[str]:
    """Such as "2MB": for what hugetlb.<size>.<name> is there."""
    names = os.listdir(directory) if directory and os.path.isdir(directory) else []
    sizes = [found.split(".")[1] for found in names if found.startswith("hugetlb.")]
    return sorted({size for size in sizes if f"hugetlb.{size}.{name}" in names})


def _hugetlb(directory: str, size: str) -> dict[str, int]:
    return {
        "usage": read_number(directory, f"hugetlb.{size}.usage_in_bytes"),
        "max": read_number(directory, f"hugetlb.{size}.max_usage_in_bytes"),
        "failcnt": read_number(directory, f"hugetlb.{size}.failcnt"),
    }

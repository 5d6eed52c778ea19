"""Which file of which controller takes which resource: one table for both versions, and the writing of it.

Owns names and conversions. The kernel judges values; what it rejects is an error that names field, file and value, and
what this host does not have is a warning.
"""

from __future__ import annotations

import errno
import os

from pysentry.oci.cgroups.cgroup import Cgroup
from pysentry.oci.cgroups.files import read_or, write
from pysentry.oci.errors import CgroupError
from pysentry.sandbox.errors import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pysentry.oci.spec_resources import DeviceRule, Resources, ThrottleDevice, WeightDevice

DEFAULT_PERIOD_US = 100000


class Write:
    """One value for one file. files: the first that the host has is written (kernels differ in names); none: this
    version of cgroups has no such limit. text: {name} is what the file `name` holds now (its first word).
    is_optional: no warning if the file is missing, another one does it as well."""

    __slots__ = ("controller", "field", "files", "is_optional", "text")

    def __init__(
        self, field: str, controller: str, files: tuple[str, ...], text: str, *, is_optional: bool = False
    ) -> None:
        self.is_optional = is_optional
        self.field = field
        self.controller = controller
        self.files = files
        self.text = text


# ---- conversions: what the document says -> what the file takes. None: nothing to write ------------------------------


def _value(value: int | str) -> str:
    return str(value)


def _given(value: int | str) -> str | None:
    """0 and "" are not given: Go's update document has them everywhere."""
    return str(value) if value else None


def _limit(value: int) -> str | None:
    return "max" if value < 0 else _given(value)


def _negative_is_none(value: int) -> str | None:
    return "-1" if value < 0 else _given(value)


def _if_true(value: bool) -> str | None:
    return "1" if value else None


def _pids(value: int) -> str:
    return str(value) if value > 0 else "max"


def weight_of_shares(shares: int) -> int:
    """cpu.shares, 2..262144 with 1024 as default, as a weight of 1..10000 (runc's and crun's line)."""
    return 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142


def _cpu_weight(shares: int) -> str | None:
    return str(weight_of_shares(shares)) if shares else None


def weight_of_block_io(weight: int) -> int:
    """blkio.weight, 10..1000, as io.weight, 1..10000."""
    return 1 + (weight - 10) * 9999 // 990


def _device_weights(devices: list[WeightDevice]) -> list[str]:
    return [f"{device.major}:{device.minor} {device.weight}" for device in devices if device.weight is not None]


def _device_leaf_weights(devices: list[WeightDevice]) -> list[str]:
    return [f"{device.major}:{device.minor} {device.leaf_weight}" for device in devices if device.leaf_weight]


def _rates(devices: list[ThrottleDevice]) -> list[str]:
    return [f"{device.major}:{device.minor} {device.rate}" for device in devices]


def _io_max(key: str) -> Any:
    """0 lifts the limit, as in v1."""
    return lambda devices: [f"{device.major}:{device.minor} {key}={device.rate or 'max'}" for device in devices]


def _priorities(priorities: dict[str, int]) -> list[str]:
    return [f"{interface} {priority}" for interface, priority in priorities.items()]


NONE: tuple[str, ...] = ()

# Section, attribute, the document's name, controller (v1's name) | v1: files, conversion | v2: files, conversion.
# Rows of one controller are written in this order; what fails because another value is still in its way is tried again
# after the others (apply()).
TABLE: tuple[tuple[str, str, str, str, tuple[str, ...], Any, tuple[str, ...], Any], ...] = (
    ("cpu", "cpus", "cpus", "cpuset", ("cpuset.cpus",), _given, ("cpuset.cpus",), _given),
    ("cpu", "mems", "mems", "cpuset", ("cpuset.mems",), _given, ("cpuset.mems",), _given),
    ("memory", "limit", "limit", "memory", ("memory.limit_in_bytes",), _negative_is_none, ("memory.max",), _limit),
    ("memory", "reservation", "reservation", "memory", ("memory.soft_limit_in_bytes",), _negative_is_none,
     ("memory.low",), _limit),
    ("memory", "kernel", "kernel", "memory", ("memory.kmem.limit_in_bytes",), _negative_is_none, NONE, _given),
    ("memory", "kernel_tcp", "kernelTCP", "memory", ("memory.kmem.tcp.limit_in_bytes",), _negative_is_none,
     NONE, _given),
    ("memory", "swappiness", "swappiness", "memory", ("memory.swappiness",), _value, NONE, _value),
    ("memory", "use_hierarchy", "useHierarchy", "memory", ("memory.use_hierarchy",), _if_true, ("cgroup.procs",),
     lambda _: None),
    ("memory", "disable_oom_killer", "disableOOMKiller", "memory", ("memory.oom_control",), _if_true, NONE, _if_true),
    ("cpu", "shares", "shares", "cpu", ("cpu.shares",), _given, ("cpu.weight",), _cpu_weight),
    ("cpu", "period", "period", "cpu", ("cpu.cfs_period_us",), _given, ("cpu.max",), lambda _: None),
    ("cpu", "quota", "quota", "cpu", ("cpu.cfs_quota_us",), _negative_is_none, ("cpu.max",), lambda _: None),
    ("cpu", "burst", "burst", "cpu", ("cpu.cfs_burst_us",), _value, ("cpu.max.burst",), _value),
    ("cpu", "idle", "idle", "cpu", ("cpu.idle",), _value, ("cpu.idle",), _value),
    ("cpu", "realtime_period", "realtimePeriod", "cpu", ("cpu.rt_period_us",), _given, NONE, _given),
    ("cpu", "realtime_runtime", "realtimeRuntime", "cpu", ("cpu.rt_runtime_us",), _given, NONE, _given),
    ("", "pids_limit", "pids.limit", "pids", ("pids.max",), _pids, ("pids.max",), _pids),
    ("block_io", "weight", "weight", "blkio", ("blkio.weight", "blkio.bfq.weight"), _given,
     ("io.bfq.weight", "io.weight"), _given),
    ("block_io", "leaf_weight", "leafWeight", "blkio", ("blkio.leaf_weight",), _given, NONE, _given),
    ("block_io", "weight_device", "weightDevice", "blkio", ("blkio.weight_device", "blkio.bfq.weight_device"),
     _device_weights, ("io.bfq.weight", "io.weight"), _device_weights),
    ("block_io", "weight_device", "weightDevice.leafWeight", "blkio", ("blkio.leaf_weight_device",),
     _device_leaf_weights, NONE, _device_leaf_weights),
    ("block_io", "read_bps", "throttleReadBpsDevice", "blkio", ("blkio.throttle.read_bps_device",), _rates,
     ("io.max",), _io_max("rbps")),
    ("block_io", "write_bps", "throttleWriteBpsDevice", "blkio", ("blkio.throttle.write_bps_device",), _rates,
     ("io.max",), _io_max("wbps")),
    ("block_io", "read_iops", "throttleReadIOPSDevice", "blkio", ("blkio.throttle.read_iops_device",), _rates,
     ("io.max",), _io_max("riops")),
    ("block_io", "write_iops", "throttleWriteIOPSDevice", "blkio", ("blkio.throttle.write_iops_device",), _rates,
     ("io.max",), _io_max("wiops")),
    ("network", "class_id", "classID", "net_cls", ("net_cls.classid",), _given, NONE, _given),
    ("network", "priorities", "priorities", "net_prio", ("net_prio.ifpriomap",), _priorities, NONE, _priorities),
)  # fmt: skip
SECTIONS = {"block_io": "blockIO", "": ""}
SCALES = {"io.weight": weight_of_block_io}
"""Files whose last number has another scale than its alternative in the table."""


def plan(resources: Resources, version: int) -> list[Write]:
    """Everything to write but the device list, in order.

    Raises:
        CgroupError: values that contradict each other.
    """
    planned: list[Write] = []
    for section, attribute, name, controller, *columns in TABLE:
        holder = getattr(resources, section) if section else resources
        value = getattr(holder, attribute, None)
        if value is None:
            continue
        files, convert = columns[2:] if version == 2 else columns[:2]
        texts = convert(value)
        field = f"{SECTIONS.get(section, section)}.{name}".lstrip(".")
        for text in [texts] if isinstance(texts, str) else texts or ():
            planned.append(Write(field, controller, files, text))
    return planned + list(_combined(resources, version)) + list(_named_by_the_document(resources, version))


def _combined(resources: Resources, version: int) -> Iterator[Write]:
    """Values that take two fields of the document."""
    memory, cpu = resources.memory, resources.cpu
    if memory is not None:
        yield from _swap(memory.limit or 0, memory.swap or 0, version)
    if version == 2 and cpu is not None and (cpu.quota or cpu.period):
        quota = "max" if (cpu.quota or 0) < 0 else str(cpu.quota) if cpu.quota else "{cpu.max}"
        field = "cpu.quota" if cpu.quota else "cpu.period"
        yield Write(field, "cpu", ("cpu.max",), f"{quota} {cpu.period or DEFAULT_PERIOD_US}")


def _swap(limit: int, swap: int, version: int) -> Iterator[Write]:
    """The document's swap is memory and swap together, as v1's memsw; v2 counts swap alone."""
    if limit < 0 and swap == 0:
        swap = -1  # no limit of memory alone would leave an old one of both
    if swap == 0:
        return
    if swap > 0 and limit > swap:
        raise CgroupError(f"memory.swap: {swap} is less than memory.limit, {limit}, which it includes")
    if version == 1:
        yield Write("memory.swap", "memory", ("memory.memsw.limit_in_bytes",), "-1" if swap < 0 else str(swap))
    elif swap < 0:
        yield Write("memory.swap", "memory", ("memory.swap.max",), "max")
    elif limit <= 0:
        raise CgroupError("memory.swap: unable to set swap limit without memory limit")
    else:
        yield Write("memory.swap", "memory", ("memory.swap.max",), str(swap - limit))


def _named_by_the_document(resources: Resources, version: int) -> Iterator[Write]:
    """Files whose names the document says."""
    for huge in resources.hugepage_limits:
        for kind in ("", "rsvd."):
            name = f"hugetlb.{huge.page_size}.{kind}" + ("max" if version == 2 else "limit_in_bytes")
            yield Write(
                f"hugepageLimits.{kind}{huge.page_size}", "hugetlb", (name,), str(huge.limit), is_optional=bool(kind)
            )
    for device, limits in resources.rdma.items():
        pairs = (("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects))
        words = [f"{key}={value}" for key, value in pairs if value is not None]
        yield Write(f"rdma.{device}", "rdma", ("rdma.max",), " ".join([device, *words]))
    for name, text in resources.unified.items():
        for line in text.splitlines() if version == 2 else [text]:
            yield Write(f"unified.{name}", name.split(".")[0], (name,) if version == 2 else NONE, line)


# ---- devices -------------------------------------------------------------------------------------------------------

# What the sentry serves /dev with, whatever the document says: runc allows the same.
ALWAYS_ALLOWED = ("b *:* m", "c *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm",
                  "c 5:2 rwm", "c 136:* rwm")  # fmt: skip


EVERYTHING = "a *:* rwm"


def plan_devices(resources: Resources | None, version: int) -> list[Write]:
    """The device list, in the document's order: a later rule wins. What no rule speaks of is denied, as with runc.

    Not part of an update: a rewritten list would have a moment without rules.
    """
    rules = resources.devices if resources is not None else []
    if version == 2:
        return [Write("devices", "devices", NONE, "")] if rules else []
    texts = [(rule.allow, text) for rule in rules for text in _rule_texts(rule)]
    if (False, EVERYTHING) not in texts[:1]:
        texts.insert(0, (False, EVERYTHING))
    planned = [
        Write("devices", "devices", ("devices.allow" if allow else "devices.deny",), text) for allow, text in texts
    ]
    allowed = [Write("devices", "devices", ("devices.allow",), text, is_optional=True) for text in ALWAYS_ALLOWED]
    return planned + allowed


def _rule_texts(rule: DeviceRule) -> list[str]:
    """The kernel takes `a` for "all of all kinds" and ignores what follows it, so a rule for some devices of both kinds
    is two."""
    access = rule.access or "rwm"
    numbers = ":".join("*" if number is None or number < 0 else str(number) for number in (rule.major, rule.minor))
    if rule.type in ("b", "c"):
        return [f"{rule.type} {numbers} {access}"]
    if numbers == "*:*" and set(access) == set("rwm"):
        return [EVERYTHING]
    return [f"b {numbers} {access}", f"c {numbers} {access}"]


def asks_for_limits(resources: Resources) -> bool:
    """Whether the document limits anything. Its device list does not count: engines always send one, and what a sandbox
    may do with devices does not depend on it."""
    return any(item.text not in ("max", "-1") for item in plan(resources, 1))


# ---- writing -------------------------------------------------------------------------------------------------------


def apply(cgroup: Cgroup, planned: list[Write]) -> list[str]:
    """Writes it all. Returns warnings, lower-case as runc's.

    A value that contradicts another one which is still to be written (a memory limit above the old limit of memory and
    swap, a period that makes the old quota too long, cpu.burst above the old quota) is rejected with EINVAL; such ones
    are tried once more at the end, so any order of old and new values works.
    """
    warnings: list[str] = []
    again: list[tuple[Write, str, str]] = []
    for item in planned:
        place = cgroup.paths.get("" if cgroup.version == 2 else item.controller)
        name = _file_of(item, place, cgroup, warnings)
        if place is not None and name and not _try(item, place, name, warnings, is_last=False):
            again.append((item, place, name))
    for item, place, name in again:
        _try(item, place, name, warnings, is_last=True)
    return warnings


def _file_of(item: Write, place: str | None, cgroup: Cgroup, warnings: list[str]) -> str:
    """Which file of the host takes it, or "" and a warning."""
    if place is None and item.is_optional:
        return ""
    if not item.files:
        warnings.append(f"{item.field}: ignored: cgroup v{cgroup.version} has no file for it")
        return ""
    if place is None:
        warnings.append(f"{item.field}: ignored: the {item.controller} controller is not mounted on this host")
        return ""
    for name in item.files:
        if os.path.exists(f"{place}/{name}"):
            return name
    if item.is_optional:
        return ""
    if cgroup.version == 2:
        from pysentry.oci.cgroups.v2 import has_controller

        controller = "io" if item.controller == "blkio" else item.controller
        if has_controller(place, controller) and controller not in read_or(place, "cgroup.controllers").split():
            raise CgroupError(f"{item.field}: the {controller} controller cannot be enabled for {place}")
    warnings.append(f"{item.field}: ignored: this host has no {' or '.join(item.files)}")
    return ""


def _try(item: Write, place: str, name: str, warnings: list[str], *, is_last: bool) -> bool:
    """False: to be tried again. Raises CgroupError."""
    text = item.text
    if "{" in text:
        text = text.replace(f"{{{name}}}", (read_or(place, name).split() or ["max"])[0])
    if name in SCALES:
        *words, weight = text.split(" ")
        text = " ".join([*words, str(SCALES[name](int(weight)))])
    try:
        write(place, name, text)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, 524):  # 524, ENOTSUPP, is the kernel's own and leaks
            warnings.append(f"{item.field}: ignored: this kernel no longer supports {name}")
            return True
        if error.errno == errno.EPERM and name == "devices.allow":  # our own cgroup, or one between, denies it
            if not item.is_optional:
                warnings.append(f"{item.field}: cannot allow {text!a}: a parent cgroup denies it")
            return True
        if error.errno == errno.EINVAL and _is_set(place, name, text):
            return True
        if error.errno == errno.EINVAL and not is_last:
            return False
        why = describe(error.errno or 0)
        usage = read_or(place, "memory.usage_in_bytes") or read_or(place, "memory.current")
        if error.errno == errno.EBUSY and usage:
            why += f" (current usage: {usage})"
        raise CgroupError(f"{item.field}: cannot write {text!a} to {place}/{name}: {why}") from None
    return True


def _is_set(place: str, name: str, text: str) -> bool:
    """memory.use_hierarchy and memory.swappiness take no write on some kernels, though they have the value."""
    return read_or(place, name) == text

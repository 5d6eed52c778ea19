"""`linux.resources` of config.json, which is also the document that `update --resources` reads.

Owns types and ranges. None is "not given": the cgroup keeps what it has.
"""

from __future__ import annotations

from pysentry.oci.document import INT64, UINT16, UINT32, UINT64, Fields

_BYTES = (-1, INT64[1])  # the kernel, and so runc, takes no other negative number


class Memory:
    """In bytes; -1 is no limit. swap is memory plus swap."""

    __slots__ = (
        "check_before_update",
        "disable_oom_killer",
        "kernel",
        "kernel_tcp",
        "limit",
        "reservation",
        "swap",
        "swappiness",
        "use_hierarchy",
    )

    def __init__(self, fields: Fields) -> None:
        self.limit = fields.optional_number("limit", _BYTES)
        self.reservation = fields.optional_number("reservation", _BYTES)
        self.swap = fields.optional_number("swap", _BYTES)
        self.kernel = fields.optional_number("kernel", _BYTES)
        self.kernel_tcp = fields.optional_number("kernelTCP", _BYTES)
        self.swappiness = fields.optional_number("swappiness", UINT64)
        self.disable_oom_killer = fields.optional_flag("disableOOMKiller")
        self.use_hierarchy = fields.optional_flag("useHierarchy")
        self.check_before_update = fields.optional_flag("checkBeforeUpdate")


class Cpu:
    """Times in microseconds. cpus, mems: lists as in cpuset(7), "" if not given."""

    __slots__ = (
        "burst",
        "cpus",
        "idle",
        "mems",
        "period",
        "quota",
        "realtime_period",
        "realtime_runtime",
        "shares",
    )

    def __init__(self, fields: Fields) -> None:
        self.shares = fields.optional_number("shares", UINT64)
        self.quota = fields.optional_number("quota", INT64)
        self.burst = fields.optional_number("burst", UINT64)
        self.period = fields.optional_number("period", UINT64)
        self.realtime_runtime = fields.optional_number("realtimeRuntime", INT64)
        self.realtime_period = fields.optional_number("realtimePeriod", UINT64)
        self.cpus = fields.text("cpus")
        self.mems = fields.text("mems")
        self.idle = fields.optional_number("idle", INT64)


class WeightDevice:
    __slots__ = ("leaf_weight", "major", "minor", "weight")

    def __init__(self, fields: Fields) -> None:
        fields.require("major", "minor")
        self.major = fields.number("major", INT64)
        self.minor = fields.number("minor", INT64)
        self.weight = fields.optional_number("weight", UINT16)
        self.leaf_weight = fields.optional_number("leafWeight", UINT16)


class ThrottleDevice:
    """rate: bytes or operations a second."""

    __slots__ = ("major", "minor", "rate")

    def __init__(self, fields: Fields) -> None:
        fields.require("major", "minor")
        self.major = fields.number("major", INT64)
        self.minor = fields.number("minor", INT64)
        self.rate = fields.number("rate", UINT64)


class BlockIo:
    __slots__ = (
        "leaf_weight",
        "read_bps",
        "read_iops",
        "weight",
        "weight_device",
        "write_bps",
        "write_iops",
    )

    def __init__(self, fields: Fields) -> None:
        self.weight = fields.optional_number("weight", UINT16)
        self.leaf_weight = fields.optional_number("leafWeight", UINT16)
        self.weight_device = [WeightDevice(device) for device in fields.sections("weightDevice")]
        self.read_bps = [ThrottleDevice(device) for device in fields.sections("throttleReadBpsDevice")]
        self.write_bps = [ThrottleDevice(device) for device in fields.sections("throttleWriteBpsDevice")]
        self.read_iops = [ThrottleDevice(device) for device in fields.sections("throttleReadIOPSDevice")]
        self.write_iops = [ThrottleDevice(device) for device in fields.sections("throttleWriteIOPSDevice")]


class HugepageLimit:
    """page_size: such as 2MB. limit: bytes."""

    __slots__ = ("limit", "page_size")

    def __init__(self, fields: Fields) -> None:
        fields.require("pageSize", "limit")
        self.page_size = fields.text("pageSize")
        self.limit = fields.number("limit", UINT64)
        digits, unit = self.page_size[:-2], self.page_size[-2:]
        if unit not in ("KB", "MB", "GB") or not (digits.isascii() and digits.isdigit()) or digits[0] == "0":
            raise fields.fail("pageSize", "expected a size such as 64KB, 2MB or 1GB")


class Network:
    """priorities: by the interface's name."""

    __slots__ = ("class_id", "priorities")

    def __init__(self, fields: Fields) -> None:
        self.class_id = fields.optional_number("classID", UINT32)
        self.priorities: dict[str, int] = {}
        for interface in fields.sections("priorities"):
            interface.require("name", "priority")
            self.priorities[interface.text("name")] = interface.number("priority", UINT32)


class Rdma:
    __slots__ = ("hca_handles", "hca_objects")

    def __init__(self, fields: Fields) -> None:
        self.hca_handles = fields.optional_number("hcaHandles", UINT32)
        self.hca_objects = fields.optional_number("hcaObjects", UINT32)


class DeviceRule:
    """One row of the device list. type: "a", "b", "c" or "" (all); major, minor: None is any; access: of "rwm", "" is
    all."""

    __slots__ = ("access", "allow", "major", "minor", "type")

    def __init__(self, fields: Fields) -> None:
        fields.require("allow")
        self.allow = fields.flag("allow")
        self.type = fields.text("type")
        self.major = fields.optional_number("major", INT64)
        self.minor = fields.optional_number("minor", INT64)
        self.access = fields.text("access")
        if self.type not in ("", "a", "b", "c"):
            raise fields.fail("type", f"{self.type!a} is none of a, b, c")
        if self.access.strip("rwm"):
            raise fields.fail("access", f"{self.access!a}: expected letters of rwm")


class Resources:
    """Each controller's part, None if not given. pids_limit: 0 and below is no limit. unified: files of cgroup v2."""

    __slots__ = (
        "block_io",
        "cpu",
        "devices",
        "hugepage_limits",
        "memory",
        "network",
        "path",
        "pids_limit",
        "rdma",
        "unified",
    )

    def __init__(self, fields: Fields) -> None:
        self.path = fields.path
        self.devices = [DeviceRule(rule) for rule in fields.sections("devices")]
        memory = fields.section("memory")
        self.memory = Memory(memory) if memory else None
        cpu = fields.section("cpu")
        self.cpu = Cpu(cpu) if cpu else None
        self.pids_limit: int | None = None
        if pids := fields.section("pids"):
            pids.require("limit")
            self.pids_limit = pids.number("limit", INT64)
        block_io = fields.section("blockIO")
        self.block_io = BlockIo(block_io) if block_io else None
        self.hugepage_limits = [HugepageLimit(limit) for limit in fields.sections("hugepageLimits")]
        network = fields.section("network")
        self.network = Network(network) if network else None
        self.rdma = {name: Rdma(limits) for name, limits in fields.named_sections("rdma").items()}
        self.unified = fields.mapping("unified")
        for name in self.unified:
            if "/" in name or name in ("", ".", ".."):
                raise fields.fail("unified", f"{name!a} is not a file of a cgroup")

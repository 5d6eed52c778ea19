"""`linux` of config.json, but for its resources (spec_resources.py).

Owns types and ranges. What a value means for the sandbox is said in translate.py and seccomp.py.
"""

from __future__ import annotations

from pysentry.oci.document import INT64, UINT32, UINT64, Fields
from pysentry.oci.spec_names import (
    MEMORY_POLICIES,
    MEMORY_POLICY_FLAGS,
    NAMESPACES,
    PROPAGATIONS,
    SECCOMP_ACTIONS,
    SECCOMP_ARCHITECTURES,
    SECCOMP_FLAGS,
    SECCOMP_OPERATORS,
)
from pysentry.oci.spec_resources import Resources


class Namespace:
    """name: "type" of the document. path: "" for a new one."""

    __slots__ = ("name", "path", "where")

    def __init__(self, fields: Fields) -> None:
        fields.require("type")
        self.where = fields.path
        self.name = fields.choice("type", NAMESPACES)
        self.path = fields.text("path")


class IdMapping:
    __slots__ = ("container_id", "host_id", "size")

    def __init__(self, fields: Fields) -> None:
        fields.require("containerID", "hostID", "size")
        self.container_id = fields.number("containerID", UINT32)
        self.host_id = fields.number("hostID", UINT32)
        self.size = fields.number("size", UINT32)


class Device:
    """type: "c", "u" (the same), "b" or "p". file_mode: of any width; engines put S_IFCHR there too."""

    __slots__ = ("file_mode", "gid", "major", "minor", "path", "type", "uid", "where")

    def __init__(self, fields: Fields) -> None:
        fields.require("type", "path")
        self.where = fields.path
        self.path = fields.text("path")
        self.type = fields.choice("type", ("b", "c", "p", "u"))
        self.major = fields.number("major", INT64)
        self.minor = fields.number("minor", INT64)
        self.file_mode = fields.optional_number("fileMode", UINT32)
        self.uid = fields.number("uid", UINT32)
        self.gid = fields.number("gid", UINT32)


class SyscallArg:
    __slots__ = ("index", "op", "value", "value_two")

    def __init__(self, fields: Fields) -> None:
        fields.require("index", "value", "op")
        self.index = fields.number("index", UINT32)
        self.value = fields.number("value", UINT64)
        self.value_two = fields.number("valueTwo", UINT64)
        self.op = fields.choice("op", SECCOMP_OPERATORS)
        if self.index > 5:
            raise fields.fail("index", f"{self.index}: a system call has 6 arguments")


class SyscallRule:
    __slots__ = ("action", "args", "errno_ret", "names", "path")

    def __init__(self, fields: Fields) -> None:
        fields.require("names", "action")
        self.path = fields.path
        self.names = fields.texts("names")
        self.action = fields.choice("action", SECCOMP_ACTIONS)
        self.errno_ret = fields.optional_number("errnoRet", UINT32)
        self.args = [SyscallArg(arg) for arg in fields.sections("args")]
        if not self.names:
            raise fields.fail("names", "must not be empty")


class Seccomp:
    __slots__ = (
        "architectures",
        "default_action",
        "default_errno_ret",
        "flags",
        "listener_metadata",
        "listener_path",
        "path",
        "syscalls",
    )

    def __init__(self, fields: Fields) -> None:
        fields.require("defaultAction")
        self.path = fields.path
        self.default_action = fields.choice("defaultAction", SECCOMP_ACTIONS)
        self.default_errno_ret = fields.optional_number("defaultErrnoRet", UINT32)
        self.architectures = fields.choices("architectures", SECCOMP_ARCHITECTURES)
        self.flags = fields.choices("flags", SECCOMP_FLAGS)
        self.listener_path = fields.text("listenerPath")
        self.listener_metadata = fields.text("listenerMetadata")
        self.syscalls = [SyscallRule(rule) for rule in fields.sections("syscalls")]


class IntelRdt:
    __slots__ = ("clos_id", "enable_monitoring", "l3_cache_schema", "mem_bw_schema", "schemata")

    def __init__(self, fields: Fields) -> None:
        self.clos_id = fields.text("closID")
        self.schemata = fields.texts("schemata")
        self.l3_cache_schema = fields.text("l3CacheSchema")
        self.mem_bw_schema = fields.text("memBwSchema")
        # Both are what runc before 1.3 writes; later ones are read as they come.
        fields.optional_flag("enableCMT")
        fields.optional_flag("enableMBM")
        self.enable_monitoring = fields.flag("enableMonitoring")
        if self.mem_bw_schema and (not self.mem_bw_schema.startswith("MB:") or "\n" in self.mem_bw_schema):
            raise fields.fail("memBwSchema", "expected one line that begins with MB:")


class MemoryPolicy:
    __slots__ = ("flags", "mode", "nodes")

    def __init__(self, fields: Fields) -> None:
        self.mode = fields.choice("mode", MEMORY_POLICIES)
        self.nodes = fields.text("nodes")
        self.flags = fields.choices("flags", MEMORY_POLICY_FLAGS)


class Personality:
    __slots__ = ("domain", "flags")

    def __init__(self, fields: Fields) -> None:
        self.domain = fields.choice("domain", ("LINUX", "LINUX32"))
        self.flags = fields.texts("flags")


class Linux:
    """time_offsets: by clock, (seconds, nanoseconds). net_devices: new names by the host's."""

    __slots__ = (
        "cgroups_path",
        "devices",
        "gid_mappings",
        "intel_rdt",
        "masked_paths",
        "memory_policy",
        "mount_label",
        "namespaces",
        "net_devices",
        "path",
        "personality",
        "readonly_paths",
        "resources",
        "rootfs_propagation",
        "seccomp",
        "sysctl",
        "time_offsets",
        "uid_mappings",
    )

    def __init__(self, fields: Fields) -> None:
        self.path = fields.path
        self.namespaces = [Namespace(namespace) for namespace in fields.sections("namespaces")]
        self.uid_mappings = [IdMapping(mapping) for mapping in fields.sections("uidMappings")]
        self.gid_mappings = [IdMapping(mapping) for mapping in fields.sections("gidMappings")]
        self.devices = [Device(device) for device in fields.sections("devices")]
        self.net_devices = {name: device.text("name") for name, device in fields.named_sections("netDevices").items()}
        self.cgroups_path = fields.text("cgroupsPath")
        resources = fields.section("resources")
        self.resources = Resources(resources) if resources else None
        self.masked_paths = fields.texts("maskedPaths")
        self.readonly_paths = fields.texts("readonlyPaths")
        self.sysctl = fields.mapping("sysctl")
        seccomp = fields.section("seccomp")
        self.seccomp = Seccomp(seccomp) if seccomp else None
        self.rootfs_propagation = fields.text("rootfsPropagation")
        if self.rootfs_propagation and self.rootfs_propagation not in PROPAGATIONS:
            raise fields.fail("rootfsPropagation", f"rootfsPropagation={self.rootfs_propagation} is not supported")
        self.mount_label = fields.text("mountLabel")
        rdt = fields.section("intelRdt")
        self.intel_rdt = IntelRdt(rdt) if rdt else None
        policy = fields.section("memoryPolicy")
        self.memory_policy = MemoryPolicy(policy) if policy else None
        personality = fields.section("personality")
        self.personality = Personality(personality) if personality else None
        self.time_offsets: dict[str, tuple[int, int]] = {}
        offsets = fields.section("timeOffsets") or Fields({}, fields.at("timeOffsets"))
        for clock in ("monotonic", "boottime"):
            if offset := offsets.section(clock):
                self.time_offsets[clock] = (offset.number("secs", INT64), offset.number("nanosecs", UINT32))

    def namespace(self, name: str) -> Namespace | None:
        for namespace in self.namespaces:
            if namespace.name == name:
                return namespace
        return None

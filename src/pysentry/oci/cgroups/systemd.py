"""Where systemd manages the cgroups (v2), a container's is a scope that it makes for us and leaves to us: a transient
unit with Delegate=yes, as runc has it. An unprivileged user gets one from the manager of that user.

Owns the asking and what systemd must know of limits, so that it does not write its own over them. What is in the
cgroup, its files, is v2.py's; where there is no systemd, the same names are plain directories (placement.py).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from pysentry.oci.cgroups.cgroup import SIGKILL, Cgroup, pauses
from pysentry.oci.cgroups.files import NO_LIMIT, expand_list, write
from pysentry.oci.cgroups.placement import SystemdName
from pysentry.oci.cgroups.update import size_of
from pysentry.oci.cgroups.v2 import CgroupV2, enable_controllers
from pysentry.oci.cgroups.writes import DEFAULT_PERIOD_US, SCALES, Write, apply, asks_for_limits, plan, plan_devices
from pysentry.oci.errors import BusError, CgroupError
from pysentry.sandbox.errors import describe
from pysentry.sandbox.hierarchies import UNIFIED, find_hierarchies
from pysentry.sandbox.host_user import is_in_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pysentry.oci.cgroups.dbus import Connection
    from pysentry.oci.spec_resources import Resources

    Property = tuple[str, tuple[str, object]]

BOOTED = "/run/systemd/system"
"""sd_booted(3): there if systemd is the machine's init."""
PATIENCE_S = 60.0
FORGET_S = 5.0
# File of the cgroup -> property of the unit. systemd writes all files of a controller when one property of it changes.
LIMITS = {
    "memory.max": "MemoryMax",
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
    "cpu.weight": "CPUWeight",
    "io.weight": "IOWeight",
}
MAY_BE_ZERO = ("memory.low", "memory.min", "memory.swap.max")
"""systemd takes no 0 for the others."""
CPU_LISTS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}


def is_manager() -> bool:
    """Whether systemd manages the cgroups, in v2 alone. (With v1 it tolerates directories beside its own.)"""
    return os.path.isdir(BOOTED) and [one.controllers for one in find_hierarchies()] == [(UNIFIED,)]


def manager_socket(is_user: bool) -> str:
    """Of the machine's manager, or of the user's. systemd's own sockets: they are there without a D-Bus daemon."""
    if not is_user:
        return "/run/systemd/private"
    return os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}") + "/systemd/private"


def _connect(is_user: bool) -> Connection:
    """Raises BusError."""
    from pysentry.oci.cgroups.dbus import Connection

    return Connection(manager_socket(is_user))


def make_scope(
    name: SystemdName, resources: Resources | None, identity: str, is_rootless: bool
) -> tuple[Cgroup, list[str]]:
    """See cgroups.make()."""
    is_user = os.geteuid() != 0 or is_in_user_namespace()
    planned = plan(resources, CgroupV2.version) if resources is not None else []
    holder = Holder()
    try:
        try:
            directory, mount_point = _start_unit(name, identity, holder.pid, planned, is_user)
        except BusError as error:
            reason = f"systemd does not make {name.unit}: {error}"
            if not is_rootless:
                raise CgroupError(f"cannot make cgroup: {reason}") from None
            if resources is not None and asks_for_limits(resources):
                raise CgroupError(f"cannot set limits: no cgroup can be made ({reason})") from None
            holder.end()
            return Cgroup({}), [f"no cgroup: {reason}"]
        enable_controllers(directory, mount_point)
        scope = Scope({UNIFIED: directory}, name.unit, is_user, holder)
        return scope, apply(scope, plan_devices(resources, scope.version)) + apply(scope, planned)
    except BaseException:
        holder.end()  # then systemd removes the scope: nobody is in it
        raise


def _start_unit(name: SystemdName, identity: str, pid: int, planned: list[Write], is_user: bool) -> tuple[str, str]:
    """A scope with this process in it. Returns its directory and the mount point. Raises BusError."""
    properties: list[Property] = [
        ("Description", ("s", f"pysentry container {identity}")),
        ("Slice", ("s", name.slice or ("user.slice" if is_user else "system.slice"))),
        ("PIDs", ("au", [pid])),
        ("Delegate", ("b", True)),
        ("DefaultDependencies", ("b", False)),
        ("CollectMode", ("s", "inactive-or-failed")),  # an OOM kill must not leave a failed unit of this name
        *((f"{kind}Accounting", ("b", True)) for kind in ("CPU", "IO", "Memory", "Tasks")),
        ("TasksMax", ("t", NO_LIMIT)),  # systemd has a default
        *limits(planned),
    ]
    connection = _connect(is_user)
    try:
        connection.call("StartTransientUnit", "ssa(sv)a(sa(sv))", name.unit, "fail", properties, [])
        for _ in pauses(PATIENCE_S):  # it answers before it has done it
            hierarchy = find_hierarchies(pid)[-1]
            if os.path.basename(hierarchy.own) == name.unit:
                return hierarchy.directory(hierarchy.own), hierarchy.mount_point
            connection.call("GetUnit", "s", name.unit)
    except BusError as error:
        if error.name == "NoSuchUnit":
            raise BusError("it failed, and systemd's journal says why") from None
        raise
    finally:
        connection.close()
    raise BusError(f"it is not there after {PATIENCE_S:.0f} s")


def limits(planned: list[Write]) -> list[Property]:
    """What is planned to be written, as properties; what systemd has none for it leaves alone."""
    found: list[Property] = []
    for item in planned:
        name = item.files[-1] if item.files else ""
        value = _number(item.text)
        if name in LIMITS and value is not None and (value or name in MAY_BE_ZERO):
            found.append((LIMITS[name], ("t", SCALES[name](value) if name in SCALES else value)))
        elif name in CPU_LISTS:
            bits = sum(1 << cpu for cpu in set(expand_list(item.text)))
            found.append((CPU_LISTS[name], ("ay", bits.to_bytes(bits.bit_length() + 7 >> 3, "little"))))
        elif name == "cpu.max":
            found += _cpu_quota(item.text)
    return found


def _number(text: str) -> int | None:
    """None: with a device in it, or nothing that the kernel would take."""
    try:
        return NO_LIMIT if text == "max" else size_of(text)
    except ValueError:
        return None


def _cpu_quota(text: str) -> list[Property]:
    """systemd has the quota of a second. A period alone ("{cpu.max} PERIOD"): the quota is not ours to know."""
    quota, _, period = text.partition(" ")
    period_us = int(period) if period.isdecimal() else DEFAULT_PERIOD_US
    found: list[Property] = [("CPUQuotaPeriodUSec", ("t", period_us))]
    if quota == "max":
        found.append(("CPUQuotaPerSecUSec", ("t", NO_LIMIT)))
    elif quota.isdecimal():
        found.append(("CPUQuotaPerSecUSec", ("t", -(-int(quota) * 1_000_000 // period_us))))  # up: it rounds down
    return found


class Scope(CgroupV2):
    """is_user: of the user's manager. holder: keeps it alive until release(), in the process that made it."""

    __slots__ = ("_holder", "is_user", "unit")

    def __init__(self, paths: dict[str, str], unit: str, is_user: bool, holder: Holder | None = None) -> None:
        super().__init__(paths)
        self.unit = unit
        self.is_user = is_user
        self._holder = holder

    def to_document(self) -> dict[str, Any]:
        return {**super().to_document(), "unit": self.unit, "is_user": self.is_user}

    def join(self, pid: int = 0) -> None:
        try:
            write(self.paths[UNIFIED], "cgroup.procs", str(pid))
        except PermissionError:  # a user may not take a process out of the session's scope; systemd may
            try:
                self._ask("AttachProcessesToUnit", "ssau", self.unit, "", [pid or os.getpid()])
            except BusError as error:
                raise CgroupError(f"cannot put process {pid} into {self.unit}: {error}") from None
        except OSError as error:
            raise CgroupError(f"cannot put process {pid} into {self.unit}: {describe(error.errno or 0)}") from None
        if self._holder is not None and pid == 0:
            self._holder.forget()

    def release(self) -> None:
        if self._holder is not None:
            self._holder.end()
            self._holder = None

    def update(self, resources: Resources) -> list[str]:
        warnings = super().update(resources)  # the kernel's verdict first
        told = limits(plan(resources, self.version))
        if told:
            try:
                self._ask("SetUnitProperties", "sba(sv)", self.unit, True, told)
            except BusError as error:
                warnings.append(f"systemd does not know of the new limits: {error}")
        return warnings

    def destroy(self) -> None:
        """Also waits until systemd has forgotten the unit: the next container may have its name."""
        was_there = os.path.isdir(self.paths[UNIFIED])
        super().destroy()
        try:
            connection = _connect(self.is_user)
        except BusError:
            return  # nobody to ask
        try:
            if was_there:  # the kernel tells that it is empty a little later, and nothing once it is removed
                connection.call("StopUnit", "ss", self.unit, "replace")
            for _ in pauses(FORGET_S):
                connection.call("GetUnit", "s", self.unit)
        except BusError:
            pass  # it is gone
        finally:
            connection.close()

    def _ask(self, method: str, signature: str, *values: object) -> None:
        connection = _connect(self.is_user)
        try:
            connection.call(method, signature, *values)
        finally:
            connection.close()


class Holder:
    """A process that does nothing: a scope cannot be made without one. It ends with us, or by end()."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
                    _signal.signal(number, _signal.SIG_DFL)
                os.dup2(reading, 0)
                os.closerange(1, os.sysconf("SC_OPEN_MAX"))  # locks, and pipes that somebody reads to their end
                os.read(0, 1)
            finally:
                os._exit(0)
        os.close(reading)

    def forget(self) -> None:
        """In a child of ours: it is not what the holder waits for."""
        os.close(self._writing)

    def end(self) -> None:
        os.close(self._writing)
        os.kill(self.pid, SIGKILL)  # whoever else has the pipe's end
        os.waitpid(self.pid, 0)

"""cgroup v2: one directory. Owns how controllers get there, cgroup.freeze, cgroup.kill and memory.events."""

from __future__ import annotations

import os
import select

from pysentry.oci.cgroups.cgroup import Cgroup, OomWatch
from pysentry.oci.cgroups.files import read, read_or, read_table, write
from pysentry.oci.errors import CgroupError
from pysentry.sandbox.errors import describe
from pysentry.sandbox.hierarchies import UNIFIED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class CgroupV2(Cgroup):
    """paths has one entry, UNIFIED."""

    __slots__ = ()
    version = 2
    # The write to cgroup.freeze woke every sleep that a signal ends, so who sleeps so is frozen or about to be, and in
    # the kernel until then. (Where it sleeps, /proc/PID/wchan, is told only to who may trace it.)
    states_that_run = "R"

    def is_frozen(self) -> bool:
        # cgroup.freeze is what was asked of this cgroup, cgroup.events also tells of a frozen parent.
        return read_or(self.paths[UNIFIED], "cgroup.freeze") == "1" or self._has_stopped(self.paths[UNIFIED])

    def freeze(self) -> None:
        try:
            write(self.paths[UNIFIED], "cgroup.freeze", "1")
        except OSError as error:
            raise CgroupError(f"unable to freeze: cgroup.freeze: {describe(error.errno or 0)}") from None
        self._wait_until_still(self.paths[UNIFIED])

    def _has_stopped(self, directory: str) -> bool:
        return read_table(directory, "cgroup.events").get("frozen") == 1

    def thaw(self) -> None:
        try:
            write(self.paths[UNIFIED], "cgroup.freeze", "0")
        except FileNotFoundError:  # already gone, or a kernel before 5.2
            pass
        except OSError as error:
            raise CgroupError(f"cannot write 0 to cgroup.freeze: {describe(error.errno or 0)}") from None

    def kill(self) -> None:
        try:
            write(self.paths[UNIFIED], "cgroup.kill", "1")
        except OSError:  # before Linux 5.14
            super().kill()

    def stats(self) -> dict[str, Any]:
        from pysentry.oci.cgroups.stats_v2 import stats

        return stats(self.paths[UNIFIED])

    def oom_watch(self) -> OomWatch:
        try:
            return OomWatchV2(self.paths[UNIFIED])
        except OSError as error:
            raise CgroupError(f"cannot watch memory.events: {describe(error.errno or 0)}") from None


class OomWatchV2(OomWatch):
    """memory.events is ready by POLLPRI whenever a count in it changed since it was read."""

    __slots__ = ()
    events = select.POLLPRI

    def __init__(self, directory: str) -> None:
        super().__init__(os.open(f"{directory}/memory.events", os.O_RDONLY | os.O_CLOEXEC), 0)
        self._seen = self._count()

    def take(self) -> int:
        try:
            count = self._count()
        except OSError:  # the cgroup was removed
            return 0
        new, self._seen = count - self._seen, count
        return new

    def _count(self) -> int:
        for line in os.pread(self._fd, 4096, 0).decode().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return 0


def enable_controllers(directory: str, mount_point: str) -> None:
    """Hands every controller that the mount has down to a cgroup, as far as the parents on the way let us.

    What could not be handed down shows when a file is missing (writes.py).
    """
    place = mount_point
    names = directory[len(mount_point) :].strip("/").split("/")
    for name in names:
        for controller in read_or(place, "cgroup.controllers").split():
            try:
                if controller not in read(place, "cgroup.subtree_control").split():
                    write(place, "cgroup.subtree_control", f"+{controller}")
            except OSError:
                pass
        place = f"{place}/{name}"


def has_controller(directory: str, controller: str) -> bool:
    """Whether the host offers it at all: the parent of a cgroup that lacks it may be what withholds it."""
    while os.path.exists(f"{directory}/cgroup.controllers"):
        if controller in read_or(directory, "cgroup.controllers").split():
            return True
        directory = os.path.dirname(directory)
    return False

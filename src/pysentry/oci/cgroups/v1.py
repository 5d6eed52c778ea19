"""cgroup v1: one directory in each hierarchy. Owns the freezer's, the OOM notification's and cpusets' ways."""

from __future__ import annotations

import os
import select

from pysentry.oci.cgroups.cgroup import Cgroup, OomWatch
from pysentry.oci.cgroups.files import read_or, read_table, write
from pysentry.oci.errors import CgroupError
from pysentry.sandbox.errors import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class CgroupV1(Cgroup):
    """paths have the controllers' names; a hierarchy without one is "name=systemd" or the like."""

    __slots__ = ()
    version = 1

    def is_frozen(self) -> bool:
        directory = self.paths.get("freezer")
        return directory is not None and read_or(directory, "freezer.state", "THAWED") != "THAWED"

    def freeze(self) -> None:
        directory = self.paths.get("freezer")
        if directory is None:
            return super().freeze()
        try:
            write(directory, "freezer.state", "FROZEN")
        except OSError as error:
            raise CgroupError(f"unable to freeze: freezer.state: {describe(error.errno or 0)}") from None
        return self._wait_until_still(directory)

    def _has_stopped(self, directory: str) -> bool:
        return read_or(directory, "freezer.state", "FROZEN") == "FROZEN"

    def thaw(self) -> None:
        self._set_state("THAWED")

    def _hold(self) -> None:
        self._set_state("FROZEN")

    def _set_state(self, state: str) -> None:
        directory = self.paths.get("freezer")
        if directory is None:
            return
        try:
            write(directory, "freezer.state", state)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise CgroupError(f"cannot write {state} to freezer.state: {describe(error.errno or 0)}") from None

    def stats(self) -> dict[str, Any]:
        from pysentry.oci.cgroups.stats_v1 import stats

        return stats(self.paths)

    def oom_watch(self) -> OomWatch:
        directory = self.paths.get("memory")
        if directory is None:
            return super().oom_watch()
        try:
            return OomWatchV1(directory)
        except OSError as error:
            raise CgroupError(f"cannot watch memory.oom_control: {describe(error.errno or 0)}") from None


class OomWatchV1(OomWatch):
    """An eventfd that the kernel adds to at each OOM, and once more when the cgroup is removed."""

    __slots__ = ("_directory",)
    events = select.POLLIN

    def __init__(self, directory: str) -> None:
        super().__init__(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), 0)
        self._directory = directory
        try:
            control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                write(directory, "cgroup.event_control", f"{self._fd} {control}")
            finally:
                os.close(control)
        except OSError:
            self.close()
            raise

    def take(self) -> int:
        try:
            count = os.eventfd_read(self._fd)
        except BlockingIOError:
            return 0
        return count if os.path.exists(f"{self._directory}/cgroup.event_control") else 0


def oom_kills(directory: str) -> int:
    """How many processes of the cgroup the OOM killer has taken."""
    return read_table(directory, "memory.oom_control").get("oom_kill", 0)


def open_cpuset(directory: str, mount_point: str) -> None:
    """A new cpuset is empty, and no process can enter it: gives each level what its parent has.

    Raises:
        OSError: the kernel's.
    """
    place = mount_point
    for name in directory[len(mount_point) :].strip("/").split("/"):
        parent, place = place, f"{place}/{name}"
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not read_or(place, file):
                write(place, file, read_or(parent, file))

"""A container's cgroup, whichever version the host has: what verbs do with it.

Owns making and removing directories, moving processes, and killing them. v1.py and v2.py own what the versions do
differently; writes.py which file takes which resource; stats_v1.py and stats_v2.py what is read back.
"""

from __future__ import annotations

import os
import time

from pysentry.oci.cgroups.files import read_or, write
from pysentry.oci.errors import CgroupError
from pysentry.sandbox.errors import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pysentry.oci.spec_resources import Resources

PATIENCE_S = 10.0
"""How long tasks that were killed may take to die, and running ones to freeze."""
LONGEST_PAUSE_S = 0.02
SIGKILL = 9
MADE = ("trusted.pysentry.made", "user.pysentry.made")
"""Marks a parent directory that was made for a container, so that the last container in it removes it."""


class Cgroup:
    """paths: host directories by controller (hierarchies.UNIFIED for v2); none: the container has no cgroup, and then
    nothing can be asked of it but that it do nothing."""

    __slots__ = ("paths",)
    version = 0
    states_that_run = "RS"
    """Of a task (proc_pid_stat(5)) that may still execute its program, once freezing was asked for."""

    def __init__(self, paths: dict[str, str]) -> None:
        self.paths = paths

    def to_document(self) -> dict[str, Any]:
        """For state.json; reopen() takes it."""
        return {"version": self.version, "paths": self.paths}

    @property
    def directories(self) -> list[str]:
        """Each once, also where a hierarchy has several controllers."""
        return list(dict.fromkeys(self.paths.values()))

    # ---- processes -----------------------------------------------------------------------------------------------

    def join(self, pid: int = 0) -> None:
        """Moves a process with all its threads; 0: ourselves, who must have only one.

        In v1 our only thread is moved by `tasks`: the kernel then needs no grace period, which cgroup.procs costs once
        in a while (20 to 40 ms).
        """
        name = "tasks" if self.version == 1 and pid == 0 else "cgroup.procs"
        for directory in self.directories:
            try:
                write(directory, name, str(pid))
            except OSError as error:
                raise CgroupError(f"cannot put process {pid} into {directory}: {describe(error.errno or 0)}") from None

    def release(self) -> None:
        """A process of the container is inside: from now on it keeps the cgroup alive. For who made it."""

    def pids(self) -> list[int]:
        """Every process in it and below it, in no order."""
        if not self.paths:
            return []
        directory = self.paths.get("freezer") or next(iter(self.paths.values()))
        return [int(pid) for place in _tree(directory) for pid in read_or(place, "cgroup.procs").split()]

    def kill(self) -> None:
        """SIGKILL to every process, also to those that are forked meanwhile; they need not be gone when it returns.
        A frozen cgroup is thawed: only then can its tasks die."""
        if not self.pids():
            return  # and what has no process cannot fork one
        for _ in range(100):  # each round stops all forks first (v1: freezes); so many are never needed
            self._hold()
            pids = self.pids()
            for pid in pids:
                try:
                    os.kill(pid, SIGKILL)
                except ProcessLookupError:
                    pass
            self.thaw()
            if not set(self.pids()) - set(pids):
                return

    def _hold(self) -> None:
        """Keeps tasks from forking for a moment, where that can be had."""

    # ---- freezing ------------------------------------------------------------------------------------------------

    def is_frozen(self) -> bool:
        """Also while tasks still get there, and when somebody else froze it."""
        return False

    def freeze(self) -> None:
        """Returns when no task runs any more.

        Raises:
            CgroupError: there is no freezer, or a task would not stop; then everything runs as before.
        """
        raise CgroupError("cannot pause: the container has no cgroup with a freezer")

    def thaw(self) -> None:
        """Does nothing if it is not frozen."""

    def _wait_until_still(self, directory: str) -> None:
        """After freezing was asked for: until the kernel says so, or nothing runs.

        A task that waits for the sentry's answer sleeps killably and does not count as frozen until it is answered,
        which the sentry, frozen itself, does not do before the thaw. So uninterruptible is still enough.
        """
        for _ in pauses():
            if self._has_stopped(directory) or not any(map(self._may_run, self.pids())):
                return
        self.thaw()
        raise CgroupError("unable to freeze")

    def _may_run(self, pid: int) -> bool:
        """Whether a thread of the process has not come to a stop."""
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return False
        states = (read_or(f"/proc/{pid}/task/{thread}", "stat").rpartition(") ")[2][:1] for thread in threads)
        return any(state and state in self.states_that_run for state in states)

    def _has_stopped(self, directory: str) -> bool:
        raise NotImplementedError

    # ---- resources -----------------------------------------------------------------------------------------------

    def update(self, resources: Resources) -> list[str]:
        """Writes what is given and leaves the rest, and the device list, as it is. Returns warnings.

        Raises:
            CgroupError: the kernel rejects a value. Those before it stay written, as with runc.
        """
        if not self.paths:
            raise CgroupError("cannot update: the container has no cgroup")
        from pysentry.oci.cgroups.writes import apply, plan

        return apply(self, plan(resources, self.version))

    def stats(self) -> dict[str, Any]:
        """The `data` of `events --stats`."""
        return {}

    def oom_watch(self) -> OomWatch:
        raise CgroupError("cannot watch for OOM: the container has no memory cgroup")

    # ---- the end -------------------------------------------------------------------------------------------------

    def destroy(self) -> None:
        """Removes it with everything below it, and parents that were made for it. Tasks may still be dying.

        Raises:
            CgroupError: a process is in it that does not end.
        """
        left = self.directories
        for _ in pauses():
            left = [directory for directory in left if not _remove(directory)]
            if not left:
                break
        if left:
            raise CgroupError(f"unable to remove cgroup {', '.join(left)}: {describe(16)}")
        for directory in self.directories:
            _remove_made_parents(directory)


class PlannedCgroup(Cgroup):
    """What make() is about to make, written down before in case that its maker dies. Nothing of ours runs in it yet,
    and if something runs there, somebody else owns it."""

    __slots__ = ()

    def to_document(self) -> dict[str, Any]:
        return {"version": 0, "planned": True, "paths": self.paths}

    def join(self, pid: int = 0) -> None:
        raise CgroupError("the container's cgroup was not made")

    def pids(self) -> list[int]:
        return []

    def kill(self) -> None:
        """Kills nobody."""

    def update(self, resources: Resources) -> list[str]:
        raise CgroupError("the container's cgroup was not made")

    def destroy(self) -> None:
        """Removes it where it was made already and is empty."""
        for directory in self.directories:
            _remove(directory)
            _remove_made_parents(directory)


class OomWatch:
    """Tells when the kernel's OOM killer was at work. fileno() is for poll(2) with `events`."""

    __slots__ = ("_fd", "_seen")
    events = 0

    def fileno(self) -> int:
        return self._fd

    def take(self) -> int:
        """How often since the last time: 0 if it was woken for another reason."""
        raise NotImplementedError

    def close(self) -> None:
        os.close(self._fd)

    def __init__(self, fd: int, seen: int) -> None:
        self._fd = fd
        self._seen = seen


def pauses(patience_s: float | None = None) -> Iterator[None]:
    """Turns of a loop that asks for something that is not announced: soon at first, for so long (None: PATIENCE_S)."""
    deadline = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
    pause_s = 0.0005
    while True:
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _tree(directory: str) -> Iterator[str]:
    """The cgroup and those below it, innermost first."""
    for place, _, _ in os.walk(directory, topdown=False):
        yield place


def _remove(directory: str) -> bool:
    """Whether it is gone."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        for place in _tree(directory):
            try:
                os.rmdir(place)
            except OSError:
                pass
        return not os.path.isdir(directory)
    return True


def make_directory(directory: str, mount_point: str) -> list[str]:
    """Makes it with its parents; returns what was not there before, outermost first. Parents are marked.

    Raises:
        OSError: mkdir(2)'s.
    """
    for attempt in range(100):
        made: list[str] = []
        place = mount_point
        try:
            for name in directory[len(mount_point) :].strip("/").split("/"):
                place = f"{place}/{name}"
                try:
                    os.mkdir(place, 0o755)
                except FileExistsError:
                    continue
                made.append(place)
                if place != directory:
                    _mark(place)
            return made
        except FileNotFoundError:  # the last container in a parent removed it just now
            if attempt == 99:
                raise
    raise AssertionError


def _mark(directory: str) -> None:
    for name in MADE:
        try:
            os.setxattr(directory, name, b"1")
            return
        except OSError:
            pass


def _remove_made_parents(directory: str) -> None:
    """rmdir(2) refuses what holds a cgroup or a process, so only empty ones go."""
    while True:
        directory = os.path.dirname(directory)
        try:
            if not set(MADE).intersection(os.listxattr(directory)):
                return
            os.rmdir(directory)
        except OSError:
            return

"""A memory cgroup for each worker process, so that no test takes the machine's memory from what else runs on it.

Per-process limits don't do: a test forks. Version 1 and 2, see cgroups(7); made below (v1) or beside (v2) our own
cgroup, so that limits set from outside hold as well.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from bench.processes import look_at

MOUNTED = Path("/sys/fs/cgroup")
PREFIX = "pysentry-compat-"
# Of the machine's memory, for all tests together.
SHARE = 0.25
_REMOVAL_PATIENCE_S = 5.0


@dataclass(frozen=True)
class MemoryLimit:
    """`directory` is the cgroup's; `limit_bytes` what it holds its processes to."""

    directory: Path
    limit_bytes: int

    def join(self) -> None:
        """Moves the calling process in; what it starts is born there. Raises OSError."""
        with open(self.directory / "cgroup.procs", "w") as file:
            file.write("0")

    def remove(self) -> None:
        """Once all in it have ended; the kernel may need a moment."""
        _remove(self.directory)


def share_bytes(jobs: int) -> int:
    """What one of `jobs` workers may have."""
    return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * SHARE / jobs)


def make(limit_bytes: int) -> MemoryLimit | None:
    """A new cgroup for this process's tests, named by its pid; None where we may not make one."""
    parent, file = _parent()
    if parent is None:
        return None
    directory = parent / f"{PREFIX}{os.getpid()}"
    try:
        directory.mkdir(exist_ok=True)
        (directory / file).write_text(str(limit_bytes))
        swap = directory / "memory.memsw.limit_in_bytes"
        if swap.exists():
            swap.write_text(str(limit_bytes))
    except OSError:
        _remove(directory)
        return None
    return MemoryLimit(directory, limit_bytes)


def can_be_had() -> bool:
    limit = make(share_bytes(1))
    if limit is not None:
        limit.remove()
    return limit is not None


def _parent() -> tuple[Path | None, str]:
    """Where to make ours, and the name of the limit's file."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return MOUNTED / "memory" / path.strip("/"), "memory.limit_in_bytes"
        if not controllers and (MOUNTED / "cgroup.controllers").exists():
            # A cgroup with processes has no children with controllers, but for the root.
            return (MOUNTED / path.strip("/")).parent if path != "/" else MOUNTED, "memory.max"
    return None, ""


def _remove(directory: Path) -> None:
    deadline = time.monotonic() + _REMOVAL_PATIENCE_S
    while directory.is_dir():
        try:
            directory.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)


def remove_dead() -> None:
    """Cgroups of workers that are gone."""
    parent, _ = _parent()
    for directory in parent.glob(f"{PREFIX}[0-9]*") if parent is not None else ():
        if look_at(int(directory.name.removeprefix(PREFIX))) is None:
            _remove(directory)

"""Which host processes a run consists of, what memory they hold, and that none is left afterwards.

Reads /proc; starts nothing. See proc(5), prctl(2) PR_SET_CHILD_SUBREAPER.
"""

import ctypes
import os
import signal
import time
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One host process as it was when looked at. `tracer_pid` is 0 when nobody traces it."""

    pid: int
    name: str
    command: str
    executable: str
    tracer_pid: int


def become_subreaper() -> None:
    """Make orphans of our runs our children, so that what a runtime leaves behind stays in sight. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def parent_pid(stat_line: str) -> int:
    """The parent's pid from a /proc/PID/stat line. The name in parentheses may hold spaces and parentheses."""
    return int(stat_line.rpartition(")")[2].split()[1])


def descendants(root_pid: int) -> list[int]:
    """Pids of the living (and zombie) processes below root_pid, which is not among them."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                parent = parent_pid((entry / "stat").read_text(errors="replace"))
            except (OSError, IndexError, ValueError):
                continue  # ended while we looked
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    pending = [root_pid]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def look_at(pid: int) -> Process | None:
    """None if the process has ended or is a zombie."""
    directory = _PROC / str(pid)
    try:
        status = dict(
            line.split(":\t", 1)
            for line in (directory / "status").read_text(errors="replace").splitlines()
            if ":\t" in line
        )
        if status["State"].startswith(("Z", "X")):
            return None
        command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        executable = os.readlink(directory / "exe")
    except (OSError, KeyError):
        return None
    return Process(pid, status["Name"], command, executable, int(status["TracerPid"]))


def smaps_rollup_kib(text: str, field: str = "Pss") -> int:
    """The value of a field of /proc/PID/smaps_rollup in KiB. Raises ValueError if it is not there."""
    for line in text.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise ValueError(f"no {field} in smaps_rollup")


def pss_kib(pid: int) -> int:
    """Proportional set size in KiB. Raises OSError (no permission, process gone)."""
    return smaps_rollup_kib((_PROC / str(pid) / "smaps_rollup").read_text())


def reap(pids: Iterable[int]) -> None:
    """Collect those of pids that are ended children of ours (adopted ones included); the others are no error."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def kill_each(pids: Iterable[int]) -> None:
    """SIGKILL; a process that has ended is no error."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def await_none_left(before: Set[int], patience_s: float) -> list[str]:
    """Wait until this process has no descendants but those in before; after patience_s kill and name what is left."""
    deadline = time.monotonic() + patience_s
    while True:
        new = [pid for pid in descendants(os.getpid()) if pid not in before]
        reap(new)
        living = [process for pid in new if (process := look_at(pid)) is not None]
        if not living:
            return []
        if time.monotonic() > deadline:
            kill_each(process.pid for process in living)
            return [process.command or process.name for process in living]
        time.sleep(0.005)

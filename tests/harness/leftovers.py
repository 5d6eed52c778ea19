"""What a run must not leave behind: processes, mounts, files in the host's temporary directories, cgroups.

The test process is made a child subreaper, so that whatever outlives the process that started it becomes our child and
can be seen; nothing is looked for by name. Mounts and files are compared with what was there at the start.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 60.0
LASTING: set[subprocess.Popen[bytes]] = set()
"""Children that outlive a test on purpose: the engines' machine and what runs on it. Their owner ends them. Once one
was waited for its pid may be anybody's."""
WATCHED_DIRECTORIES = ("/tmp", "/dev/shm", "/run", "/var/tmp")


def become_subreaper() -> None:
    """Makes orphaned descendants our children: prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def children() -> dict[int, str]:
    """Our direct children by pid, with their state letter; without LASTING ones."""
    own = str(os.getpid())
    found = {}
    lasting = {process.pid for process in LASTING if process.returncode is None}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in lasting:
            fields = _stat_fields(int(entry))
            if fields is not None and fields[1] == own:
                found[int(entry)] = fields[0]
    return found


def describe(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        state = (_stat_fields(pid) or ["?"])[0]
    except OSError:
        return f"{pid} (gone)"
    return f"{pid} [{state}] {command[:200]}"


def end_orphans(known: Collection[int], grace_s: float = GRACE_S) -> list[str]:
    """Reaps adopted children that end within `grace_s`; kills the others and returns what they were.

    `known` are children that belong here (pids).
    """
    deadline = time.monotonic() + grace_s
    while True:
        alive = {pid: state for pid, state in children().items() if pid not in known}
        for pid in [pid for pid, state in alive.items() if state == "Z"]:
            os.waitpid(pid, os.WNOHANG)
            del alive[pid]
        if not alive:
            return []
        if time.monotonic() > deadline:
            break
        time.sleep(0.005)
    left = [describe(pid) for pid in alive]
    for pid in alive:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    # Killing may orphan more of them: those are ours as well.
    return left + (end_orphans(known, 1.0) if children().keys() - set(known) else [])


def _names_of_ours() -> Iterator[str]:
    for directory in WATCHED_DIRECTORIES:
        try:
            entries = os.listdir(directory)
        except OSError:
            continue
        yield from (f"{directory}/{entry}" for entry in entries if "pysentry" in entry)
    for root, directories, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"{root}/{entry}" for entry in directories if "pysentry" in entry)


def host_state() -> frozenset[str]:
    """Mounts of this namespace, and directory entries and cgroups that carry our name."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = {"mount " + line.split(" - ")[0].split(" ", 3)[3] for line in lines}
    return frozenset(mounts | {"file " + name for name in _names_of_ours()})

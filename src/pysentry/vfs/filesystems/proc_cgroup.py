"""/proc/PID/cgroup: every process of the sandbox is in the root of its own cgroup namespace: cgroup_namespaces(7)."""

from __future__ import annotations

_lines = b"0::/\n"


def show_hierarchies(controllers: list[str]) -> None:
    """Boot: the controllers of each hierarchy that the container sees, [""] for v2."""
    global _lines
    count = len(controllers)
    _lines = b"".join(b"%d:%s:/\n" % (count - at if name else 0, name.encode()) for at, name in enumerate(controllers))


def lines() -> bytes:
    """One line a hierarchy, the last number first."""
    return _lines or b"0::/\n"

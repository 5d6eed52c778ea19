"""The cgroup hierarchies that this host has mounted, and the memory that our own cgroup in them leaves us.

Owns the reading of /proc/self/{mountinfo,cgroup} (cgroups(7)). Makes nothing.
"""

from __future__ import annotations

import os.path

UNIFIED = ""
"""The name of cgroup v2 where v1 hierarchies go by their controllers."""


_NO_LIMIT_V1 = 1 << 62  # PAGE_COUNTER_MAX in bytes, just below 2^63


class Hierarchy:
    """One mount. controllers: names as in /proc/self/cgroup ("name=systemd" for one without a controller, UNIFIED for
    v2). own: the cgroup that we are in ourselves, below the mount point."""

    __slots__ = ("controllers", "mount_point", "own")

    def __init__(self, controllers: tuple[str, ...], mount_point: str, own: str) -> None:
        self.controllers = controllers
        self.mount_point = mount_point
        self.own = own

    def directory(self, path: str) -> str:
        """The host directory of a cgroup.

        Args:
            path: as cgroups.placement.clean_path() gives it. A relative one lies below our own cgroup, as with runc;
                in v2 beside it, since a cgroup with processes in it cannot hand controllers down (cgroups(7), "no
                internal processes").
        """
        if path.startswith("/"):
            return _join(self.mount_point, path)
        base = os.path.dirname(self.own) if self.controllers == (UNIFIED,) else self.own
        return _join(self.mount_point, base, path)


def _join(*parts: str) -> str:
    return "/" + "/".join(part.strip("/") for part in parts if part.strip("/"))


def find_hierarchies(pid: int = 0) -> list[Hierarchy]:
    """Each hierarchy once, by its first mount; v2 last. Empty: this host has none mounted.

    Args:
        pid: the process whose cgroups are `own`; 0: ourselves.
    """
    own = _own_paths(pid)
    found: dict[tuple[str, ...], Hierarchy] = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            if " - cgroup" not in line:
                continue
            before, _, after = line.rstrip("\n").partition(" - ")
            fs_type, _, options = after.split(" ", 2)
            root, mount_point = (_unescape(word) for word in before.split(" ")[3:5])
            # A root with ".." lies outside our cgroup namespace: we cannot name what is in it.
            if root.startswith("/.."):
                continue
            names = {UNIFIED} if fs_type == "cgroup2" else set(options.split(","))
            key = next((key for key in own if names.issuperset(key)), None)
            if key is not None and key not in found:
                found[key] = Hierarchy(key, mount_point, _below(own[key], root))
    return sorted(found.values(), key=lambda hierarchy: hierarchy.controllers == (UNIFIED,))


def _own_paths(pid: int) -> dict[tuple[str, ...], str]:
    with open(f"/proc/{pid or 'self'}/cgroup", encoding="utf-8", errors="surrogateescape") as lines:
        rows = [line.rstrip("\n").split(":", 2) for line in lines]
    return {tuple(controllers.split(",")): path for _, controllers, path in rows}


def _below(path: str, root: str) -> str:
    """A path of /proc/self/cgroup seen from a mount whose root is `root` (a container's mount shows its own part)."""
    if root != "/" and (path + "/").startswith(root + "/"):
        path = path[len(root) :]
    return "/" if path.startswith("/..") else path or "/"


def _unescape(word: str) -> str:
    for code in ("\\040", "\\011", "\\012", "\\134"):
        word = word.replace(code, chr(int(code[1:], 8)))
    return word


def memory_limit_bytes() -> int | None:
    """What our own cgroup and those above it let us use; None: as much as there is, or nobody can say."""
    try:
        for hierarchy in find_hierarchies():
            if "memory" in hierarchy.controllers:
                return _limit_v1(hierarchy)
            if hierarchy.controllers == (UNIFIED,):
                return _limit_v2(hierarchy)
    except (OSError, ValueError):
        pass
    return None


def _limit_v1(hierarchy: Hierarchy) -> int | None:
    with open(hierarchy.directory(hierarchy.own) + "/memory.stat", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("hierarchical_memory_limit "):
                limit = int(line.split()[1])
                return limit if limit < _NO_LIMIT_V1 else None
    return None


def _limit_v2(hierarchy: Hierarchy) -> int | None:
    limits = []
    path = hierarchy.own
    while path != "/":
        try:
            with open(hierarchy.directory(path) + "/memory.max", encoding="utf-8") as file:
                text = file.read().strip()
        except FileNotFoundError:  # the controller is not on there
            text = "max"
        if text != "max":
            limits.append(int(text))
        path = os.path.dirname(path)
    return min(limits, default=None)

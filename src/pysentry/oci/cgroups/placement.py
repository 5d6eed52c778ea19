"""Where in the hierarchies a container's cgroup goes: the meaning of `linux.cgroupsPath`."""

from __future__ import annotations

import os.path


def clean_path(cgroups_path: str, identity: str) -> str:
    """`linux.cgroupsPath` as a path below the hierarchies: absolute from their roots, else relative to our own cgroup.

    Empty: the container's id, relative. systemd's "slice:prefix:name" becomes the directories that systemd would make.
    ".." never leads out: it is resolved against the root, as runc and crun do.
    """
    if not cgroups_path:
        cgroups_path = identity
    elif name := systemd_name(cgroups_path):
        return os.path.normpath(_systemd_path(name))
    cleaned = os.path.normpath("/" + cgroups_path.lstrip("/"))
    return cleaned if cgroups_path.startswith("/") else cleaned.lstrip("/") or identity


class SystemdName:
    """What "slice:prefix:name" says. slice: "" for the default one; unit: a scope, or a slice if the name is one."""

    __slots__ = ("slice", "unit")

    def __init__(self, slice_name: str, prefix: str, name: str) -> None:
        self.slice = slice_name
        self.unit = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"


def systemd_name(cgroups_path: str) -> SystemdName | None:
    """None: it is a path."""
    if cgroups_path.count(":") != 2 or "/" in cgroups_path:
        return None
    return SystemdName(*cgroups_path.split(":"))


def _systemd_path(name: SystemdName) -> str:
    """systemd.slice(5): "a-b.slice" is a child of "a.slice"; "-.slice" is the root."""
    stem = (name.slice or "system.slice").removesuffix(".slice")
    words = stem.split("-") if stem != "-" else []
    slices = ["-".join(words[: end + 1]) + ".slice" for end in range(len(words))]
    return "/" + "/".join([*slices, name.unit])

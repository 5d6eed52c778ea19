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
    elif cgroups_path.count(":") == 2 and "/" not in cgroups_path:
        return os.path.normpath(_systemd_path(*cgroups_path.split(":")))
    cleaned = os.path.normpath("/" + cgroups_path.lstrip("/"))
    return cleaned if cgroups_path.startswith("/") else cleaned.lstrip("/") or identity


def _systemd_path(slice_name: str, prefix: str, name: str) -> str:
    """systemd.slice(5): "a-b.slice" is a child of "a.slice"; "-.slice" is the root."""
    unit = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    stem = (slice_name or "system.slice").removesuffix(".slice")
    words = stem.split("-") if stem != "-" else []
    slices = ["-".join(words[: end + 1]) + ".slice" for end in range(len(words))]
    return "/" + "/".join([*slices, unit])

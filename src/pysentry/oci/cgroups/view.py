"""What a `cgroup` mount shows a container of its own cgroup. Owns names and directories; vfs mounts them, read-only."""

from __future__ import annotations

import os.path

from pysentry.oci.cgroups.cgroup import Cgroup
from pysentry.sandbox.hierarchies import find_hierarchies


def view(cgroup: Cgroup) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What is below the mount point.

    Returns:
        Directories as (name below the mount point, host directory): one for each v1 hierarchy, named as the host's
        mount of it; for v2 one with the name "", the mount point itself.
        Symbolic links as (name, target): each controller of a hierarchy that has several ("cpu" -> "cpu,cpuacct").
    """
    if cgroup.version == 2:
        return [("", cgroup.paths[""])], []
    directories: list[tuple[str, str]] = []
    links: list[tuple[str, str]] = []
    for hierarchy in find_hierarchies():
        host = cgroup.paths.get(hierarchy.controllers[0])
        if host is None:
            continue
        name = os.path.basename(hierarchy.mount_point)
        directories.append((name, host))
        links += [
            (controller, name) for controller in hierarchy.controllers if name not in (controller, controller[5:])
        ]
    return directories, links

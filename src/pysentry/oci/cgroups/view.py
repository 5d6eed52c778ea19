"""What a `cgroup` mount shows a container of its own cgroup. Owns names and directories; vfs mounts them, read-only."""

from __future__ import annotations

import os.path

from pysentry.sandbox.container import CgroupDirectory
from pysentry.sandbox.hierarchies import UNIFIED, find_hierarchies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.oci.cgroups.cgroup import Cgroup


def view(cgroup: Cgroup) -> list[CgroupDirectory]:
    """What is below the mount point: a directory for each v1 hierarchy, named as the host's mount of it; for v2 one
    with the name "", the mount point itself."""
    if cgroup.version == 2:
        return [CgroupDirectory("", (UNIFIED,), cgroup.paths[UNIFIED])]
    return [
        CgroupDirectory(os.path.basename(one.mount_point), one.controllers, cgroup.paths[one.controllers[0]])
        for one in find_hierarchies()
        if one.controllers[0] in cgroup.paths
    ]

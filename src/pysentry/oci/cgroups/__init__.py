"""cgroups of containers: limits, accounting, freezing, and the end of everything that is in them.

Owns what the host's cgroup file systems say and are told. Does not own what a container is (oci/lifecycle.py), nor the
view of it inside the sandbox (vfs), for which view.py gives the directories. Verbs like `state` only reopen a cgroup,
so the rest is imported by what needs it.
"""

from __future__ import annotations

from pysentry.oci.cgroups.cgroup import Cgroup, PlannedCgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pysentry.oci.spec_resources import Resources

__all__ = ["NONE", "Cgroup", "make", "plan", "reopen"]

NONE = Cgroup({})
"""Of a container without one: no host support, --cgroups=disabled, or an unprivileged user."""


def reopen(document: dict[str, Any]) -> Cgroup:
    """The cgroup that to_document() was called on. {}: none."""
    version = document.get("version", 0)
    if version == 1:
        from pysentry.oci.cgroups.v1 import CgroupV1

        return CgroupV1(document["paths"])
    if version == 2 and "unit" in document:
        from pysentry.oci.cgroups.systemd import Scope

        return Scope(document["paths"], document["unit"], document["is_user"])
    if version == 2:
        from pysentry.oci.cgroups.v2 import CgroupV2

        return CgroupV2(document["paths"])
    return PlannedCgroup(document["paths"]) if document.get("planned") else NONE


def plan(cgroups_path: str, identity: str) -> Cgroup:
    """Where make() with the same arguments will make it. Changes nothing; for state.json, so that what a killed
    `create` left can be found and removed. A scope is removed by systemd when nobody is in it."""
    from pysentry.oci.cgroups.creation import places, scope_name

    if scope_name(cgroups_path) is not None:
        return PlannedCgroup({})
    return PlannedCgroup({name: directory for _, name, directory in places(cgroups_path, identity)})


def make(
    cgroups_path: str, resources: Resources | None, identity: str, is_rootless: bool = True
) -> tuple[Cgroup, list[str]]:
    """Makes a container's cgroup and sets its limits, before any process is in it.

    Args:
        cgroups_path: `linux.cgroupsPath`; "" for one named by the id.
        is_rootless: goes on without where this user may have no cgroup.

    Returns:
        It, and what had to be left out (warnings for the log). NONE if there is none.

    Raises:
        CgroupError: the kernel rejects a value, limits were asked for and there is no cgroup to set them in, this user
            may have none, or a process is in that cgroup already. Then nothing is left of it.
    """
    from pysentry.oci.cgroups.creation import create

    return create(cgroups_path, resources, identity, is_rootless)

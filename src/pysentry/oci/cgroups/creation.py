"""Making a container's cgroup in every hierarchy of the host, or in none.

Owns the order: directories, what makes them usable, limits; and the undoing when a step fails.
"""

from __future__ import annotations

import errno
import os

from pysentry.oci.cgroups.cgroup import Cgroup, make_directory
from pysentry.oci.cgroups.files import read_or
from pysentry.oci.cgroups.placement import SystemdName, clean_path, systemd_name
from pysentry.oci.cgroups.v1 import CgroupV1, open_cpuset
from pysentry.oci.cgroups.v2 import CgroupV2, enable_controllers
from pysentry.oci.cgroups.writes import apply, asks_for_limits, plan, plan_devices
from pysentry.oci.errors import CgroupError
from pysentry.sandbox.errors import describe
from pysentry.sandbox.hierarchies import UNIFIED, Hierarchy, find_hierarchies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.oci.spec_resources import Resources

NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What an unprivileged user, or a container's root, gets: what --rootless goes on without."""


def places(cgroups_path: str, identity: str) -> list[tuple[Hierarchy, str, str]]:
    """Each hierarchy that a container goes into, a controller, and the directory there.

    Where v1 has the controllers, v2 is mounted beside it without any: being in it would cost time and give nothing.
    """
    path = clean_path(cgroups_path, identity)
    hierarchies = find_hierarchies()
    is_v1 = any(hierarchy.controllers != (UNIFIED,) for hierarchy in hierarchies)
    return [
        (hierarchy, controller, hierarchy.directory(path))
        for hierarchy in hierarchies
        if (hierarchy.controllers != (UNIFIED,)) == is_v1
        for controller in hierarchy.controllers
    ]


def scope_name(cgroups_path: str) -> SystemdName | None:
    """What to ask systemd for; None: directories, by ourselves."""
    name = systemd_name(cgroups_path)
    if name is None or not name.unit.endswith(".scope"):
        return None
    from pysentry.oci.cgroups.systemd import is_manager

    return name if is_manager() else None


def create(
    cgroups_path: str, resources: Resources | None, identity: str, is_rootless: bool
) -> tuple[Cgroup, list[str]]:
    """See cgroups.make()."""
    scope = scope_name(cgroups_path)
    if scope is not None:
        from pysentry.oci.cgroups.systemd import make_scope

        return make_scope(scope, resources, identity, is_rootless)
    wanted = places(cgroups_path, identity)
    made: list[str] = []
    try:
        paths, refused = _make_directories(wanted, made)
        if refused and not is_rootless:
            raise CgroupError(f"cannot make cgroup {next(iter(refused.values()))} (--rootless=true goes on without)")
        has_all = bool(paths) and not refused
        if not has_all and resources is not None and asks_for_limits(resources):
            where = ", ".join(refused.values()) or "no cgroup file system is mounted"
            raise CgroupError(f"cannot set limits: no cgroup can be made ({where})")
        reasons = list(refused.values()) if paths or refused else ["none is mounted"]
        warnings = [f"no cgroup: {reason}" for reason in reasons]
        if not paths:
            return Cgroup({}), warnings
        cgroup = CgroupV2(paths) if UNIFIED in paths else CgroupV1(paths)
        if cgroup.version == 2 or "devices" in paths:
            warnings += apply(cgroup, plan_devices(resources, cgroup.version))
        if resources is not None:
            warnings += apply(cgroup, plan(resources, cgroup.version))
        return cgroup, warnings
    except BaseException:
        for directory in reversed(made):
            try:
                os.rmdir(directory)
            except OSError:  # somebody else is in a parent by now
                pass
        raise


def _make_directories(
    wanted: list[tuple[Hierarchy, str, str]], made: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Directories by controller, and reasons by directory where we may not write.

    Args:
        made: gets what was made, as it is made.
    """
    paths: dict[str, str] = {}
    refused: dict[str, str] = {}
    for hierarchy, controller, directory in wanted:
        if directory in paths.values():
            paths[controller] = directory
        if directory in paths.values() or directory in refused:
            continue
        try:
            made += make_directory(directory, hierarchy.mount_point)
            _make_usable(hierarchy, directory)
        except OSError as error:
            name = ",".join(hierarchy.controllers) or "cgroup2"
            reason = f"{name}: {directory}: {describe(error.errno or 0)}"
            if error.errno not in NOT_OURS:
                raise CgroupError(f"cannot make cgroup {reason}") from None
            refused[directory] = reason
            continue
        _check_unused(directory)
        paths[controller] = directory
    return paths, refused


def _make_usable(hierarchy: Hierarchy, directory: str) -> None:
    if "cpuset" in hierarchy.controllers:
        open_cpuset(directory, hierarchy.mount_point)
    if hierarchy.controllers == (UNIFIED,):
        enable_controllers(directory, hierarchy.mount_point)
    if not os.access(f"{directory}/cgroup.procs", os.W_OK):
        raise PermissionError(errno.EACCES, "")


def _check_unused(directory: str) -> None:
    """Killing a container kills what is in its cgroup, so nobody else may be there (runc's words)."""
    if count := len(read_or(directory, "cgroup.procs").split()):
        raise CgroupError(f"container's cgroup is not empty: {count} process(es) found in {directory}")
    if read_or(directory, "freezer.state", "THAWED") != "THAWED" or read_or(directory, "cgroup.freeze") == "1":
        raise CgroupError(f"container's cgroup unexpectedly frozen: {directory}")

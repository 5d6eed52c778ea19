"""Making a container's cgroup in every hierarchy of the host, or in none.

Owns the order: directories, what makes them usable, limits; and the undoing when a step fails.
"""

from __future__ import annotations

import errno
import os

from pysentry.oci.cgroups.cgroup import Cgroup, make_directory
from pysentry.oci.cgroups.files import read_or
from pysentry.oci.cgroups.hierarchies import UNIFIED, Hierarchy, clean_path, find_hierarchies
from pysentry.oci.cgroups.v1 import CgroupV1, open_cpuset
from pysentry.oci.cgroups.v2 import CgroupV2, enable_controllers
from pysentry.oci.cgroups.writes import apply, asks_for_limits, plan, plan_devices
from pysentry.oci.errors import CgroupError
from pysentry.sandbox.errors import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.oci.spec_resources import Resources

NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What an unprivileged user, or a container's root, gets."""


def create(cgroups_path: str, resources: Resources | None, identity: str) -> tuple[Cgroup, list[str]]:
    """See cgroups.make()."""
    path = clean_path(cgroups_path, identity)
    hierarchies = find_hierarchies()
    # Where v1 has the controllers, v2 is mounted beside it without any: being in it would cost time and give nothing.
    is_v1 = any(hierarchy.controllers != (UNIFIED,) for hierarchy in hierarchies)
    wanted = [hierarchy for hierarchy in hierarchies if (hierarchy.controllers != (UNIFIED,)) == is_v1]
    made: list[str] = []
    try:
        paths, refused = _make_directories(wanted, path, made)
        has_all = bool(paths) and not refused
        if not has_all and resources is not None and asks_for_limits(resources):
            where = ", ".join(refused) or "no cgroup file system is mounted"
            raise CgroupError(f"cannot set limits: no cgroup can be made ({where})")
        reasons = refused if paths or refused else ["none is mounted"]
        warnings = [f"no cgroup: {reason}" for reason in reasons]
        if not paths:
            return Cgroup({}), warnings
        cgroup = CgroupV1(paths) if is_v1 else CgroupV2(paths)
        if resources is not None:
            warnings += apply(cgroup, [*plan_devices(resources, cgroup.version), *plan(resources, cgroup.version)])
        return cgroup, warnings
    except BaseException:
        for directory in reversed(made):
            try:
                os.rmdir(directory)
            except OSError:  # somebody else is in a parent by now
                pass
        raise


def _make_directories(wanted: list[Hierarchy], path: str, made: list[str]) -> tuple[dict[str, str], list[str]]:
    """Directories by controller, and the hierarchies that we may not write to, with the reason.

    Args:
        made: gets what was made, as it is made.
    """
    paths: dict[str, str] = {}
    refused: list[str] = []
    for hierarchy in wanted:
        directory = hierarchy.directory(path)
        names = ",".join(hierarchy.controllers) or "cgroup2"
        try:
            made += make_directory(directory, hierarchy.mount_point)
            if "cpuset" in hierarchy.controllers:
                open_cpuset(directory, hierarchy.mount_point)
            if hierarchy.controllers == (UNIFIED,):
                enable_controllers(directory, hierarchy.mount_point)
            if not os.access(f"{directory}/cgroup.procs", os.W_OK):
                raise PermissionError(errno.EACCES, "")
        except OSError as error:
            reason = f"{names}: {directory}: {describe(error.errno or 0)}"
            if error.errno not in NOT_OURS:
                raise CgroupError(f"cannot make cgroup {reason}") from None
            refused.append(reason)
            continue
        _check_unused(directory)
        paths |= dict.fromkeys(hierarchy.controllers, directory)
    return paths, refused


def _check_unused(directory: str) -> None:
    """Killing a container kills what is in its cgroup, so nobody else may be there (runc's words)."""
    if count := len(read_or(directory, "cgroup.procs").split()):
        raise CgroupError(f"container's cgroup is not empty: {count} process(es) found in {directory}")
    if read_or(directory, "freezer.state", "THAWED") != "THAWED" or read_or(directory, "cgroup.freeze") == "1":
        raise CgroupError(f"container's cgroup unexpectedly frozen: {directory}")

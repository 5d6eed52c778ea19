"""What the gofer of a container serves, by tree number: the root file system, then in the order of config.mounts each
bind's source and each cgroup directory of a cgroup mount. vfs/container_root.py counts in the same order.

check_sources() runs before the gofer is forked, container_trees() in it: neither imports what is the sentry's alone.
"""

from __future__ import annotations

import os
from errno import EINVAL

from pysentry.sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gofer.tree import Tree
    from pysentry.sandbox.config import RunConfig


class MountSourceError(SandboxError):
    """What is to be mounted is not there."""


def check_sources(config: RunConfig) -> None:
    """MountSourceError names a source that is missing, in the words that engines look for. Fills in writable_below."""
    for row in config.mounts:
        if row.kind != "bind":
            continue
        source = row.source or ""
        try:
            os.stat(source)
        except (OSError, ValueError) as error:
            reason = os.strerror(getattr(error, "errno", None) or EINVAL).lower()
            what = f'error mounting "{source}" to rootfs at "{row.target}"'
            raise MountSourceError(f"{what}: stat {source}: {reason}") from None
        if row.words >= {"rbind", "ro"} and "rro" not in row.words:
            from gofer.tree import mounts_of_files

            with open("/proc/self/mountinfo", "rb") as lines:
                row.writable_below = mounts_of_files(source, lines.read())


def container_trees(config: RunConfig) -> list[Tree]:
    """The trees, in the order of their numbers."""
    from gofer.tree import Tree

    is_in_place = config.root_writable and not config.overlay
    trees = [Tree(config.rootfs, writable=is_in_place, immutable=config.overlay, is_root_in_place=is_in_place)]
    for row in config.mounts:
        if row.kind == "bind":
            trees.append(
                Tree(
                    row.source or "",
                    writable=bool(row.writable_below) or not row.words & {"ro", "rro"},
                    is_top_read_only=bool(row.writable_below),
                    is_recursive="rbind" in row.words,
                    is_noexec=bool(row.words & {"noexec", "rnoexec"}),
                    may_be_special=True,
                )
            )
        elif row.kind == "cgroup" and config.container is not None:
            for directory in config.container.cgroup:
                trees.append(Tree(directory.host, with_kernel_filesystems=True))
    return trees

"""What the gofer of a container serves, by tree number: the root file system, then in the order of config.mounts each
bind's source and each cgroup directory of a cgroup mount. vfs/container_root.py counts in the same order.

Runs before the gofer is forked, so it imports nothing of the sentry.
"""

from __future__ import annotations

import os

from gofer.tree import Tree
from pysentry.sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.sandbox.config import MountRow, RunConfig


class MountSourceError(SandboxError):
    """What is to be mounted is not there."""


def container_trees(config: RunConfig) -> list[Tree]:
    """MountSourceError names a source that is missing, in the words that engines look for."""
    is_in_place = config.root_writable and not config.overlay
    trees = [Tree(config.rootfs, writable=is_in_place, immutable=config.overlay, is_root_in_place=is_in_place)]
    for row in config.mounts:
        if row.kind == "bind":
            trees.append(_bind(row))
        elif row.kind == "cgroup" and config.container is not None:
            for _, directory in sorted(config.container.cgroup.items()):
                trees.append(Tree(directory, with_kernel_filesystems=True))
    return trees


def _bind(row: MountRow) -> Tree:
    source = row.source or ""
    try:
        os.stat(source)
    except (OSError, ValueError) as error:
        reason = (os.strerror(getattr(error, "errno", None) or 22)).lower()
        raise MountSourceError(
            f'error mounting "{source}" to rootfs at "{row.target}": stat {source}: {reason}'
        ) from None
    return Tree(
        source,
        writable=not row.words & {"ro", "rro"},
        is_recursive="rbind" in row.words,
        is_noexec=bool(row.words & {"noexec", "rnoexec"}),
        may_be_special=True,
    )

"""The mounts of a container as privileged processes of the host see them in its mount namespace (gofer/view.py).

Owns what each row of config.mounts becomes there. Files in memory, and what the sentry makes up, are no files of the
host; where such a mount stands, the view is empty and cannot be written, so that nothing is put where no program would
find it. Mounts that programs make themselves are not in it. `create` runs this, outside the sandbox.
"""

from __future__ import annotations

from gofer.view import View
from pysentry.sandbox.container_trees import container_trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.sandbox.config import RunConfig


def show_container(config: RunConfig, sentry_pid: int, init_pid: int) -> None:
    """Before its first program runs. With an overlay the root is not shown: what is changed in it is memory, and nobody
    shall take what is below for the container's files.

    Raises:
        OSError: it cannot be had; then the namespace stays empty.
    """
    root, *sources = container_trees(config)
    binds = iter(tree for tree in sources if not tree.with_kernel_filesystems)
    with View(None if config.overlay else root) as view:
        for row in config.mounts:
            if row.kind == "bind":
                view.add_tree(next(binds), row.target)
            elif row.kind == "proc":
                view.add_processes(row.target)
            else:
                view.add_hidden(row.target)
        view.show(sentry_pid, init_pid)

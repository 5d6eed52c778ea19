"""The host view: a container's files where privileged processes of the host look for them.

`podman cp` and `podman top` enter the mount namespace of the container's pid, which is the sentry's. There is nothing
in it until show() mounts there what the gofer serves. The sentry itself stays in an empty directory of it
(SECURITY.md, "The host view"). Nothing in a view can be executed.
"""

from __future__ import annotations

import os
from errno import EINVAL

from gofer._native import ffi, lib
from gofer.syscalls import check
from gofer.tree import clone_tree, kernel_mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gofer.tree import Tree

Mounts = list[tuple[int, int, bytes]]
"""(VIEW_*, descriptor or -1, path in the container)."""


class View:
    """What is mounted, in order; for `with`, as it holds descriptors."""

    def __init__(self, root: Tree) -> None:
        self._mounts: Mounts = []
        self._mountinfo = b""
        self.add_tree(root, "/")

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_exception: object) -> None:
        for _, fd, _ in self._mounts:
            if fd >= 0:
                os.close(fd)

    def add_tree(self, tree: Tree, target: str) -> None:
        """A host directory or file, with what the gofer would cover in it covered. OSError."""
        tree.is_noexec = True
        self._mounts.append((lib.VIEW_TREE, clone_tree(tree), os.fsencode(target)))
        if tree.is_recursive and not tree.with_kernel_filesystems:
            if not self._mountinfo:
                with open("/proc/self/mountinfo", "rb") as lines:
                    self._mountinfo = lines.read()
            for path in kernel_mounts(tree, self._mountinfo):
                self._mounts.append((lib.VIEW_EMPTY, -1, os.fsencode(target).rstrip(b"/") + b"/" + path))

    def add_processes(self, target: str) -> None:
        self._mounts.append((lib.VIEW_PROC, -1, os.fsencode(target)))

    def add_hidden(self, target: str) -> None:
        """What is no file of the host: it is seen as empty, and nothing can be put there."""
        kind = lib.VIEW_DEVICES if target.rstrip("/") == "/dev" else lib.VIEW_EMPTY
        self._mounts.append((kind, -1, os.fsencode(target)))

    def show(self, sentry_pid: int, init_pid: int) -> None:
        """Mounts all of it, or nothing.

        Args:
            sentry_pid: as we see it; it is locked up.
            init_pid: the container's pid 1, as we see it.

        Raises:
            OSError: one of the two is gone, or we may not.
        """
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        namespaces: list[int] = []
        try:
            for path in (f"/proc/{sentry_pid}/ns/mnt", f"/proc/{init_pid}/ns/pid"):
                namespaces.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            if os.path.sameopenfile(namespaces[0], own):
                raise OSError(EINVAL, "the host's own mount namespace")
            targets = [ffi.new("char[]", target) for _, _, target in self._mounts]
            rows = ffi.new("struct gofer_view_mount[]", len(targets))
            for row, (kind, fd, _), target in zip(rows, self._mounts, targets, strict=True):
                row.kind, row.fd, row.target = kind, fd, target
            check(lib.gofer_show_view(*namespaces, rows, len(targets)))
        finally:
            for fd in (own, *namespaces):
                os.close(fd)

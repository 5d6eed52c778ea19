"""The host view: a container's files where privileged processes of the host look for them.

`podman cp` and `podman top` enter the mount namespace of the container's pid, which is the sentry's. There is nothing
in it until show() mounts there what the gofer serves. The sentry itself stays in an empty directory of it
(SECURITY.md, "The host view"). Nothing in a view can be executed.
"""

from __future__ import annotations

import os
from errno import EINVAL
from stat import S_ISDIR

from gofer._native import ffi, lib
from gofer.syscalls import check
from gofer.tree import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    clone_tree,
    kernel_mounts,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gofer.tree import Tree

Mounts = list[tuple[int, int, bytes]]
"""(VIEW_*, descriptor or -1, path in the container)."""


NOTHING_OF_IT_RUNS = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC


class View:
    """What is mounted, in order; for `with`, as it holds descriptors.

    root: None if no directory of the host is the container's root: then there is only what is added, and places for it.
    """

    def __init__(self, root: Tree | None) -> None:
        self._mounts: Mounts = []
        self._mountinfo = b""
        self._places = -1
        if root is None:
            self._places = check(lib.gofer_new_mount(b"tmpfs", ffi.NULL, 0, NOTHING_OF_IT_RUNS))
            self._mounts.append((lib.VIEW_TREE, self._places, b"/"))
        else:
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
        clone = clone_tree(tree)
        self._mounts.append((lib.VIEW_TREE, clone, os.fsencode(target)))
        self._make_place(target, is_directory=S_ISDIR(os.stat(clone).st_mode))
        if tree.is_recursive and not tree.with_kernel_filesystems:
            if not self._mountinfo:
                with open("/proc/self/mountinfo", "rb") as lines:
                    self._mountinfo = lines.read()
            for path in kernel_mounts(tree, self._mountinfo):
                self._mounts.append((lib.VIEW_EMPTY, -1, os.fsencode(target).rstrip(b"/") + b"/" + path))

    def add_processes(self, target: str) -> None:
        self._make_place(target, is_directory=True)
        self._mounts.append((lib.VIEW_PROC, -1, os.fsencode(target)))

    def add_hidden(self, target: str) -> None:
        """What is no file of the host: it is seen as empty, and nothing can be put there."""
        kind = lib.VIEW_DEVICES if target.rstrip("/") == "/dev" else lib.VIEW_EMPTY
        self._mounts.append((kind, -1, os.fsencode(target)))

    def _make_place(self, target: str, is_directory: bool) -> None:
        """In a root that is not the host's. One below a tree that is shown already is that tree's matter."""
        if self._places < 0:
            return
        path = os.path.normpath("/" + target).lstrip("/")
        names = path.split("/")
        for count in range(1, len(names) + is_directory):
            try:
                os.mkdir("/".join(names[:count]), 0o755, dir_fd=self._places)
            except FileExistsError:
                continue
        if not is_directory:
            os.close(os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o644, dir_fd=self._places))

    def show(self, sentry_pid: int, init_pid: int) -> None:
        """Mounts all of it, or nothing.

        Args:
            sentry_pid: as we see it; it is locked up.
            init_pid: the container's pid 1, as we see it.

        Raises:
            OSError: one of the two is gone, or we may not.
        """
        if self._places >= 0:
            check(lib.gofer_mount_setattr(self._places, NOTHING_OF_IT_RUNS | MOUNT_ATTR_RDONLY, 0))
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

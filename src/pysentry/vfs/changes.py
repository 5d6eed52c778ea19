"""What a run changed in its overlays, told from the dentries and from what lies below them on the host.

Every change pins a dentry, so only names that are cached are looked at; the gofer is asked what the host has in their
places. File systems in memory (/tmp, /dev/shm, --tmpfs) and binds are no overlays: what is in them is not told.
"""

from __future__ import annotations

import os

from pysentry.abi.fcntl import O_RDONLY
from pysentry.abi.stat import S_IFMT, is_directory, is_regular
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import dentry_name, is_mount_point, is_positive, path_of
from pysentry.vfs.filesystem import content_fd, refresh_live
from pysentry.vfs.filesystems.memory_xattrs import kept_xattrs
from pysentry.vfs.filesystems.tree import TreeFileSystem
from pysentry.vfs.lower import lower_path
from pysentry.vfs.mounts import all_mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gofer.protocol import Attr
    from pysentry.platform.cdefs import CDentry, CInode

ADDED, CHANGED, DELETED = "A", "C", "D"  # as `docker diff` has them


class Change:
    """One name that is not as on the host.

    kind: ADDED, CHANGED or DELETED. path: absolute, in the sandbox. dentry: None if DELETED.
    """

    __slots__ = ("_overlay", "dentry", "kind", "path")

    def __init__(self, kind: str, path: bytes, overlay: TreeFileSystem, dentry: CDentry | None = None) -> None:
        self.kind = kind
        self.path = path
        self.dentry = dentry
        self._overlay = overlay

    def open(self) -> int:
        """A host descriptor of a regular file for pread(2), the caller's to close. LinuxError: the host refuses."""
        assert self.dentry is not None
        if self.dentry.inode.flags & lib.INODE_UPPER:
            return os.dup(content_fd(self.dentry.inode))
        assert self._overlay.lower is not None
        return self._overlay.lower.open(self.dentry, O_RDONLY)

    def xattrs(self) -> dict[bytes, bytes]:
        """Its extended attributes."""
        assert self.dentry is not None
        return {name: self._overlay.get_xattr(self.dentry, name) for name in self._overlay.list_xattrs(self.dentry)}


def made_by_boot() -> set[int]:
    """Ids of the inodes that are in the overlays before anything ran: mount points and the way to them."""
    return {dentry.inode.id for overlay in _overlays() for dentry in _cached(overlay.sb.root) if is_positive(dentry)}


def changes(without: set[int]) -> Iterator[Change]:
    """Every change, a directory before what is in it, names in order.

    without: what made_by_boot() gave. Raises LinuxError where the host cannot be asked.
    """
    for overlay in _overlays():
        assert overlay.lower is not None
        root = overlay.sb.root
        yield from _Overlay(overlay, lower_path(root), path_of(root).rstrip(b"/"), without).changes()


def _overlays() -> list[TreeFileSystem]:
    trees = (mount.file_system for mount in all_mounts())
    return [tree for tree in trees if isinstance(tree, TreeFileSystem) and tree.lower is not None]


def _children(directory: CDentry) -> list[CDentry]:
    """Its cached names, also those that do not exist, in order."""
    found = []
    child = directory.first_child
    while child != ffi.NULL:
        found.append(child)
        child = child.next_sibling
    return sorted(found, key=dentry_name)


def _cached(root: CDentry) -> Iterator[CDentry]:
    pending = [root]
    while pending:
        for child in _children(pending.pop()):
            yield child
            if is_positive(child) and is_directory(child.inode.mode):
                pending.append(child)


class _Overlay:
    """One overlay. base: where its root is in the gofer's tree; prefix: and in the sandbox, without a last slash."""

    def __init__(self, tree: TreeFileSystem, base: bytes, prefix: bytes, without: set[int]) -> None:
        assert tree.lower is not None
        self.tree = tree
        self.lower = tree.lower
        self.base = base
        self.prefix = prefix
        self.without = without

    def changes(self) -> Iterator[Change]:
        pending: list[tuple[CDentry, bytes, bool]] = [(self.tree.sb.root, b"", True)]
        while pending:
            directory, path, is_in_place = pending.pop()
            below: list[tuple[CDentry, bytes, bool]] = []
            if not is_in_place:
                self.tree.readdir(None, directory)  # names of a moved directory that nobody looked at
                yield from self._covered(directory, path)
            for child in _children(directory):
                if is_mount_point(child):
                    continue
                place = path + b"/" + dentry_name(child)
                if is_in_place and not child.flags & lib.DENTRY_PINNED:
                    if is_positive(child) and is_directory(child.inode.mode):
                        below.append((child, place, True))
                    continue
                found = self._below(place)
                if not is_positive(child):
                    if is_in_place and found is not None:
                        yield Change(DELETED, self.prefix + place, self.tree)
                    continue
                if child.inode.flags & lib.INODE_LIVE:
                    refresh_live(child.inode)
                stays = found is not None and _is_same(child.inode, found)
                is_as_it_was = stays and not _differs(child.inode, found) and not self._has_other_xattrs(child)
                if not is_as_it_was and child.inode.id not in self.without:
                    yield Change(ADDED if found is None else CHANGED, self.prefix + place, self.tree, child)
                if is_directory(child.inode.mode):
                    below.append((child, place, stays))
            pending += reversed(below)

    def _covered(self, directory: CDentry, path: bytes) -> Iterator[Change]:
        """Names of the host's directory in whose place another one is now."""
        found = self._below(path)
        if found is None or not is_directory(found.mode):
            return
        names = {dentry_name(child) for child in _children(directory) if is_positive(child)}
        for entry in sorted(self.lower.list_at(self._host(path)), key=lambda entry: entry.name):
            if entry.name not in names:
                yield Change(DELETED, self.prefix + path + b"/" + entry.name, self.tree)

    def _has_other_xattrs(self, dentry: CDentry) -> bool:
        kept = kept_xattrs(dentry.inode)
        return kept is not None and kept != self.lower.user_xattrs(dentry)

    def _host(self, path: bytes) -> bytes:
        return (self.base + path).lstrip(b"/")

    def _below(self, path: bytes) -> Attr | None:
        return self.lower.find(self._host(path))


def _is_same(inode: CInode, attr: Attr) -> bool:
    """The inode is the host's file of that place, maybe changed."""
    is_ours = inode.flags & lib.INODE_UPPER and is_directory(inode.mode)  # a copied-up file keeps its number
    return not is_ours and inode.ino == attr.ino and inode.mode & S_IFMT == attr.mode & S_IFMT


def _differs(inode: CInode, attr: Attr | None) -> bool:
    assert attr is not None
    if is_regular(inode.mode) and (inode.size, inode.nlink) != (attr.size, attr.nlink):
        return True
    here = (inode.mode, inode.uid, inode.gid, inode.mtime_ns)
    return here != (attr.mode, attr.uid, attr.gid, attr.mtime_ns)

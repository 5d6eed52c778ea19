"""tree: the file system in memory. tmpfs and /dev are one; the overlay is one with a gofer's tree below.

State is in the dentry cache itself: what was made here are pinned dentries with INODE_UPPER inodes, content is a memfd.
With a lower tree, a name that has no dentry in a directory that is not INODE_COMPLETE is asked of the gofer; removing a
lower entry leaves a pinned negative dentry (a whiteout); opening one for writing copies it up **in place**: the same
inode, now with a memfd. A lower entry that moved keeps its place on the host in `lower_path`. Attributes of lower
entries change in the inode, whose dentry is then pinned.

Nothing here ever writes to the host. Rules (who may, which error) were decided in namei.py and open.py.
"""

from __future__ import annotations

import fcntl
import os
from time import time_ns

from pysentry.abi.errno import EINVAL, ENOSPC, ENOTEMPTY, host_errors
from pysentry.abi.fcntl import O_ACCMODE, O_RDONLY, O_TRUNC
from pysentry.abi.stat import (
    OVERLAYFS_MAGIC,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    TMPFS_MAGIC,
    is_directory,
)
from pysentry.platform.native import ffi, lib
from pysentry.vfs.copy_up import copy_up
from pysentry.vfs.dentry import (
    add,
    add_unhashed,
    children,
    dentry_name,
    file_description,
    find,
    is_positive,
    move,
    new_inode,
    swap,
)
from pysentry.vfs.filesystem import Statfs, content_fd, make_content, refresh_live, set_in_memory
from pysentry.vfs.filesystems.memory_xattrs import MemoryXattrs, kept_xattrs
from pysentry.vfs.lower import LowerTree, lower_path, new_lower_inode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode, CSuperblock
    from pysentry.vfs.filesystem import AttributeChange

BLOCK = 4096
DIRECTORY_SIZE = 4096  # st_size of a directory made here, as ext4 and overlays of it show


class TreeFileSystem(MemoryXattrs):
    """An overlay if `lower` is given, else a tmpfs. `size_bytes`: limit of `mount -o size=`, 0 for none or if the store
    keeps it; what is written through a mapping is not counted in advance. `inodes_max`: 0: any number."""

    def __init__(
        self,
        sb: CSuperblock,
        lower: LowerTree | None = None,
        type_name: str = "",
        size_bytes: int = 0,
        inodes_max: int = 0,
    ) -> None:
        super().__init__(sb)
        self.lower = lower
        self.type_name = type_name or ("overlay" if lower else "tmpfs")
        self.magic = OVERLAYFS_MAGIC if lower else TMPFS_MAGIC
        self.size_bytes = size_bytes
        self._spare = 0  # bytes below the limit that were free at the last look and were not given out since
        self.inodes_max = inodes_max
        self._inodes = 0  # at least as many as there are

    # ---- names ----

    def lookup(self, task: Task | None, directory: CDentry, name: bytes) -> CDentry | None:
        found = find(directory, name)
        if found is not None:
            return found if is_positive(found) else None
        if self.lower is None or directory.inode.flags & lib.INODE_COMPLETE:
            return None
        entry = self.lower.entry(directory, name)
        if entry is None:
            add(directory, name, None)
            return None
        return add(directory, name, new_lower_inode(self.sb, *entry))

    def readdir(self, task: Task | None, directory: CDentry) -> list[tuple[bytes, int, int]]:
        unreadable = self._read_lower(directory)
        return unreadable + super().readdir(task, directory)

    def _read_lower(self, directory: CDentry) -> list[tuple[bytes, int, int]]:
        """Makes dentries of all lower entries; returns those that the gofer could name but not look at."""
        if self.lower is None or directory.inode.flags & lib.INODE_COMPLETE:
            return []
        unreadable = []
        last = ffi.NULL
        for entry in self.lower.list(directory):
            found = find(directory, entry.name)  # cached, changed here, or a whiteout
            if found is None:
                if not entry.attr.is_valid:
                    unreadable.append((entry.name, 1, entry.type))
                    continue
                found = add(directory, entry.name, new_lower_inode(self.sb, entry.attr, entry.target))
            lib.dentry_place_after(found, last)  # the host's order, as the fast path
            last = found
        if not unreadable:
            directory.inode.flags |= lib.INODE_COMPLETE
        return unreadable

    # ---- making ----

    def create(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        return self._add(directory, name, self.new_file(mode, uid, gid))

    def mkdir(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        made = self._add(directory, name, self.new_inode(mode, uid, gid))
        directory.inode.nlink += 1
        return made

    def mknod(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> CDentry:
        inode = self.new_inode(mode, uid, gid)
        inode.rdev = rdev
        return self._add(directory, name, inode)

    def symlink(self, directory: CDentry, name: bytes, target: bytes, uid: int, gid: int) -> CDentry:
        inode = self.new_inode(S_IFLNK | 0o777, uid, gid)
        lib.inode_set_symlink(inode, target)
        return self._add(directory, name, inode)

    def link(self, source: CDentry, directory: CDentry, name: bytes) -> CDentry:
        inode = source.inode
        if self.inodes_max:
            self._count_inodes(1)  # a name more counts as one, as on Linux' tmpfs
        self.remember_place(source)
        inode.nlink += 1
        inode.ctime_ns = time_ns()
        return self._add(directory, name, inode)

    def tmpfile(self, directory: CDentry, mode: int, uid: int, gid: int) -> CDentry:
        inode = self.new_file(mode, uid, gid)
        inode.nlink = 0
        return add_unhashed(directory, b"#%d" % inode.ino, inode)  # named as in Linux's /proc/self/fd

    def new_inode(self, mode: int, uid: int, gid: int) -> CInode:
        """An inode of this file system's own; `mode` with the type. ENOSPC: there are as many as may be."""
        if self.inodes_max:
            self._count_inodes(1)
        inode = new_inode(self.sb, mode)
        inode.uid = uid
        inode.gid = gid
        inode.ino = self.sb.next_ino
        self.sb.next_ino += 1
        inode.flags |= lib.INODE_UPPER
        if mode & S_IFMT == S_IFDIR:
            inode.flags |= lib.INODE_COMPLETE
            inode.size = DIRECTORY_SIZE
            inode.blocks = DIRECTORY_SIZE // 512
        return inode

    def set_xattr(self, dentry: CDentry, name: bytes, value: bytes, flags: int) -> None:
        if self.inodes_max:
            self._count_inodes(_as_inodes(name, value))
        super().set_xattr(dentry, name, value, flags)

    def _count_inodes(self, wanted: int) -> None:
        if self._inodes + wanted > self.inodes_max:
            self._inodes = 1 + sum(1 + _attributes_as_inodes(child.inode) for child in self._all())
            if self._inodes + wanted > self.inodes_max:
                raise ENOSPC("nr_inodes")
        self._inodes += wanted

    def new_file(self, mode: int, uid: int, gid: int) -> CInode:
        self.check_space(BLOCK)
        inode = self.new_inode(mode, uid, gid)
        try:
            make_content(inode)
        except BaseException:
            lib.inode_unref(inode)
            raise
        inode.flags |= lib.INODE_LIVE
        refresh_live(inode)
        return inode

    def _add(self, directory: CDentry, name: bytes, inode: CInode) -> CDentry:
        made = add(directory, name, inode)
        made.flags |= lib.DENTRY_PINNED
        self._changed(directory)
        return made

    def _changed(self, directory: CDentry) -> None:
        """A name of the directory came or went."""
        inode = directory.inode
        inode.mtime_ns = inode.ctime_ns = time_ns()
        if self.lower is not None and not inode.flags & lib.INODE_UPPER:
            inode.flags |= lib.INODE_OVERLAID
            directory.flags |= lib.DENTRY_PINNED

    # ---- taking away ----

    def unlink(self, victim: CDentry) -> None:
        inode = victim.inode
        inode.nlink -= 1
        inode.ctime_ns = time_ns()
        self._take_away(victim)

    def rmdir(self, victim: CDentry) -> None:
        self._check_empty(victim)
        victim.inode.nlink = 0
        victim.parent.inode.nlink -= 1
        self._take_away(victim)

    def _check_empty(self, directory: CDentry) -> None:
        if self.readdir(None, directory):
            raise ENOTEMPTY("directory")

    def _take_away(self, victim: CDentry) -> None:
        """Unhashes a dentry (which frees it, unless it is in use) and covers what lies below."""
        directory, name = victim.parent, dentry_name(victim)
        lib.dentry_drop(victim)
        self._white_out(directory, name)
        self._changed(directory)

    def _white_out(self, directory: CDentry, name: bytes) -> None:
        if self.lower is not None and not directory.inode.flags & lib.INODE_UPPER:
            whiteout = add(directory, name, None)
            whiteout.flags |= lib.DENTRY_PINNED

    # ---- moving ----

    def rename(self, source: CDentry, directory: CDentry, name: bytes, target: CDentry | None) -> None:
        is_moving_directory = is_directory(source.inode.mode)
        if target is not None:
            if is_directory(target.inode.mode):
                self._check_empty(target)
                target.inode.nlink = 0
                directory.inode.nlink -= 1
            else:
                target.inode.nlink -= 1
                target.inode.ctime_ns = time_ns()
        self.remember_place(source)
        old_directory, old_name = source.parent, dentry_name(source)
        move(source, directory, name)
        self._white_out(old_directory, old_name)
        if is_moving_directory:
            old_directory.inode.nlink -= 1
            directory.inode.nlink += 1
        source.inode.ctime_ns = time_ns()
        self._changed(old_directory)
        self._changed(directory)

    def exchange(self, one: CDentry, other: CDentry) -> None:
        self.remember_place(one)
        self.remember_place(other)
        one_directory, other_directory = one.parent, other.parent
        swap(one, other)
        delta = is_directory(other.inode.mode) - is_directory(one.inode.mode)
        one_directory.inode.nlink += delta
        other_directory.inode.nlink -= delta
        one.inode.ctime_ns = other.inode.ctime_ns = time_ns()
        self._changed(one_directory)
        self._changed(other_directory)

    def remember_place(self, dentry: CDentry) -> None:
        """Keeps a dentry, and where its lower file is if it has one, since its name will no longer tell."""
        inode = dentry.inode
        if self.lower is not None and not inode.flags & lib.INODE_UPPER and inode.lower_path == ffi.NULL:
            lib.inode_set_lower_path(inode, lower_path(dentry))
        dentry.flags |= lib.DENTRY_PINNED

    # ---- files ----

    def open(self, task: Task, dentry: CDentry, flags: int) -> CDescription:
        inode = dentry.inode
        if is_directory(inode.mode):
            return file_description(lib.DESC_DIR, -1, flags)
        shown = flags & ~O_TRUNC
        if not inode.flags & lib.INODE_UPPER:
            if flags & O_ACCMODE == O_RDONLY and not flags & O_TRUNC:
                assert self.lower is not None
                description = file_description(lib.DESC_FILE, self.lower.open(dentry, flags), shown)
                description.flags |= lib.DESC_LOWER | lib.DESC_INPLACE
                return description
            self.copy_up(dentry, 0 if flags & O_TRUNC else None)
        elif flags & O_TRUNC:
            with host_errors():
                os.ftruncate(content_fd(inode), 0)
        with host_errors():
            content = content_fd(inode)
            is_noatime = bool(self.sb.flags & lib.SB_NOATIME)
            if is_noatime != bool(inode.flags & lib.INODE_NOATIME):  # one host description: who opens last decides
                fcntl.fcntl(content, fcntl.F_SETFL, os.O_NOATIME if is_noatime else 0)
                inode.flags ^= lib.INODE_NOATIME
            host_fd = os.dup(content)
        return file_description(lib.DESC_FILE, host_fd, shown, has_own_position=True)

    def copy_up(self, dentry: CDentry, length: int | None = None) -> None:
        """Gives a lower regular file content of its own in memory; at most `length` bytes of it."""
        inode = dentry.inode
        if self.lower is None or inode.mode & S_IFMT != S_IFREG:
            raise EINVAL("nothing to copy up")
        self.check_space(inode.size if length is None else min(length, inode.size))
        self.load_xattrs(dentry)
        is_empty = length == 0 or inode.size == 0  # then it need not be readable for the gofer: a lock file of root's
        copy_up(inode, -1 if is_empty else self.lower.open(dentry, O_RDONLY), length)
        dentry.flags |= lib.DENTRY_PINNED

    def setattr(self, dentry: CDentry, change: AttributeChange) -> None:
        inode = dentry.inode
        self.remember_place(dentry)
        if change.has_times and inode.flags & lib.INODE_LIVE:
            refresh_live(inode)
        set_in_memory(inode, change)
        if change.has_times and inode.flags & lib.INODE_LIVE:
            with host_errors():
                os.utime(content_fd(inode), ns=(inode.atime_ns, inode.mtime_ns))

    def truncate(self, dentry: CDentry, length: int) -> None:
        inode = dentry.inode
        if not inode.flags & lib.INODE_UPPER:
            self.copy_up(dentry, length)
        elif self.size_bytes:
            self.check_size(inode, length)
        with host_errors():
            os.ftruncate(content_fd(inode), length)

    # ---- sizes ----

    def statfs(self) -> Statfs:
        store = lib.content_store_of(self.sb)
        if self.size_bytes:
            blocks = self.size_bytes // BLOCK
            free = max(0, blocks - self._used() // BLOCK)
        elif store >= 0:
            host = os.fstatvfs(store)
            blocks, free = host.f_blocks, host.f_bfree
            if self.lower is not None:  # nobody believes a root that uses nothing (shutil.disk_usage's test)
                free = min(free, blocks - 1)
        else:
            blocks = os.sysconf("SC_PHYS_PAGES")  # without a limit, memory is what there is
            free = os.sysconf("SC_AVPHYS_PAGES")
        files = self.inodes_max or os.sysconf("SC_PHYS_PAGES") // 2
        used = 1 + sum(1 for _ in self._all()) if self.inodes_max else self.sb.next_ino
        return Statfs(self.magic, blocks, free, files, max(0, files - used))

    def check_size(self, inode: CInode, length: int) -> None:
        self.check_space(max(0, length - os.fstat(content_fd(inode)).st_size))

    def check_space(self, wanted_bytes: int) -> None:
        """ENOSPC if a limited file system has no room for so much more."""
        if self.size_bytes and self._take(wanted_bytes) < wanted_bytes:
            raise ENOSPC("size limit")

    def room(self, inode: CInode, at: int, wanted_bytes: int) -> int:
        if not self.size_bytes:
            return wanted_bytes
        status = os.fstat(content_fd(inode))
        end = (at + wanted_bytes + BLOCK - 1) // BLOCK * BLOCK
        is_whole = status.st_blocks * 512 >= status.st_size
        start = max(at // BLOCK * BLOCK, (status.st_size + BLOCK - 1) // BLOCK * BLOCK if is_whole else 0)
        if end <= start:
            return wanted_bytes  # what is there already is overwritten
        taken = self._take(end - start)
        if taken >= end - start:
            return wanted_bytes
        allowed = start + taken - at
        if allowed <= 0:
            raise ENOSPC("size limit")
        return min(wanted_bytes, allowed)

    def _take(self, wanted_bytes: int) -> int:
        """Those of so many bytes that are free. All files are looked at only when what was known to be free ends."""
        if self._spare < wanted_bytes:
            self._spare = max(0, self.size_bytes - self._used()) // BLOCK * BLOCK
        taken = min(self._spare, wanted_bytes)
        self._spare -= taken
        return taken

    def _used(self) -> int:
        live = (child for child in self._all() if child.inode.flags & lib.INODE_LIVE)
        return sum(os.fstat(content_fd(child.inode)).st_blocks * 512 for child in live)

    def _all(self) -> Iterator[CDentry]:
        """Every entry but the root."""
        pending = [self.sb.root]
        while pending:
            for child in children(pending.pop()):
                if is_directory(child.inode.mode):
                    pending.append(child)
                yield child

    def lower_xattrs(self, dentry: CDentry) -> dict[bytes, bytes]:
        if self.lower is None or dentry.inode.flags & lib.INODE_UPPER:
            return {}
        return self.lower.user_xattrs(dentry)


def _as_inodes(name: bytes, value: bytes) -> int:
    """What nr_inodes counts an attribute as: BOGO_INODE_SIZE in Linux mm/shmem.c, rounded up for each."""
    return -(-(len(name) + len(value)) // 1024)


def _attributes_as_inodes(inode: CInode) -> int:
    return sum(_as_inodes(name, value) for name, value in (kept_xattrs(inode) or {}).items())


def make_tree(
    sb_flags: int,
    dev: int,
    lower: LowerTree | None = None,
    type_name: str = "",
    size_bytes: int = 0,
    mode: int = 0o755,
    root_path: bytes = b"",
    owner: tuple[int, int] = (0, 0),
    root_type: int = S_IFDIR,
    inodes_max: int = 0,
    store: int = -1,
) -> TreeFileSystem:
    """A new superblock with its file system and root directory (an empty file: `root_type`).

    lower: an overlay on this tree of the gofer, from `root_path` in it on; else `mode` and `owner` are the root's.
    store: the descriptor of a host tmpfs of `size_bytes` for content, which then enforces the limit at every write."""
    if (size_bytes and store < 0) or inodes_max:
        sb_flags |= lib.SB_LIMITED
    sb = lib.sb_new(lib.FS_TREE, sb_flags, -1 if lower is None else lower.number, dev)
    if store >= 0:
        lib.content_use_store(sb, store)
    tree = TreeFileSystem(sb, lower, type_name, 0 if store >= 0 else size_bytes, inodes_max)
    if lower is None:
        root = (tree.new_file if root_type == S_IFREG else tree.new_inode)(root_type | mode, *owner)
        root.ino = 1
    else:
        root = new_lower_inode(sb, *lower.root(root_path))
        if root_path:
            lib.inode_set_lower_path(root, root_path)
    lib.dentry_root(sb, root)
    return tree

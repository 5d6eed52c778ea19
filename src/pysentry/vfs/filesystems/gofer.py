"""gofer: a host directory or file bound into the sandbox. Changes go to the host, if the bind says rw.

Dentries and inodes only mirror the host: unless nobody else changes the tree (SB_CACHED), every use of a name asks the
gofer again. Ownership is the host's too, through the id ranges that the gofer was given. A gofer without privilege
cannot give files away (TREE_ONE_OWNER): then owners are kept here, with the inode, for as long as the sandbox runs.
"""

from __future__ import annotations

import os
from time import time_ns

from pysentry.abi.errno import EEXIST, ENOENT, EOPNOTSUPP, EPERM, ESTALE, LinuxError, host_errors
from pysentry.abi.fcntl import O_ACCMODE, O_RDWR, RENAME_EXCHANGE, RENAME_NOREPLACE
from pysentry.abi.stat import is_directory
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import (
    add,
    children,
    dentry_name,
    file_description,
    find,
    is_mount_point,
    is_positive,
    move,
    swap,
)
from pysentry.vfs.filesystem import FileSystem, Statfs, set_in_memory, take_live_attributes
from pysentry.vfs.lower import (
    PASSED_OPEN_FLAGS,
    LowerTree,
    fill_inode,
    is_shown_xattr,
    lower_path,
    new_lower_inode,
    path_below,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gofer.protocol import Attr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode, CSuperblock
    from pysentry.vfs.filesystem import AttributeChange


_FOUND = ffi.new("struct dentry **")


class GoferFileSystem(FileSystem):
    """One bind. origin: the path on the host that mountinfo(5) shows as the part of the file system that is mounted."""

    type_name = "gofer"

    def __init__(self, sb: CSuperblock, tree: LowerTree) -> None:
        super().__init__(sb)
        self.tree = tree
        self.client = tree.client
        self.keeps_owners = False  # see above
        self.origin = b"/"

    # ---- names ----

    def lookup(self, task: Task | None, directory: CDentry, name: bytes) -> CDentry | None:
        error = lib.gofer_fs_find(directory, name, len(name), _FOUND)
        if error < 0 and error != -ENOENT.errno:
            raise LinuxError.from_errno(-error)
        found = _FOUND[0]
        return found if not error and is_positive(found) else None

    def readdir(self, task: Task | None, directory: CDentry) -> list[tuple[bytes, int, int]]:
        if directory.inode.flags & lib.INODE_UPPER:
            return super().readdir(task, directory)
        listed = []
        names = set()
        for entry in self.tree.list(directory):
            number = 1
            if entry.attr.is_valid:
                number = entry.attr.ino
            listed.append((entry.name, number, entry.type))
            names.add(entry.name)
        for child in children(directory):  # mount points that the host does not have
            if _is_ours(child) and dentry_name(child) not in names:
                listed.append((dentry_name(child), child.inode.ino, child.inode.mode >> 12 & 15))
        return listed

    # ---- making ----

    def create(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        made, host_fd = self._create(directory, name, mode, uid, gid, O_RDWR)
        os.close(host_fd)
        return made

    def create_and_open(
        self, task: Task, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, flags: int
    ) -> tuple[CDentry, CDescription]:
        made, host_fd = self._create(directory, name, mode, uid, gid, flags & PASSED_OPEN_FLAGS)
        return made, file_description(lib.DESC_FILE, host_fd, flags)

    def _create(
        self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, flags: int
    ) -> tuple[CDentry, int]:
        path = path_below(directory, name)
        with host_errors():
            try:
                host_fd, attr = self.client.create(self.tree.number, path, flags, mode & 0o7777, uid, gid)
            except OSError as error:
                known = find(directory, name)
                if known is None or not self.sb.lease_ns or error.errno != EEXIST.errno:
                    raise
                lib.gofer_fs_distrust(known)
                raise OSError(ESTALE.errno, "made meanwhile") from None
        return self._made(directory, name, attr, uid, gid), host_fd

    def mkdir(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        path = path_below(directory, name)
        with host_errors():
            attr = self.client.mkdir(self.tree.number, path, mode & 0o7777, uid, gid)
        directory.inode.nlink += 1
        return self._made(directory, name, attr, uid, gid)

    def mknod(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> CDentry:
        """A FIFO or socket is a name on the host, what happens behind it stays in the sandbox. No device but 0:0, an
        overlay's whiteout."""
        if rdev:
            raise EPERM("device node on a bind")
        path = path_below(directory, name)
        with host_errors():
            attr = self.client.mknod(self.tree.number, path, mode, uid, gid)
        return self._made(directory, name, attr, uid, gid)

    def symlink(self, directory: CDentry, name: bytes, target: bytes, uid: int, gid: int) -> CDentry:
        path = path_below(directory, name)
        with host_errors():
            attr = self.client.symlink(self.tree.number, path, target, uid, gid)
        return self._made(directory, name, attr, uid, gid, target)

    def link(self, source: CDentry, directory: CDentry, name: bytes) -> CDentry:
        old_path, path = lower_path(_hashed(source)), path_below(directory, name)
        with host_errors():
            attr = self.client.link(self.tree.number, old_path, path)
        fill_inode(source.inode, attr)
        return self._named(directory, name, source.inode)

    def _made(
        self, directory: CDentry, name: bytes, attr: Attr, uid: int, gid: int, target: bytes = b""
    ) -> CDentry:
        """The dentry of something new, which the gofer gave to its owner, if it could."""
        made = self._named(directory, name, new_lower_inode(self.sb, attr, target))
        if self.keeps_owners and (attr.uid, attr.gid) != (uid, gid):
            self._keep_owner(made, uid, gid)
        return made

    def _named(self, directory: CDentry, name: bytes, inode: CInode) -> CDentry:
        """A name that we made."""
        made = add(directory, name, inode)
        made.checked_ns = inode.checked_ns
        lib.attributes_unknown(directory.inode)
        return made

    def _keep_owner(self, dentry: CDentry, uid: int | None, gid: int | None) -> None:
        inode = dentry.inode
        inode.flags |= lib.INODE_OWNED
        dentry.flags |= lib.DENTRY_PINNED
        inode.uid = inode.uid if uid is None else uid
        inode.gid = inode.gid if gid is None else gid
        inode.ctime_ns = time_ns()

    # ---- taking away, moving ----

    def unlink(self, victim: CDentry) -> None:
        path = lower_path(victim)
        with host_errors():
            self.client.unlink(self.tree.number, path)
        victim.inode.nlink -= 1
        if not victim.inode.nlink:
            lib.lower_forget(victim.inode.id)
        _gone(victim)

    def rmdir(self, victim: CDentry) -> None:
        path = lower_path(victim)
        with host_errors():
            self.client.rmdir(self.tree.number, path)
        victim.inode.nlink = 0
        victim.parent.inode.nlink -= 1
        _gone(victim)

    def rename(self, source: CDentry, directory: CDentry, name: bytes, target: CDentry | None) -> None:
        old_path, path = lower_path(source), path_below(directory, name)
        with host_errors():
            try:
                self.client.rename(self.tree.number, old_path, path, 0 if target is not None else RENAME_NOREPLACE)
            except OSError as error:
                if target is not None or error.errno != EEXIST.errno:
                    raise
                self.client.rename(self.tree.number, old_path, path)  # it came from outside meanwhile
        if target is not None:
            target.inode.nlink = 0 if is_directory(target.inode.mode) else target.inode.nlink - 1
            lib.attributes_unknown(target.inode)
        self._moved(source, source.parent, directory)
        move(source, directory, name)

    def exchange(self, one: CDentry, other: CDentry) -> None:
        one_path, other_path = lower_path(one), lower_path(other)
        with host_errors():
            self.client.rename(self.tree.number, one_path, other_path, RENAME_EXCHANGE)
        self._moved(one, one.parent, other.parent)
        self._moved(other, one.parent, other.parent)
        swap(one, other)

    def _moved(self, dentry: CDentry, *directories: CDentry) -> None:
        dentry.checked_ns = lib.sentry_now_ns()
        for changed in (dentry, *directories):
            lib.attributes_unknown(changed.inode)

    # ---- files ----

    def open(self, task: Task, dentry: CDentry, flags: int) -> CDescription:
        place = _hashed(dentry)
        passed = flags & PASSED_OPEN_FLAGS
        if passed & O_ACCMODE == O_ACCMODE:  # for ioctls alone; the gofer knows no such mode
            passed ^= O_ACCMODE ^ O_RDWR
        with host_errors():
            host_fd = lib.gofer_fs_open(place, passed)
            if host_fd < 0:  # ENOENT: the name was there a moment ago
                raise OSError(ESTALE.errno if host_fd == -ENOENT.errno else -host_fd, "open")
        return file_description(lib.DESC_FILE, host_fd, flags & ~0o1000)

    def refresh(
        self, task: Task, inode: CInode, dentry: CDentry | None = None, description: CDescription | None = None
    ) -> None:
        if description is not None and description.host_fd >= 0:
            inode.nlink = take_live_attributes(inode, description.host_fd).st_nlink
            return
        if description is not None and description.dentry != ffi.NULL:
            dentry = description.dentry
        if dentry is None or dentry.flags & lib.DENTRY_UNHASHED or inode.flags & lib.INODE_UPPER:
            return
        lib.gofer_fs_refresh(dentry)

    def setattr(self, dentry: CDentry, change: AttributeChange) -> None:
        if dentry.flags & lib.DENTRY_UNHASHED and dentry.inode.nlink == 0:
            set_in_memory(dentry.inode, change)  # only its holders can ever see it
            return
        place = _hashed(dentry)
        uid, gid = change.uid, change.gid
        if self.keeps_owners and (uid is not None or gid is not None):
            self._keep_owner(place, uid, gid)
            uid = gid = None
            if change.mode is None and not change.has_times:
                return
        path = lower_path(place)
        with host_errors():
            attr = self.client.setattr(
                self.tree.number,
                path,
                mode=change.mode,
                uid=uid,
                gid=gid,
                atime_ns=change.atime_ns,
                mtime_ns=change.mtime_ns,
            )
        fill_inode(dentry.inode, attr)

    def truncate(self, dentry: CDentry, length: int) -> None:
        path = lower_path(_hashed(dentry))
        with host_errors():
            fill_inode(dentry.inode, self.client.setattr(self.tree.number, path, size=length))

    def statfs(self) -> Statfs:
        with host_errors():
            answer = self.client.statfs(self.tree.number, b"")
        shown = Statfs(answer.type, answer.blocks, answer.blocks_free, answer.files, answer.files_free)
        shown.block_size = answer.block_size
        shown.available = answer.blocks_available
        return shown

    # ---- extended attributes ----

    def get_xattr(self, dentry: CDentry, name: bytes) -> bytes:
        _check_name(name)
        path = lower_path(_hashed(dentry))
        with host_errors():
            return self.client.getxattr(self.tree.number, path, name)

    def set_xattr(self, dentry: CDentry, name: bytes, value: bytes, flags: int) -> None:
        _check_name(name)
        path = lower_path(_hashed(dentry))
        with host_errors():
            self.client.setxattr(self.tree.number, path, name, value, flags)

    def list_xattrs(self, dentry: CDentry) -> list[bytes]:
        path = lower_path(_hashed(dentry))
        with host_errors():
            return [name for name in self.client.listxattr(self.tree.number, path) if is_shown_xattr(name)]

    def remove_xattr(self, dentry: CDentry, name: bytes) -> None:
        _check_name(name)
        path = lower_path(_hashed(dentry))
        with host_errors():
            self.client.removexattr(self.tree.number, path, name)


def _is_ours(dentry: CDentry) -> bool:
    """A mount point, or a directory that boot made on the way to one: not the host's to take away."""
    return is_mount_point(dentry) or (is_positive(dentry) and bool(dentry.inode.flags & lib.INODE_UPPER))


def _gone(victim: CDentry) -> None:
    lib.attributes_unknown(victim.inode)
    lib.attributes_unknown(victim.parent.inode)
    lib.dentry_drop(victim)


def _hashed(dentry: CDentry) -> CDentry:
    """The dentry, or another name of its file if it was unlinked: the gofer knows only names. ESTALE: we know none."""
    if not dentry.flags & lib.DENTRY_UNHASHED:
        return dentry
    other: CDentry = lib.dentry_of_host_file(dentry.inode.dev, dentry.inode.ino)
    if other == ffi.NULL or other.sb != dentry.sb:
        raise ESTALE("unlinked file of a bind")
    return other


def _check_name(name: bytes) -> None:
    if not is_shown_xattr(name):
        raise EOPNOTSUPP(repr(name))


def make_bind(
    sb_flags: int, tree: LowerTree, type_name: str = GoferFileSystem.type_name
) -> GoferFileSystem:
    """A new superblock over one of the gofer's trees."""
    attr, target = tree.root()
    sb = lib.sb_new(lib.FS_GOFER, sb_flags, tree.number, os.makedev(attr.dev_major, attr.dev_minor))
    bind = GoferFileSystem(sb, tree)
    bind.type_name = type_name
    lib.dentry_root(sb, new_lower_inode(sb, attr, target))
    return bind

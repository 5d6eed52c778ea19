"""bind: a place of one file system shown at another, as mount(MS_BIND) makes it.

Owns a second set of dentries that share the inodes of the first: attributes, content, locks and watches are the same
file's, while names, mounts on them and mount flags are this mount's own. What a name leads to is asked of the source
each time, so nothing here can be stale. Fast paths leave these places to Python (FS_BIND in native/vfs/walk.c).
"""

from __future__ import annotations

from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import add, add_unhashed, find, is_mount_point, move, swap
from pysentry.vfs.filesystem import FileSystem, Statfs, filesystem_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode, CSuperblock
    from pysentry.vfs.filesystem import AttributeChange

_FIRST_SWEEP = 4096  # dentries


class BindFileSystem(FileSystem):
    """`source`: the dentry shown as the root. Its file system stays in use as long as this one is mounted."""

    def __init__(self, sb: CSuperblock, source: CDentry) -> None:
        super().__init__(sb)
        self.inner = filesystem_of(source.sb)
        self.type_name = self.inner.type_name
        self.magic = self.inner.magic
        self._sources: dict[int, tuple[CDentry, CDentry]] = {}  # by address: (ours, the source's), a reference on both
        self._sweep_at = _FIRST_SWEEP
        lib.dentry_root(sb, source.inode)
        self._remember(sb.root, source)

    # ---- the two sets of dentries ----

    def source_of(self, dentry: CDentry) -> CDentry:
        """What one of our dentries shows."""
        return self._sources[_address(dentry)][1]

    def _remember(self, dentry: CDentry, source: CDentry) -> None:
        lib.dentry_ref(dentry)
        lib.dentry_ref(source)
        self._sources[_address(dentry)] = dentry, source

    def _shown(self, directory: CDentry, name: bytes, source: CDentry) -> CDentry:
        """Our dentry of a source's."""
        found = find(directory, name)
        if found is not None:
            if self.source_of(found) == source:
                return found
            lib.dentry_drop(found)
        if len(self._sources) >= self._sweep_at:
            self._sweep(directory)
        made = add(directory, name, source.inode)
        self._remember(made, source)
        return made

    def _sweep(self, keep: CDentry) -> None:
        """Forgets dentries that nobody but us holds."""
        for address, (dentry, source) in list(self._sources.items()):
            if dentry.refs == 1 and dentry != keep and dentry.first_child == ffi.NULL and not is_mount_point(dentry):
                self._forget(address, dentry, source)
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._sources))

    def _forget(self, address: int, dentry: CDentry, source: CDentry) -> None:
        del self._sources[address]
        lib.dentry_drop(dentry)
        lib.dentry_unref(dentry)
        lib.dentry_unref(source)

    def release(self) -> None:
        """After the unmount, when nobody is inside any more."""
        for address, (dentry, source) in list(self._sources.items()):
            self._forget(address, dentry, source)

    # ---- names ----

    def lookup(self, task: Task | None, directory: CDentry, name: bytes) -> CDentry | None:
        source = self.inner.lookup(task, self.source_of(directory), name)
        if source is None:
            found = find(directory, name)
            if found is not None:
                lib.dentry_drop(found)
            return None
        return self._shown(directory, name, source)

    def readdir(self, task: Task | None, directory: CDentry) -> list[tuple[bytes, int, int]]:
        return self.inner.readdir(task, self.source_of(directory))

    def readlink(self, task: Task | None, inode: CInode) -> bytes:
        return self.inner.readlink(task, inode)

    def magic_link(self, task: Task, inode: CInode) -> CDentry | CDescription | None:
        return self.inner.magic_link(task, inode)

    # ---- making, taking away ----

    def create(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        return self._shown(directory, name, self.inner.create(self.source_of(directory), name, mode, uid, gid))

    def create_and_open(
        self, task: Task, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, flags: int
    ) -> tuple[CDentry, CDescription]:
        source = self.source_of(directory)
        made, description = self.inner.create_and_open(task, source, name, mode, uid, gid, flags)
        return self._shown(directory, name, made), description

    def mkdir(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        return self._shown(directory, name, self.inner.mkdir(self.source_of(directory), name, mode, uid, gid))

    def mknod(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> CDentry:
        made = self.inner.mknod(self.source_of(directory), name, mode, uid, gid, rdev)
        return self._shown(directory, name, made)

    def symlink(self, directory: CDentry, name: bytes, target: bytes, uid: int, gid: int) -> CDentry:
        made = self.inner.symlink(self.source_of(directory), name, target, uid, gid)
        return self._shown(directory, name, made)

    def link(self, source: CDentry, directory: CDentry, name: bytes) -> CDentry:
        made = self.inner.link(self.source_of(source), self.source_of(directory), name)
        return self._shown(directory, name, made)

    def tmpfile(self, directory: CDentry, mode: int, uid: int, gid: int) -> CDentry:
        source = self.inner.tmpfile(self.source_of(directory), mode, uid, gid)
        made = add_unhashed(directory, b"#%d" % source.inode.ino, source.inode)
        self._remember(made, source)
        lib.dentry_unref(source)
        return made

    def unlink(self, victim: CDentry) -> None:
        self.inner.unlink(self.source_of(victim))
        lib.dentry_drop(victim)

    def rmdir(self, victim: CDentry) -> None:
        self.inner.rmdir(self.source_of(victim))
        lib.dentry_drop(victim)

    def rename(self, source: CDentry, directory: CDentry, name: bytes, target: CDentry | None) -> None:
        inner_target = None if target is None else self.source_of(target)
        self.inner.rename(self.source_of(source), self.source_of(directory), name, inner_target)
        move(source, directory, name)

    def exchange(self, one: CDentry, other: CDentry) -> None:
        self.inner.exchange(self.source_of(one), self.source_of(other))
        swap(one, other)

    # ---- files ----

    def open(self, task: Task, dentry: CDentry, flags: int) -> CDescription:
        return self.inner.open(task, self.source_of(dentry), flags)

    def refresh(
        self, task: Task, inode: CInode, dentry: CDentry | None = None, description: CDescription | None = None
    ) -> None:
        if description is not None and description.host_fd < 0:
            dentry, description = description.dentry, None
        self.inner.refresh(task, inode, None if dentry is None else self.source_of(dentry), description)

    def setattr(self, dentry: CDentry, change: AttributeChange) -> None:
        self.inner.setattr(self.source_of(dentry), change)

    def truncate(self, dentry: CDentry, length: int) -> None:
        self.inner.truncate(self.source_of(dentry), length)

    def statfs(self) -> Statfs:
        return self.inner.statfs()

    # ---- extended attributes ----

    def get_xattr(self, dentry: CDentry, name: bytes) -> bytes:
        return self.inner.get_xattr(self.source_of(dentry), name)

    def set_xattr(self, dentry: CDentry, name: bytes, value: bytes, flags: int) -> None:
        self.inner.set_xattr(self.source_of(dentry), name, value, flags)

    def list_xattrs(self, dentry: CDentry) -> list[bytes]:
        return self.inner.list_xattrs(self.source_of(dentry))

    def remove_xattr(self, dentry: CDentry, name: bytes) -> None:
        self.inner.remove_xattr(self.source_of(dentry), name)


def make_bind_of(source: CDentry, sb_flags: int) -> BindFileSystem:
    """A new superblock that shows a dentry, which may itself be of a bind: then what that one shows."""
    inner = filesystem_of(source.sb)
    if isinstance(inner, BindFileSystem):
        source = inner.source_of(source)
    return BindFileSystem(lib.sb_new(lib.FS_BIND, sb_flags, -1, source.sb.dev), source)


def _address(dentry: CDentry) -> int:
    return int(ffi.cast("uintptr_t", dentry))

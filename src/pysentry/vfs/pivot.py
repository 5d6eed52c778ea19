"""pivot_root(2): another mount becomes the root of the namespace. Linux fs/namespace.c, path_pivot_root()."""

from __future__ import annotations

from pysentry.abi.errno import EBUSY, EINVAL, ENOENT, ENOTDIR
from pysentry.abi.fcntl import AT_FDCWD
from pysentry.abi.stat import is_directory
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import Hold, topmost
from pysentry.vfs.mounting import require_mount_root
from pysentry.vfs.mounts import detach_mount, mount_of, put_mount
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry


def pivot_root(task: Task, new_root: bytes, put_old: bytes) -> None:
    """Whoever works in the old root, or has it as its root, is in the new one afterwards. The caller has
    checked CAP_SYS_ADMIN."""
    new = _directory(task, new_root)
    with Hold(new):
        old = _directory(task, put_old)
        root = topmost(task.c.fs.root)
        if new.flags & lib.DENTRY_UNHASHED:
            raise ENOENT("removed")
        if root.sb in (new.sb, old.sb):
            raise EBUSY("in the same mount as the root")
        new_mount, root_mount = require_mount_root(new), require_mount_root(root)
        if new_mount.sb.covered == ffi.NULL or not _is_below(old, new) or not _is_below(new, root):
            raise EINVAL("not below each other")
        beside = (place for place in (new_mount.sb.covered, root_mount.sb.covered, old) if place != ffi.NULL)
        if any(mount_of(place).group for place in beside):
            raise EINVAL("in a shared mount")
        with Hold(old, root):
            above = root_mount.sb.covered
            if above != ffi.NULL:
                lib.dentry_ref(above)
            detach_mount(new_mount)
            detach_mount(root_mount)
            put_mount(new_mount, None if above == ffi.NULL else above)
            put_mount(root_mount, old)
            if above != ffi.NULL:
                lib.dentry_unref(above)
            _take_along(root, new)


def _directory(task: Task, path: bytes) -> CDentry:
    found = resolve(task, AT_FDCWD, path).require()
    if not is_directory(found.inode.mode):
        raise ENOTDIR(repr(path))
    return found


def _is_below(place: CDentry, root: CDentry) -> bool:
    while place != root:
        if place.parent != place:
            place = place.parent
        elif place.sb.covered != ffi.NULL:
            place = mount_of(place).sb.covered
        else:
            return False
    return True


def _take_along(old: CDentry, new: CDentry) -> None:
    """chroot_fs_refs()."""
    task = lib.task_first()
    while task != ffi.NULL:
        if task.fs != ffi.NULL:
            if task.fs.root == old:
                lib.fs_set_root(task.fs, new)
            if task.fs.cwd == old:
                lib.fs_set_cwd(task.fs, new)
        task = task.all_next

"""What changes names: create, mkdir, mknod, symlink, link, unlink, rmdir, rename.

Owns what each call requires and which error wins, as Linux fs/namei.c. The walk is walk.py's, the mechanics are the
file system's. Paths are bytes relative to `dirfd`; the second path of a call is a function that reads it, since
whatever is wrong with it loses against what is wrong with the first.
"""

from __future__ import annotations

from pysentry.abi.capability import CAP_MKNOD
from pysentry.abi.errno import (
    EBUSY,
    EEXIST,
    EINVAL,
    EISDIR,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
    EXDEV,
)
from pysentry.abi.fcntl import PATH_MAX, RENAME_EXCHANGE, RENAME_NOREPLACE
from pysentry.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, is_directory
from pysentry.platform.native import lib
from pysentry.vfs import devices, notify
from pysentry.vfs.dentry import Hold, attachment, dentry_name, is_mount_point
from pysentry.vfs.filesystem import filesystem_of
from pysentry.vfs.permissions import (
    MAY_WRITE,
    check_may_create,
    check_may_delete,
    check_may_link,
    check_permission,
    check_writable,
    is_capable,
    may_search_by_handle,
    new_owner,
)
from pysentry.vfs.walk import SPECIAL_NAMES, Walk, lookup_last, resolve, resolve_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CInode

    PathReader = Callable[[], bytes]


def prepare_create(task: Task, dirfd: int, path: bytes, makes_directory: bool = False) -> Walk:
    """The place of a new name: filename_create(). EEXIST, ENOENT, EROFS, and the directory's permission."""
    walk = resolve_parent(task, dirfd, path)
    if walk.name in SPECIAL_NAMES or lookup_last(task, walk) is not None:
        raise EEXIST(repr(walk.name))
    if walk.has_trailing_slash and not makes_directory:
        raise ENOENT("trailing slash")
    check_writable(walk.parent.sb)
    check_may_create(task.c.cred, walk.parent)
    return walk


def mkdir(task: Task, dirfd: int, path: bytes, mode: int) -> None:
    """mkdir(2)."""
    walk = prepare_create(task, dirfd, path, makes_directory=True)
    wanted = S_IFDIR | (mode & 0o1777 & ~task.c.fs.umask)
    owner = new_owner(task.c.cred, walk.parent.inode, wanted)
    filesystem_of(walk.parent.sb).mkdir(walk.parent, walk.name, *owner)
    notify.on_entry(walk.parent, walk.name, notify.IN_CREATE, True)


def mknod(task: Task, dirfd: int, path: bytes, mode: int, device: int) -> CDentry:
    """mknod(2); also the name of a bound AF_UNIX socket (mode S_IFSOCK). Returns the new dentry.

    Device nodes, in memory only: with CAP_MKNOD; 0:0, an overlay's whiteout, without. Opening one finds a device that
    the sandbox has itself (vfs/devices), or answers ENXIO."""
    kind = mode & S_IFMT or S_IFREG
    if kind == S_IFDIR:
        raise EPERM("mknod of a directory")
    if kind not in (S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK):
        raise EINVAL("type")
    walk = prepare_create(task, dirfd, path)
    is_whiteout = kind == S_IFCHR and not device
    if kind in (S_IFCHR, S_IFBLK) and not is_whiteout and not is_capable(task.c.cred, CAP_MKNOD):
        raise EPERM("device node")
    full_mode, uid, gid = new_owner(task.c.cred, walk.parent.inode, kind | mode & 0o7777, task.c.fs.umask)
    file_system = filesystem_of(walk.parent.sb)
    if kind == S_IFREG:
        made = file_system.create(walk.parent, walk.name, full_mode, uid, gid)
    else:
        made = file_system.mknod(
            walk.parent, walk.name, full_mode, uid, gid, device if kind in (S_IFCHR, S_IFBLK) else 0
        )
        if kind == S_IFCHR:
            devices.connect(made.inode)
    notify.on_entry(walk.parent, walk.name, notify.IN_CREATE, False)
    return made


def symlink(task: Task, target: bytes, dirfd: int, path: bytes) -> None:
    """symlink(2)."""
    if len(target) >= PATH_MAX:
        raise ENAMETOOLONG("target")
    if not target:
        raise ENOENT("empty target")
    walk = prepare_create(task, dirfd, path)
    _, uid, gid = new_owner(task.c.cred, walk.parent.inode, 0)
    filesystem_of(walk.parent.sb).symlink(walk.parent, walk.name, target, uid, gid)
    notify.on_entry(walk.parent, walk.name, notify.IN_CREATE, False)


def link(
    task: Task, old_dirfd: int, old_path: bytes, new_dirfd: int, read_new_path: PathReader, follow: bool, empty_ok: bool
) -> None:
    """linkat(2). `empty_ok` (AT_EMPTY_PATH): "" names the file that `old_dirfd` has open."""
    if empty_ok and not old_path and not may_search_by_handle(task.c.cred):
        raise ENOENT("AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH")
    found = resolve(task, old_dirfd, old_path, follow=follow, empty_ok=empty_ok)
    if found.dentry is None:
        raise EXDEV("an anonymous file") if found.description is not None else ENOENT(repr(found.name))
    source = found.dentry
    with Hold(source):
        walk = resolve_parent(task, new_dirfd, read_new_path())
        if walk.name in SPECIAL_NAMES or lookup_last(task, walk) is not None:
            raise EEXIST(repr(walk.name))
        if walk.has_trailing_slash:
            raise ENOENT("trailing slash")
        check_writable(walk.parent.sb)
        if walk.parent.sb.id != source.sb.id:
            raise EXDEV("another mount")
        check_may_link(task.c.cred, source.inode)
        check_may_create(task.c.cred, walk.parent)
        if is_directory(source.inode.mode):
            raise EPERM("a directory")
        if source.inode.nlink == 0 and not attachment(source.inode, "linkable"):
            raise ENOENT("removed")
        filesystem_of(walk.parent.sb).link(source, walk.parent, walk.name)
        notify.on_inode(source.inode, notify.IN_ATTRIB)
        notify.on_entry(walk.parent, walk.name, notify.IN_CREATE, False)


def unlink(task: Task, dirfd: int, path: bytes) -> None:
    """unlink(2)."""
    walk = resolve_parent(task, dirfd, path)
    if walk.name in SPECIAL_NAMES:
        raise EISDIR(repr(walk.name))
    check_writable(walk.parent.sb)
    victim = lookup_last(task, walk)
    if victim is None:
        raise ENOENT(repr(walk.name))
    if walk.has_trailing_slash:
        raise EISDIR("trailing slash") if is_directory(victim.inode.mode) else ENOTDIR("trailing slash")
    check_may_delete(task.c.cred, walk.parent, victim, wants_directory=False)
    if is_mount_point(victim):
        raise EBUSY("mount point")
    _remove(victim, filesystem_of(victim.sb).unlink)


def rmdir(task: Task, dirfd: int, path: bytes) -> None:
    """rmdir(2)."""
    walk = resolve_parent(task, dirfd, path)
    if walk.name == b"..":
        raise ENOTEMPTY("..")
    if walk.name == b".":
        raise EINVAL(".")
    if walk.name == b"":
        raise EBUSY("/")
    check_writable(walk.parent.sb)
    victim = lookup_last(task, walk)
    if victim is None:
        raise ENOENT(repr(walk.name))
    check_may_delete(task.c.cred, walk.parent, victim, wants_directory=True)
    if is_mount_point(victim):
        raise EBUSY("mount point")
    _remove(victim, filesystem_of(victim.sb).rmdir)


def _remove(victim: CDentry, remove: Callable[[CDentry], None]) -> None:
    parent, name, inode = victim.parent, dentry_name(victim), victim.inode
    is_dir = is_directory(inode.mode)
    lib.inode_ref(inode)
    try:
        remove(victim)
        if not is_dir:
            notify.on_inode(inode, notify.IN_ATTRIB)
        notify.on_entry(parent, name, notify.IN_DELETE, is_dir)
        if inode.nlink == 0:
            notify.on_inode(inode, notify.IN_DELETE_SELF)
    finally:
        lib.inode_unref(inode)


# ---- rename -------------------------------------------------------------------------------------------------------


def rename(
    task: Task, old_dirfd: int, old_path: bytes, new_dirfd: int, read_new_path: PathReader, flags: int
) -> None:
    """renameat2(2) with RENAME_NOREPLACE and RENAME_EXCHANGE; the order of errors is do_renameat2()'s."""
    old = resolve_parent(task, old_dirfd, old_path)
    with Hold(old.parent):
        new = resolve_parent(task, new_dirfd, read_new_path())
        if old.parent.sb.id != new.parent.sb.id:
            raise EXDEV("another mount")
        if old.name in SPECIAL_NAMES:
            raise EBUSY(repr(old.name))
        if new.name in SPECIAL_NAMES:
            raise EEXIST(repr(new.name)) if flags & RENAME_NOREPLACE else EBUSY(repr(new.name))
        check_writable(old.parent.sb)
        with Hold(new.parent):  # of a bind, what the host put in a directory's place may take it away
            source = lookup_last(task, old)
            if source is None:
                raise ENOENT(repr(old.name))
            with Hold(source):
                target = lookup_last(task, new)
                if target is None:
                    _rename(task, old, new, source, None, flags)
                else:
                    with Hold(target):
                        _rename(task, old, new, source, target, flags)


def _rename(task: Task, old: Walk, new: Walk, source: CDentry, target: CDentry | None, flags: int) -> None:
    """From both places on."""
    if flags & RENAME_NOREPLACE and target is not None:
        raise EEXIST(repr(new.name))
    if flags & RENAME_EXCHANGE and target is None:
        raise ENOENT(repr(new.name))
    _check_slashes(old, new, source, target, flags)
    if _is_below(new.parent, source):
        raise EINVAL("into itself")
    if target is not None and _is_below(old.parent, target):
        raise EINVAL("exchange with an ancestor") if flags & RENAME_EXCHANGE else ENOTEMPTY("an ancestor")
    if target is not None and target.inode == source.inode:
        return  # two names of one file: nothing happens
    _check_rename(task, old, new, source, target, flags)
    file_system = filesystem_of(source.sb)
    if target is not None and flags & RENAME_EXCHANGE:
        file_system.exchange(source, target)
        _tell_move(old, new, source)
        _tell_move(new, old, target)
        return
    file_system.rename(source, new.parent, new.name, target)
    _tell_move(old, new, source, None if target is None else target.inode)


def _check_slashes(old: Walk, new: Walk, source: CDentry, target: CDentry | None, flags: int) -> None:
    """A trailing slash says that a directory is meant."""
    if flags & RENAME_EXCHANGE and new.has_trailing_slash and target and not is_directory(target.inode.mode):
        raise ENOTDIR("trailing slash")
    new_must_be = new.has_trailing_slash and not flags & RENAME_EXCHANGE
    if not is_directory(source.inode.mode) and (old.has_trailing_slash or new_must_be):
        raise ENOTDIR("trailing slash")


def _check_rename(
    task: Task, old: Walk, new: Walk, source: CDentry, target: CDentry | None, flags: int
) -> None:
    """Permissions: vfs_rename()."""
    cred = task.c.cred
    source_is_dir = is_directory(source.inode.mode)
    check_may_delete(cred, old.parent, source, source_is_dir)
    target_is_dir = False
    if target is None:
        check_may_create(cred, new.parent)
    else:
        target_is_dir = is_directory(target.inode.mode)
        check_may_delete(cred, new.parent, target, target_is_dir if flags & RENAME_EXCHANGE else source_is_dir)
    if new.parent != old.parent:  # ".." of a moved directory changes
        if source_is_dir:
            check_permission(cred, source.inode, MAY_WRITE)
        if flags & RENAME_EXCHANGE and target is not None and target_is_dir:
            check_permission(cred, target.inode, MAY_WRITE)
    if is_mount_point(source) or (target is not None and is_mount_point(target)):
        raise EBUSY("mount point")


def _is_below(dentry: CDentry, ancestor: CDentry) -> bool:
    """True if `ancestor` is on the way from a dentry to its file system's root, the dentry included."""
    while dentry != ancestor:
        if dentry.parent == dentry:
            return False
        dentry = dentry.parent
    return True


def _tell_move(old: Walk, new: Walk, moved: CDentry, replaced: CInode | None = None) -> None:
    """fsnotify_move() in Linux: the two directories, what gave way, the file itself."""
    is_dir = is_directory(moved.inode.mode)
    cookie = notify.next_cookie()
    notify.on_entry(old.parent, old.name, notify.IN_MOVED_FROM, is_dir, cookie)
    notify.on_entry(new.parent, new.name, notify.IN_MOVED_TO, is_dir, cookie)
    if replaced is not None:
        notify.on_inode(replaced, notify.IN_ATTRIB)
    notify.on_inode(moved.inode, notify.IN_MOVE_SELF)
    if replaced is not None and replaced.nlink == 0:
        notify.on_inode(replaced, notify.IN_DELETE_SELF)

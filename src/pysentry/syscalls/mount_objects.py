"""Mounts as descriptors, of the mount family: fsopen(2), fsconfig(2), fsmount(2), fspick(2), open_tree(2),
move_mount(2), mount_setattr(2). A mount that is in no tree yet is an O_PATH descriptor of its root."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import E2BIG, EBADF, EINVAL, ENOTDIR, EOPNOTSUPP, LinuxError
from pysentry.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_PATH
from pysentry.abi.stat import is_directory
from pysentry.kernel.description import description_of
from pysentry.kernel.fs_context import FsContext
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs.dentry import Hold, attach, new_description
from pysentry.vfs.mounting import (
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
    bind_tree,
    change_flags,
    check_flags,
    check_may_mount,
    check_may_move,
    release_unused,
    require_mount_root,
    set_propagation,
)
from pysentry.vfs.mounts import SETTABLE, attach_mount, first_root
from pysentry.vfs.propagation import graft, parts_of, put_beneath
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry
    from pysentry.vfs.mounts import Mount

_SET_FLAG, _SET_STRING, _SET_BINARY, _SET_PATH, _SET_PATH_EMPTY, _SET_FD = range(6)
_CMD_CREATE, _CMD_RECONFIGURE, _CMD_CREATE_EXCL = 6, 7, 8
_NAME_SIZE, _STRING_SIZE, _BLOB_SIZE = 256, 256, 1 << 20
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = _FSPICK_CLOEXEC = 1
_FSPICK_NOFOLLOW, _FSPICK_NO_AUTOMOUNT, _FSPICK_EMPTY_PATH = 2, 4, 8
_OPEN_TREE_CLONE, _AT_NO_AUTOMOUNT, _AT_RECURSIVE = 1, 0x800, 0x8000
_MOVE_FLAGS, _F_SYMLINKS, _F_EMPTY_PATH, _T_SYMLINKS, _T_EMPTY_PATH, _BENEATH = 0x277, 1, 4, 0x10, 0x40, 0x200
_ATTR_ATIME, _ATTR_NOATIME, _ATTR_IDMAP = 0x70, 0x10, 0x100000
_INT_MAX = 0x7FFFFFFF
_ATTRIBUTES = {
    0x1: lib.SB_RDONLY,
    0x2: lib.SB_NOSUID,
    0x4: lib.SB_NODEV,
    0x8: lib.SB_NOEXEC,
    0x80: lib.SB_NODIRATIME,
    0x200000: lib.SB_NOSYMFOLLOW,
}
_MOUNT_ATTR = Struct("=QQQQ")
_PAGE = 4096


def _sb_flags(attributes: int) -> int:
    """MOUNT_ATTR_* as SB_*. EINVAL for others, MOUNT_ATTR_STRICTATIME too."""
    flags: int = sum(ours for linux, ours in _ATTRIBUTES.items() if attributes & linux)
    if attributes & ~(sum(_ATTRIBUTES) | _ATTR_ATIME) or attributes & _ATTR_ATIME not in (0, _ATTR_NOATIME):
        raise EINVAL("attributes")
    return flags | (lib.SB_NOATIME if attributes & _ATTR_NOATIME else 0)


# ---- contexts -----------------------------------------------------------------------------------------------------


@syscall
def fsopen(task: Task, fsname: UserAddr, flags: int) -> int:
    check_may_mount(task)
    if flags & ~_FSOPEN_CLOEXEC:
        raise EINVAL("flags")
    made = FsContext.open(task.memory.read_cstr(fsname))
    return task.fd_table.alloc(made.c, cloexec=bool(flags))


@syscall
def fspick(task: Task, dfd: int, path: UserAddr, flags: int) -> int:
    check_may_mount(task)
    if flags & ~(_FSPICK_CLOEXEC | _FSPICK_NOFOLLOW | _FSPICK_NO_AUTOMOUNT | _FSPICK_EMPTY_PATH):
        raise EINVAL("flags")
    follow, may_be_empty = not flags & _FSPICK_NOFOLLOW, bool(flags & _FSPICK_EMPTY_PATH)
    at = resolve(task, dfd, task.memory.read_cstr(path), follow, may_be_empty).require()
    return task.fd_table.alloc(FsContext.pick(require_mount_root(at)).c, cloexec=bool(flags & _FSPICK_CLOEXEC))


def _context(task: Task, fd: int) -> FsContext:
    described = description_of(task.fd_table.get(fd))
    if described.c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    if not isinstance(described, FsContext):
        raise EINVAL("not a context")
    return described


@syscall
def fsconfig(task: Task, fd: int, cmd: int, key: UserAddr, value: UserAddr, aux: int) -> int:
    """Which arguments go with which command is checked first: Linux fs/fsopen.c."""
    if fd < 0:
        raise EINVAL("fd")
    is_command = cmd in (_CMD_CREATE, _CMD_RECONFIGURE, _CMD_CREATE_EXCL)
    goes = {
        _SET_FLAG: key and not value and not aux,
        _SET_STRING: key and value and not aux,
        _SET_BINARY: key and value and 0 < aux <= _BLOB_SIZE,
        _SET_PATH: key and value and (aux == AT_FDCWD or aux >= 0),
        _SET_PATH_EMPTY: key and value and (aux == AT_FDCWD or aux >= 0),
        _SET_FD: key and not value and aux >= 0,
    }
    if not (not key and not value and not aux if is_command else goes.get(cmd, True)):
        raise EINVAL("arguments")
    if not is_command and cmd not in goes:
        raise EOPNOTSUPP("command")
    context = _context(task, fd)
    if is_command:
        check_may_mount(task)
        context.reconfigure() if cmd == _CMD_RECONFIGURE else context.create()
        return 0
    name = task.memory.read_cstr(key, _NAME_SIZE)
    if cmd == _SET_STRING:
        context.set(name, task.memory.read_cstr(value, _STRING_SIZE))
    elif cmd in (_SET_PATH, _SET_PATH_EMPTY):
        task.memory.read_cstr(value)
        context.set(name, None)  # only what needs no value accepts one
    elif cmd == _SET_BINARY:
        task.memory.read(value, aux)
        context.set(name, None)
    else:
        if cmd == _SET_FD:
            task.fd_table.get(aux)
        context.set(name, None)
    return 0


@syscall
def fsmount(task: Task, fs_fd: int, flags: int, attr_flags: int) -> int:
    check_may_mount(task)
    if flags & ~_FSMOUNT_CLOEXEC:
        raise EINVAL("flags")
    wanted = _sb_flags(attr_flags)
    context = _context(task, fs_fd)
    made = context.take()
    made.sb.flags |= wanted
    release_unused()
    attach_mount(made, None, (context.source or b"none").decode("utf-8", "surrogateescape"))
    return _descriptor(task, made.sb.root, bool(flags))


def _descriptor(task: Task, root: CDentry, is_cloexec: bool) -> int:
    c = new_description(lib.DESC_PATH, -1, O_PATH)
    attach(c, root)
    return task.fd_table.alloc(c, cloexec=is_cloexec)


# ---- trees --------------------------------------------------------------------------------------------------------


@syscall
def open_tree(task: Task, dfd: int, path: UserAddr, flags: int) -> int:
    at = _tree_place(task, dfd, path, flags)
    return _descriptor(task, _tree(task, at, flags), bool(flags & O_CLOEXEC))


@syscall
def open_tree_attr(task: Task, dfd: int, path: UserAddr, flags: int, attr: UserAddr, size: int) -> int:
    if not attr and size:
        raise EINVAL("size of nothing")
    at = _tree_place(task, dfd, path, flags)
    change = _read_attributes(task, attr, size) if attr else None
    tree = _tree(task, at, flags)
    if change is not None:
        try:
            _change(tree, change, bool(flags & _AT_RECURSIVE))
        except LinuxError:
            release_unused()  # a copy that nobody has
            raise
    return _descriptor(task, tree, bool(flags & O_CLOEXEC))


def _tree_place(task: Task, dfd: int, path: UserAddr, flags: int) -> CDentry:
    known = AT_EMPTY_PATH | _AT_NO_AUTOMOUNT | _AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | _OPEN_TREE_CLONE | O_CLOEXEC
    if flags & ~known or flags & (_AT_RECURSIVE | _OPEN_TREE_CLONE) == _AT_RECURSIVE:
        raise EINVAL("flags")
    if flags & _OPEN_TREE_CLONE:
        check_may_mount(task)
    follow, may_be_empty = not flags & AT_SYMLINK_NOFOLLOW, bool(flags & AT_EMPTY_PATH)
    return resolve(task, dfd, task.memory.read_cstr(path), follow, may_be_empty).require()


def _tree(task: Task, at: CDentry, flags: int) -> CDentry:
    if not flags & _OPEN_TREE_CLONE:
        return at
    release_unused()
    return bind_tree(task, at, bool(flags & _AT_RECURSIVE)).sb.root


@syscall
def move_mount(task: Task, from_dfd: int, from_path: UserAddr, to_dfd: int, to_path: UserAddr, flags: int) -> int:
    """MOVE_MOUNT_SET_GROUP answers EINVAL."""
    check_may_mount(task)
    if flags & ~_MOVE_FLAGS:
        raise EINVAL("flags")
    to_name = task.memory.read_cstr(to_path)
    at = resolve(task, to_dfd, to_name, bool(flags & _T_SYMLINKS), bool(flags & _T_EMPTY_PATH)).require()
    with Hold(at):
        from_name = task.memory.read_cstr(from_path)
        moved = resolve(task, from_dfd, from_name, bool(flags & _F_SYMLINKS), bool(flags & _F_EMPTY_PATH)).require()
        _move(task, require_mount_root(moved), at, bool(flags & _BENEATH))
    return 0


def _move(task: Task, mount: Mount, at: CDentry, is_beneath: bool) -> None:
    if mount.sb.root == first_root(task.c.fs.root):
        raise EINVAL("the first root")
    if is_directory(mount.sb.root.inode.mode) != is_directory(at.inode.mode):
        raise ENOTDIR("a directory and a file")
    check_may_move(mount, at)
    top = require_mount_root(at) if is_beneath else None
    if top is not None and top.sb.covered == ffi.NULL:
        raise EINVAL("beneath the first root")
    if top is not None:
        put_beneath(mount, top)
    else:
        graft(task, mount, at)


# ---- attributes ---------------------------------------------------------------------------------------------------


@syscall
def mount_setattr(task: Task, dfd: int, path: UserAddr, flags: int, attr: UserAddr, size: int) -> int:
    if flags & ~(AT_EMPTY_PATH | _AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT):
        raise EINVAL("flags")
    change = _read_attributes(task, attr, size)
    if change is None:
        return 0
    follow, may_be_empty = not flags & AT_SYMLINK_NOFOLLOW, bool(flags & AT_EMPTY_PATH)
    at = resolve(task, dfd, task.memory.read_cstr(path), follow, may_be_empty).require()
    _change(at, change, bool(flags & _AT_RECURSIVE))
    return 0


def _read_attributes(task: Task, address: UserAddr, size: int) -> tuple[int, int, int] | None:
    """(flags to set, flags to clear, propagation), or None: nothing is to change. Identity maps answer EINVAL."""
    if size < _MOUNT_ATTR.size:
        raise EINVAL("struct mount_attr")
    if size > _PAGE:
        raise E2BIG("struct mount_attr")
    check_may_mount(task)
    given = task.memory.read(address, size)
    if any(given[_MOUNT_ATTR.size :]):
        raise E2BIG("fields of a newer kernel")
    to_set, to_clear, propagation, namespace_fd = _MOUNT_ATTR.unpack_from(given)
    if not to_set and not to_clear and not propagation:
        return None
    if propagation not in (0, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED):
        raise EINVAL("propagation")
    if to_clear & _ATTR_ATIME not in (0, _ATTR_ATIME) or (to_set & _ATTR_ATIME and not to_clear & _ATTR_ATIME):
        raise EINVAL("atime")
    if to_set & _ATTR_IDMAP and namespace_fd <= _INT_MAX:
        task.fd_table.get(namespace_fd)
    cleared = _sb_flags(to_clear & ~_ATTR_ATIME) | (lib.SB_NOATIME if to_clear & _ATTR_ATIME else 0)
    return _sb_flags(to_set), cleared, int(propagation)


def _change(at: CDentry, change: tuple[int, int, int], is_recursive: bool) -> None:
    to_set, to_clear, propagation = change
    first = require_mount_root(at)
    wanted = [
        (mount, mount.sb.flags & SETTABLE & ~to_clear | to_set)
        for mount in ((first, *parts_of(at)) if is_recursive else (first,))
    ]
    for mount, flags in wanted:  # all of them, or none
        check_flags(mount, flags, checks_writers=True)
    for mount, flags in wanted:
        change_flags(mount, flags, checks_writers=True)
    if propagation:
        set_propagation(at, propagation | (MS_REC if is_recursive else 0))

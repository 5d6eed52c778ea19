"""Extended attributes: xattr(7). Files in memory keep user.* and trusted.*; binds pass user.* to the host.

security.capability is kept and shown by both (kernel/file_capabilities reads it at exec)."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.capability import CAP_SETFCAP, CAP_SYS_ADMIN
from pysentry.abi.errno import E2BIG, EBADF, EINVAL, ENAMETOOLONG, ENODATA, EOPNOTSUPP, EPERM, ERANGE
from pysentry.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from pysentry.abi.stat import (
    S_ISVTX,
    XATTR_CREATE,
    XATTR_LIST_MAX,
    XATTR_NAME_MAX,
    XATTR_REPLACE,
    XATTR_SIZE_MAX,
    is_directory,
    is_regular,
)
from pysentry.kernel import file_capabilities
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs import notify
from pysentry.vfs.filesystem import filesystem_of
from pysentry.vfs.permissions import MAY_READ, MAY_WRITE, check_permission, check_writable, is_capable, is_owner
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.errno import LinuxError
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry

_ARGS = Struct("=QII")  # struct xattr_args: value, size, flags
_PAGE = 4096


# What a call is about: a file, or None: a pipe, a socket, an epoll instance, which no file system keeps attributes of.


def _at(task: Task, path: UserAddr, follow: bool = True) -> CDentry | None:
    walk = resolve(task, AT_FDCWD, task.memory.read_cstr(path), follow=follow)
    return None if walk.dentry is None and walk.description is not None else walk.require()


def _opened(task: Task, fd: int) -> CDentry | None:
    c = task.fd_table.get(fd)
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    return None if c.dentry == ffi.NULL else c.dentry


def _name(task: Task, addr: UserAddr) -> bytes:
    try:
        name = task.memory.read_cstr(addr, XATTR_NAME_MAX + 1)
    except ENAMETOOLONG:
        raise ERANGE("name") from None
    if not name:
        raise ERANGE("name")
    return name


def _check(task: Task, dentry: CDentry | None, name: bytes, mask: int) -> CDentry:
    """xattr_permission() in Linux fs/xattr.c. The file that keeps the attributes."""
    is_writing = mask == MAY_WRITE
    if dentry is None:
        raise _refusal(task, name, is_writing)
    inode = dentry.inode
    if is_writing:
        check_writable(dentry.sb)
    if name.startswith(b"security.") and name != b"security.capability":
        if is_writing and not is_capable(task.cred, CAP_SYS_ADMIN):  # cap_inode_setxattr()
            raise EPERM("security")
        return dentry
    if name.startswith(b"trusted."):
        if not is_capable(task.cred, CAP_SYS_ADMIN):
            raise EPERM("trusted") if is_writing else ENODATA("trusted")
        return dentry
    if name == b"security.capability" and is_writing and not is_capable(task.cred, CAP_SETFCAP):
        raise EPERM("CAP_SETFCAP")
    if name.startswith(b"user."):
        if not is_regular(inode.mode) and not is_directory(inode.mode):
            raise EPERM("not a file or directory") if is_writing else ENODATA("not a file or directory")
        if is_directory(inode.mode) and inode.mode & S_ISVTX and is_writing and not is_owner(task.cred, inode):
            raise EPERM("sticky directory")
        check_permission(task.cred, inode, mask)
    return dentry


def _refusal(task: Task, name: bytes, is_writing: bool) -> LinuxError:
    is_for_others = name.startswith(b"user.") or (
        name.startswith(b"trusted.") and not is_capable(task.cred, CAP_SYS_ADMIN)
    )
    if is_for_others:
        return EPERM("not a file") if is_writing else ENODATA("not a file")
    return EOPNOTSUPP("not in a file system")


# ---- set ----------------------------------------------------------------------------------------------------------


@syscall
def setxattr(task: Task, path: UserAddr, name: UserAddr, value: UserAddr, size: int, flags: int) -> int:
    key, content = _content(task, name, value, size, flags)
    return _set(task, _at(task, path), key, content, flags)


@syscall
def lsetxattr(task: Task, path: UserAddr, name: UserAddr, value: UserAddr, size: int, flags: int) -> int:
    key, content = _content(task, name, value, size, flags)
    return _set(task, _at(task, path, follow=False), key, content, flags)


@syscall
def fsetxattr(task: Task, fd: int, name: UserAddr, value: UserAddr, size: int, flags: int) -> int:
    dentry = _opened(task, fd)
    key, content = _content(task, name, value, size, flags)
    return _set(task, dentry, key, content, flags)


def _content(task: Task, name: UserAddr, value: UserAddr, size: int, flags: int) -> tuple[bytes, bytes]:
    if flags & ~(XATTR_CREATE | XATTR_REPLACE):
        raise EINVAL("flags")
    key = _name(task, name)
    if size > XATTR_SIZE_MAX:
        raise E2BIG("value")
    return key, task.memory.read(value, size) if size else b""


def _set(task: Task, about: CDentry | None, name: bytes, value: bytes, flags: int) -> int:
    if name == file_capabilities.NAME and value and not file_capabilities.may_be_written(value):
        raise EINVAL("security.capability")  # before any permission: cap_convert_nscap()
    dentry = _check(task, about, name, MAY_WRITE)
    filesystem_of(dentry.sb).set_xattr(dentry, name, value, flags)
    notify.on_file(dentry, notify.IN_ATTRIB)
    return 0


# ---- get ----------------------------------------------------------------------------------------------------------


@syscall
def getxattr(task: Task, path: UserAddr, name: UserAddr, value: UserAddr, size: int) -> int:
    return _get(task, _name(task, name), _at(task, path), value, size)


@syscall
def lgetxattr(task: Task, path: UserAddr, name: UserAddr, value: UserAddr, size: int) -> int:
    return _get(task, _name(task, name), _at(task, path, follow=False), value, size)


@syscall
def fgetxattr(task: Task, fd: int, name: UserAddr, value: UserAddr, size: int) -> int:
    dentry = _opened(task, fd)
    return _get(task, _name(task, name), dentry, value, size)


def _get(task: Task, name: bytes, about: CDentry | None, value: UserAddr, size: int) -> int:
    dentry = _check(task, about, name, MAY_READ)
    return _answer(task, filesystem_of(dentry.sb).get_xattr(dentry, name), value, size)


def _answer(task: Task, content: bytes, addr: UserAddr, size: int) -> int:
    """Size 0 asks how much room is needed."""
    if size:
        if len(content) > size:
            raise ERANGE("size")
        task.memory.write(addr, content)
    return len(content)


# ---- list, remove -------------------------------------------------------------------------------------------------


@syscall
def listxattr(task: Task, path: UserAddr, list: UserAddr, size: int) -> int:
    return _list(task, _at(task, path), list, size)


@syscall
def llistxattr(task: Task, path: UserAddr, list: UserAddr, size: int) -> int:
    return _list(task, _at(task, path, follow=False), list, size)


@syscall
def flistxattr(task: Task, fd: int, list: UserAddr, size: int) -> int:
    return _list(task, _opened(task, fd), list, size)


def _list(task: Task, dentry: CDentry | None, addr: UserAddr, size: int) -> int:
    if dentry is None:
        return 0
    is_trusted_shown = is_capable(task.cred, CAP_SYS_ADMIN)
    names = [
        name
        for name in filesystem_of(dentry.sb).list_xattrs(dentry)
        if is_trusted_shown or not name.startswith(b"trusted.")
    ]
    content = b"".join(name + b"\0" for name in names)
    if len(content) > XATTR_LIST_MAX and size >= XATTR_LIST_MAX:  # it can be measured, but not be had
        raise E2BIG("list")
    return _answer(task, content, addr, size)


@syscall
def removexattr(task: Task, path: UserAddr, name: UserAddr) -> int:
    return _remove(task, _name(task, name), _at(task, path))


@syscall
def lremovexattr(task: Task, path: UserAddr, name: UserAddr) -> int:
    return _remove(task, _name(task, name), _at(task, path, follow=False))


@syscall
def fremovexattr(task: Task, fd: int, name: UserAddr) -> int:
    dentry = _opened(task, fd)
    return _remove(task, _name(task, name), dentry)


def _remove(task: Task, name: bytes, about: CDentry | None) -> int:
    dentry = _check(task, about, name, MAY_WRITE)
    filesystem_of(dentry.sb).remove_xattr(dentry, name)
    notify.on_file(dentry, notify.IN_ATTRIB)
    return 0


# ---- by directory (Linux 6.13) --------------------------------------------------------------------------------------


@syscall
def setxattrat(task: Task, dfd: int, path: UserAddr, at_flags: int, name: UserAddr, args: UserAddr, size: int) -> int:
    value, length, flags = _args(task, args, size)
    _check_at_flags(at_flags)
    key, content = _content(task, name, value, length, flags)
    return _set(task, _named(task, dfd, path, at_flags), key, content, flags)


@syscall
def getxattrat(task: Task, dfd: int, path: UserAddr, at_flags: int, name: UserAddr, args: UserAddr, size: int) -> int:
    value, length, flags = _args(task, args, size)
    if flags:
        raise EINVAL("flags")
    _check_at_flags(at_flags)
    key = _name(task, name)
    return _get(task, key, _named(task, dfd, path, at_flags), value, length)


@syscall
def listxattrat(task: Task, dfd: int, path: UserAddr, at_flags: int, list: UserAddr, size: int) -> int:
    _check_at_flags(at_flags)
    return _list(task, _named(task, dfd, path, at_flags), list, size)


@syscall
def removexattrat(task: Task, dfd: int, path: UserAddr, at_flags: int, name: UserAddr) -> int:
    _check_at_flags(at_flags)
    key = _name(task, name)
    return _remove(task, key, _named(task, dfd, path, at_flags))


def _args(task: Task, address: UserAddr, size: int) -> tuple[int, int, int]:
    """(value, size, flags) of a struct xattr_args; what a longer one has beyond them must be zero."""
    if size < _ARGS.size:
        raise EINVAL("size of xattr_args")
    if size > _PAGE:
        raise E2BIG("size of xattr_args")
    raw = task.memory.read(address, size)
    if any(raw[_ARGS.size :]):
        raise E2BIG("xattr_args of a later kernel")
    value, length, flags = _ARGS.unpack_from(raw)
    return value, length, flags


def _check_at_flags(flags: int) -> None:
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL("at_flags")


def _named(task: Task, dirfd: int, path: UserAddr, flags: int) -> CDentry | None:
    """With AT_EMPTY_PATH, "" and NULL are what `dirfd` has open."""
    is_empty_ok = bool(flags & AT_EMPTY_PATH)
    name = b"" if is_empty_ok and not path else task.memory.read_cstr(path)
    if not name and is_empty_ok and dirfd >= 0:
        return _opened(task, dirfd)
    walk = resolve(task, dirfd, name, not flags & AT_SYMLINK_NOFOLLOW, is_empty_ok)
    return None if walk.dentry is None and walk.description is not None else walk.require()

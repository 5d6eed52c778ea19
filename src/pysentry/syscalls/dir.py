"""Names: directories, links, the working directory. What each requires is vfs/namei."""

from __future__ import annotations

from pysentry.abi.capability import CAP_SYS_CHROOT
from pysentry.abi.errno import EBADF, EINVAL, ENOENT, ENOTDIR, EPERM, ERANGE, check
from pysentry.abi.fcntl import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
)
from pysentry.abi.stat import DIRENT64_HEAD, DIRENT_HEAD, DT_DIR, is_directory
from pysentry.kernel.description import DirectoryDescription, adopt, description_of
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs import namei
from pysentry.vfs.filesystem import filesystem_of
from pysentry.vfs.permissions import MAY_EXEC, check_permission, is_capable
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription

    Entries = list[tuple[bytes, int, int]]

_PATH_ROOM = 4096 + 16  # with "(unreachable)"


@syscall
def mkdir(task: Task, path: UserAddr, mode: int) -> int:
    namei.mkdir(task, AT_FDCWD, task.memory.read_cstr(path), mode)
    return 0


@syscall
def mkdirat(task: Task, dfd: int, path: UserAddr, mode: int) -> int:
    namei.mkdir(task, dfd, task.memory.read_cstr(path), mode)
    return 0


@syscall
def mknod(task: Task, path: UserAddr, mode: int, dev: int) -> int:
    namei.mknod(task, AT_FDCWD, task.memory.read_cstr(path), mode, dev & 0xFFFFFFFF)
    return 0


@syscall
def mknodat(task: Task, dfd: int, path: UserAddr, mode: int, dev: int) -> int:
    """Device nodes: only those that the sandbox serves itself (null, zero, tty, ...), with CAP_MKNOD."""
    namei.mknod(task, dfd, task.memory.read_cstr(path), mode, dev & 0xFFFFFFFF)
    return 0


@syscall
def symlink(task: Task, target: UserAddr, linkpath: UserAddr) -> int:
    return _symlink(task, target, AT_FDCWD, linkpath)


@syscall
def symlinkat(task: Task, target: UserAddr, newdfd: int, linkpath: UserAddr) -> int:
    return _symlink(task, target, newdfd, linkpath)


def _symlink(task: Task, target: UserAddr, newdfd: int, linkpath: UserAddr) -> int:
    text = task.memory.read_cstr(target)
    if not text:
        raise ENOENT("empty target")  # before the path is read
    namei.symlink(task, text, newdfd, task.memory.read_cstr(linkpath))
    return 0


@syscall
def link(task: Task, oldpath: UserAddr, newpath: UserAddr) -> int:
    return _link(task, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0)


@syscall
def linkat(task: Task, olddfd: int, oldpath: UserAddr, newdfd: int, newpath: UserAddr, flags: int) -> int:
    return _link(task, olddfd, oldpath, newdfd, newpath, flags)


def _link(task: Task, olddfd: int, oldpath: UserAddr, newdfd: int, newpath: UserAddr, flags: int) -> int:
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise EINVAL("flags")
    old = task.memory.read_cstr(oldpath)
    namei.link(
        task, olddfd, old, newdfd, lambda: task.memory.read_cstr(newpath),
        follow=bool(flags & AT_SYMLINK_FOLLOW), empty_ok=bool(flags & AT_EMPTY_PATH),
    )  # fmt: skip
    return 0


@syscall
def unlink(task: Task, path: UserAddr) -> int:
    namei.unlink(task, AT_FDCWD, task.memory.read_cstr(path))
    return 0


@syscall
def rmdir(task: Task, path: UserAddr) -> int:
    namei.rmdir(task, AT_FDCWD, task.memory.read_cstr(path))
    return 0


@syscall
def unlinkat(task: Task, dfd: int, path: UserAddr, flags: int) -> int:
    if flags & ~AT_REMOVEDIR:
        raise EINVAL("flags")
    name = task.memory.read_cstr(path)
    (namei.rmdir if flags else namei.unlink)(task, dfd, name)
    return 0


@syscall
def rename(task: Task, oldpath: UserAddr, newpath: UserAddr) -> int:
    return _rename(task, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0)


@syscall
def renameat(task: Task, olddfd: int, oldpath: UserAddr, newdfd: int, newpath: UserAddr) -> int:
    return _rename(task, olddfd, oldpath, newdfd, newpath, 0)


@syscall
def renameat2(task: Task, olddfd: int, oldpath: UserAddr, newdfd: int, newpath: UserAddr, flags: int) -> int:
    """RENAME_WHITEOUT is EINVAL, as on a file system without whiteouts."""
    return _rename(task, olddfd, oldpath, newdfd, newpath, flags)


def _rename(task: Task, olddfd: int, oldpath: UserAddr, newdfd: int, newpath: UserAddr, flags: int) -> int:
    if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) or flags == RENAME_NOREPLACE | RENAME_EXCHANGE:
        raise EINVAL("flags")
    old = task.memory.read_cstr(oldpath)
    namei.rename(task, olddfd, old, newdfd, lambda: task.memory.read_cstr(newpath), flags)
    return 0


# ---- reading directories --------------------------------------------------------------------------------------------


class ListedDirectory(DirectoryDescription):
    """A directory that Python lists: the entries as they were when reading began at position 0, so that removing
    entries while reading skips none."""

    __slots__ = ("entries",)
    keeps_state = True
    entries: Entries


@syscall
def getdents64(task: Task, fd: int, dirp: UserAddr, count: int) -> int:
    return _getdents(task, fd, dirp, count, is_old=False)


@syscall
def getdents(task: Task, fd: int, dirp: UserAddr, count: int) -> int:
    return _getdents(task, fd, dirp, count, is_old=True)


def _getdents(task: Task, fd: int, dirp: UserAddr, room: int, is_old: bool) -> int:
    c = task.fd_table.get(fd)
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    if c.kind != lib.DESC_DIR:
        raise ENOTDIR("not a directory")
    if c.dentry.flags & lib.DENTRY_UNHASHED:
        raise ENOENT("removed")
    entries = _listing(task, c)
    position = c.dir_pos
    records: list[bytes] = []
    filled = 0
    while position < len(entries):
        record = (_old_record if is_old else _record)(entries[position], position + 1)
        if filled + len(record) > room:
            if not records:
                raise EINVAL("no room for one entry")
            break
        records.append(record)
        filled += len(record)
        position += 1
    if records:
        task.memory.write(dirp, b"".join(records))
        c.dir_pos = position
    return filled


def _listing(task: Task, c: CDescription) -> Entries:
    listed = description_of(c)
    if not isinstance(listed, ListedDirectory):
        listed = adopt(ListedDirectory(c))
        assert isinstance(listed, ListedDirectory)
        listed.entries = _entries(task, c.dentry)
    elif c.dir_pos == 0:
        listed.entries = _entries(task, c.dentry)
    return listed.entries


def _entries(task: Task, directory: CDentry) -> Entries:
    root = task.fs.root
    parent = directory
    while parent != root and parent.parent == parent and parent.sb.covered != ffi.NULL:
        parent = parent.sb.covered
    if parent != root:
        parent = parent.parent
    dots = [(b".", directory.inode.ino, DT_DIR), (b"..", parent.inode.ino, DT_DIR)]
    return dots + filesystem_of(directory.sb).readdir(task, directory)


def _record(entry: tuple[bytes, int, int], following: int) -> bytes:
    """struct linux_dirent64, padded to 8 bytes; `following` is the position of the next entry."""
    name, number, kind = entry
    size = (DIRENT64_HEAD.size + len(name) + 8) & ~7
    return (DIRENT64_HEAD.pack(number, following, size, kind) + name).ljust(size, b"\0")


def _old_record(entry: tuple[bytes, int, int], following: int) -> bytes:
    """struct linux_dirent: the type is in the last byte."""
    name, number, kind = entry
    size = (DIRENT_HEAD.size + len(name) + 2 + 7) & ~7
    return (DIRENT_HEAD.pack(number, following, size) + name).ljust(size - 1, b"\0") + bytes((kind,))


# ---- working directory and root -----------------------------------------------------------------------------------


@syscall
def chdir(task: Task, path: UserAddr) -> int:
    lib.fs_set_cwd(task.fs, _directory_at(task, task.memory.read_cstr(path)))
    return 0


@syscall
def fchdir(task: Task, fd: int) -> int:
    c = task.fd_table.get(fd)
    if c.dentry == ffi.NULL:
        raise ENOTDIR("not a directory")
    lib.fs_set_cwd(task.fs, _enterable(task, c.dentry))
    return 0


@syscall
def chroot(task: Task, path: UserAddr) -> int:
    directory = _directory_at(task, task.memory.read_cstr(path))
    if not is_capable(task.cred, CAP_SYS_CHROOT):
        raise EPERM("CAP_SYS_CHROOT")
    lib.fs_set_root(task.fs, directory)
    return 0


def _directory_at(task: Task, path: bytes) -> CDentry:
    walk = resolve(task, AT_FDCWD, path)
    if walk.dentry is None and walk.description is not None:
        raise ENOTDIR("an anonymous file")
    return _enterable(task, walk.require())


def _enterable(task: Task, directory: CDentry) -> CDentry:
    if not is_directory(directory.inode.mode):
        raise ENOTDIR("not a directory")
    check_permission(task.cred, directory.inode, MAY_EXEC)
    return directory


@syscall
def getcwd(task: Task, buf: UserAddr, size: int) -> int:
    cwd = task.fs.cwd
    if cwd.flags & lib.DENTRY_UNHASHED:
        raise ENOENT("removed")
    buffer = ffi.new("char[]", _PATH_ROOM)
    length = check(lib.dentry_path(task.fs.root, cwd, buffer, _PATH_ROOM)) + 1
    if length > size:
        raise ERANGE("size")
    task.memory.write(buf, bytes(ffi.buffer(buffer, length)))
    return length

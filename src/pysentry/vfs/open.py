"""Opening: from a path and flags to an open file description.

Owns what open(2) and openat2(2) require and the order of errors (Linux fs/namei.c: build_open_flags, lookup_open,
do_open, may_open). Descriptor numbers are the handler's; what a file system gives for a regular file is its own.
"""

from __future__ import annotations

import fcntl
import os

from pysentry.abi.errno import (
    EACCES,
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENOENT,
    ENOTDIR,
    ENXIO,
    EPERM,
    ESTALE,
    ETXTBSY,
    host_errors,
)
from pysentry.abi.fcntl import (
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_LARGEFILE,
    O_NOATIME,
    O_NOCTTY,
    O_NOFOLLOW,
    O_PATH,
    O_PATH_FLAGS,
    O_RDONLY,
    O_RDWR,
    O_TMPFILE,
    O_TMPFILE_BIT,
    O_TRUNC,
    O_WRONLY,
)
from pysentry.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK
from pysentry.platform.native import ffi, lib
from pysentry.vfs import devices, notify
from pysentry.vfs.dentry import attach, attach_to_inode, file_description, new_description
from pysentry.vfs.filesystem import filesystem_of
from pysentry.vfs.permissions import (
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    check_may_create,
    check_permission,
    check_writable,
    drop_set_id,
    is_owner,
    new_owner,
)
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode
    from pysentry.vfs.walk import Walk

_CREATION_FLAGS = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC
_ACCESS = {O_RDONLY: MAY_READ, O_WRONLY: MAY_WRITE, O_RDWR: MAY_READ | MAY_WRITE, O_ACCMODE: MAY_READ | MAY_WRITE}


def check_flags(flags: int) -> int:
    """The flags that count, or EINVAL for a combination that no file can have."""
    if flags & O_PATH:
        return flags & O_PATH_FLAGS
    if flags & (O_DIRECTORY | O_CREAT) == O_DIRECTORY | O_CREAT:
        raise EINVAL("O_CREAT | O_DIRECTORY")
    if flags & O_TMPFILE_BIT and (flags & O_TMPFILE != O_TMPFILE or flags & O_ACCMODE == O_RDONLY):
        raise EINVAL("O_TMPFILE")
    return flags


async def open_path(
    task: Task, dirfd: int, path: bytes, flags: int, mode: int, resolve_flags: int = 0
) -> CDescription:
    """Opens, perhaps creates, a file. Returns a description with one reference.

    flags: from `check_flags`; mode: permission bits before the umask, for O_CREAT and O_TMPFILE
    Waits only where a FIFO has no partner yet, or somebody's lease is in the way.
    """
    if flags & O_TMPFILE_BIT:
        return open_tmpfile(task, resolve(task, dirfd, path, follow=not flags & O_NOFOLLOW).require(), flags, mode)
    try:
        return await _open_found(task, dirfd, path, flags, mode, resolve_flags)
    except ESTALE:
        # Somebody on the host was faster; what it did is known by now.
        return await _open_found(task, dirfd, path, flags, mode, resolve_flags)


async def _open_found(
    task: Task, dirfd: int, path: bytes, flags: int, mode: int, resolve_flags: int
) -> CDescription:
    follow = not flags & O_NOFOLLOW and flags & (O_CREAT | O_EXCL) != O_CREAT | O_EXCL
    walk = resolve(task, dirfd, path, follow, resolve_flags=resolve_flags, creates=bool(flags & O_CREAT))
    if walk.description is not None:
        return reopen(walk.description, flags)
    if walk.dentry is None:
        if not flags & O_CREAT:
            raise ENOENT(repr(walk.name))
        return _create(task, walk, flags, mode)
    check_may_open(task, walk.dentry, flags)
    return await open_dentry(task, walk.dentry, flags)


def check_may_open(task: Task, dentry: CDentry, flags: int) -> None:
    """Type, permission and mount allow opening an existing file so: do_open(), may_open()."""
    inode = dentry.inode
    kind = inode.mode & S_IFMT
    if flags & O_CREAT:
        if flags & O_EXCL:
            raise EEXIST("O_EXCL")
        if kind == S_IFDIR:
            raise EISDIR("O_CREAT")
    if flags & O_DIRECTORY and kind != S_IFDIR:
        raise ENOTDIR("O_DIRECTORY")
    if flags & O_PATH:
        return
    if flags & O_TRUNC and kind == S_IFREG:
        check_writable(dentry.sb)
    if kind == S_IFLNK:
        raise ELOOP("O_NOFOLLOW")
    wanted = _ACCESS[flags & O_ACCMODE]
    if flags & O_TRUNC and kind not in (S_IFIFO, S_IFSOCK):
        wanted |= MAY_WRITE
    if kind == S_IFDIR and wanted & MAY_WRITE:
        raise EISDIR("writing a directory")
    if kind in (S_IFBLK, S_IFCHR) and dentry.sb.flags & lib.SB_NODEV:
        raise EACCES("nodev")
    check_permission(task.c.cred, inode, wanted)
    if flags & O_NOATIME and not is_owner(task.c.cred, inode):
        raise EPERM("O_NOATIME")
    if wanted & MAY_WRITE and kind == S_IFREG:
        check_writable(dentry.sb)
        if inode.mode & 0o111 and is_executing(inode):
            raise ETXTBSY("being executed")
    if kind == S_IFSOCK:
        raise ENXIO("socket")


async def open_dentry(task: Task, dentry: CDentry, flags: int) -> CDescription:
    """A description of a file that may be opened so."""
    shown = shown_flags(flags)
    if flags & O_PATH:
        return _finish(new_description(lib.DESC_PATH, -1, flags & O_PATH_FLAGS & ~O_CLOEXEC), dentry)
    inode = dentry.inode
    kind = inode.mode & S_IFMT
    lib.dentry_ref(dentry)  # it may be unlinked while a FIFO is waited for
    try:
        if kind == S_IFREG:
            if inode.flags & lib.INODE_LEASED:
                from pysentry.vfs.leases import break_lease

                await break_lease(task, inode, flags)
            description = filesystem_of(dentry.sb).open(task, dentry, shown | flags & O_TRUNC)
            if flags & O_TRUNC:
                drop_set_id(task.c.cred, inode)
                notify.on_file(dentry, notify.IN_MODIFY)
            if flags & O_NOATIME and flags & O_ACCMODE == O_RDONLY:
                attach(description, dentry)
                _leave_atime(description)
        elif kind == S_IFDIR:
            description = file_description(lib.DESC_DIR, -1, shown)
        elif kind in (S_IFCHR, S_IFBLK):
            description = devices.open_device(task, dentry, shown | flags & O_NOCTTY)
            description.open_flags &= ~O_NOCTTY
            if description.kind == lib.DESC_TTY and not flags & O_NOCTTY:
                from pysentry.kernel.tty import become_controlling

                await become_controlling(task, description)
        elif kind == S_IFIFO:
            from pysentry.kernel.pipe import NamedPipe

            description = await NamedPipe.open(task, inode, shown)
        else:
            raise ENXIO("not to be opened")
        return _finish(description, dentry)
    finally:
        lib.dentry_unref(dentry)


def _leave_atime(description: CDescription) -> None:
    """O_NOATIME: of a host description of its own, as others share the content's. What has none keeps the time."""
    if description.host_fd >= 0 and lib.desc_unshare(description) == 0:
        with host_errors():
            fcntl.fcntl(description.host_fd, fcntl.F_SETFL, O_NOATIME)


def _finish(description: CDescription, dentry: CDentry) -> CDescription:
    attach(description, dentry)
    notify.on_file(dentry, notify.IN_OPEN)
    return description


def shown_flags(flags: int) -> int:
    """What F_GETFL shows of the flags of an open."""
    return flags & ~_CREATION_FLAGS | O_LARGEFILE


def _create(task: Task, walk: Walk, flags: int, mode: int) -> CDescription:
    """A new regular file; its mode does not restrict this first open."""
    parent = walk.parent
    if parent.flags & lib.DENTRY_UNHASHED:
        raise ENOENT("directory was removed")
    check_writable(parent.sb)
    check_may_create(task.c.cred, parent)
    owner = new_owner(task.c.cred, parent.inode, S_IFREG | mode & 0o7777, task.c.fs.umask)
    file_system = filesystem_of(parent.sb)
    made, description = file_system.create_and_open(task, parent, walk.name, *owner, shown_flags(flags))
    notify.on_entry(parent, walk.name, notify.IN_CREATE, False)
    description.flags |= lib.DESC_CREATED
    return _finish(description, made)


def open_tmpfile(task: Task, directory: CDentry, flags: int, mode: int) -> CDescription:
    """A new regular file of the directory's file system, without a name."""
    if directory.inode.mode & S_IFMT != S_IFDIR:
        raise ENOTDIR("O_TMPFILE")
    check_writable(directory.sb)
    check_permission(task.c.cred, directory.inode, MAY_WRITE | MAY_EXEC)
    owner = new_owner(task.c.cred, directory.inode, S_IFREG | mode & 0o7777, task.c.fs.umask)
    file_system = filesystem_of(directory.sb)
    made = file_system.tmpfile(directory, *owner)
    try:
        if not flags & O_EXCL:
            attach_to_inode(made.inode, "linkable", True)  # linkat(2) may give it a name
        return _finish(file_system.open(task, made, shown_flags(flags)), made)
    finally:
        lib.dentry_unref(made)


def is_executing(inode: CInode) -> bool:
    """True if a process runs this file: it may not be opened for writing."""
    task = lib.task_first()
    while task != ffi.NULL:
        executable = task.group.exe
        if executable != ffi.NULL and executable.inode == inode:
            return True
        task = task.all_next
    return False


def reopen(description: CDescription, flags: int) -> CDescription:
    """Opens an anonymous file anew through /proc/self/fd: what it is stays, status flags are the new ones.

    ENXIO for sockets and what has no file of its own; EACCES for the other end of a pipe."""
    if flags & O_PATH:
        return new_description(lib.DESC_PATH, -1, flags & O_PATH_FLAGS & ~O_CLOEXEC)
    if flags & O_DIRECTORY:
        raise ENOTDIR("O_DIRECTORY")
    if description.kind not in (lib.DESC_FILE, lib.DESC_PIPE, lib.DESC_CHR, lib.DESC_TTY):
        raise ENXIO("not to be opened again")
    had, wanted = description.open_flags & O_ACCMODE, flags & O_ACCMODE
    with host_errors():
        if had in (wanted, O_RDWR):
            host_fd = os.dup(description.host_fd)
        elif wanted == O_RDONLY and description.kind == lib.DESC_PIPE:
            host_fd = reopen_read_only(description.host_fd)
        else:
            raise EACCES("the description does not allow it")
        if flags & O_TRUNC and description.kind == lib.DESC_FILE:
            os.ftruncate(host_fd, 0)
    made = new_description(description.kind, host_fd, shown_flags(flags))
    made.flags |= description.flags & (lib.DESC_GIVEN | lib.DESC_NO_POLL | lib.DESC_DONTWAIT)
    if description.kind == lib.DESC_FILE:
        made.flags |= lib.DESC_OWN_POS
    return made


_host_proc_fd = -1


def use_host_proc(proc_fd: int) -> None:
    """Boot: the directory descriptor of the host's /proc, below which the sentry may open for reading."""
    global _host_proc_fd
    _host_proc_fd = proc_fd


def reopen_read_only(host_fd: int) -> int:
    """A new host description of the same file, read-only. OSError."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    return os.open(b"self/fd/%d" % host_fd, flags, dir_fd=_host_proc_fd)

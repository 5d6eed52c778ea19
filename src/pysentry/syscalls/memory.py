"""mmap(2) of files and memfd_create(2). Anonymous memory is the host kernel's.

A file is mapped by the host: the checked description is installed at the very number that the program passed, and the
call goes on as it stands. Everything that matters is in registers.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import EACCES, EBADF, EINVAL, ENAMETOOLONG, ENODEV, ENOMEM, EPERM, host_errors
from pysentry.abi.fcntl import O_ACCMODE, O_LARGEFILE, O_RDONLY, O_RDWR, O_WRONLY
from pysentry.abi.mman import (
    MAP_ANONYMOUS,
    MAP_HUGETLB,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_TYPE,
    MFD_ALLOW_SEALING,
    MFD_CLOEXEC,
    MFD_EXEC,
    MFD_HUGETLB,
    MFD_NOEXEC_SEAL,
    PROT_EXEC,
    PROT_WRITE,
)
from pysentry.abi.stat import S_IFREG
from pysentry.kernel.file import is_limited
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import CONTINUE, syscall
from pysentry.vfs.dentry import attach, file_description
from pysentry.vfs.filesystem import content_fd, filesystem_of
from pysentry.vfs.memfd import make_memfd
from pysentry.vfs.open import reopen_read_only

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

_PAGE = 4096
_NAME_MAX = 249  # without "memfd:"
_MFD_HUGE_SIZE = 0x3F << 26
_MFD_FLAGS = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC


@syscall
def mmap(task: Task, addr: UserAddr, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
    """do_mmap() in Linux mm/mmap.c, as far as the file is concerned."""
    if flags & MAP_ANONYMOUS:
        raise ENOMEM("no huge pages") if flags & MAP_HUGETLB else EINVAL("flags")
    if offset % _PAGE:
        raise EINVAL("offset")
    c = task.fd_table.get(fd)
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    if flags & MAP_HUGETLB or not length:
        raise EINVAL("length or MAP_HUGETLB")
    kind = flags & MAP_TYPE
    if kind not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE):
        raise EINVAL("flags")
    is_shared = kind != MAP_PRIVATE
    access = c.open_flags & O_ACCMODE
    if access & O_WRONLY or (is_shared and prot & PROT_WRITE and access != O_RDWR):
        raise EACCES("not open for that")
    if prot & PROT_EXEC and c.dentry != ffi.NULL and c.dentry.sb.flags & lib.SB_NOEXEC:
        raise EPERM("noexec")
    if c.kind not in (lib.DESC_FILE, lib.DESC_CHR) or c.host_fd < 0:
        raise ENODEV("cannot be mapped")
    if is_limited(c):
        filesystem_of(c.inode.sb).prepare_map(c.inode)
    lib.desc_follow_copy_up(c)
    if is_shared and access == O_RDONLY and (c.flags & lib.DESC_OWN_POS or c.kind == lib.DESC_CHR):
        _make_read_only(c)
    slot = task.fd_table.slot(fd)
    if slot.native != c.id or c.flags & lib.DESC_REINSTALL:
        task.install_native(fd)
    return CONTINUE


def _make_read_only(c: CDescription) -> None:
    """Host descriptors of files in memory can be written; a shared mapping of one could be made writable afterwards."""
    with host_errors():
        host_fd = reopen_read_only(c.host_fd)
        try:
            os.dup2(host_fd, c.host_fd, inheritable=False)
        finally:
            os.close(host_fd)
    c.flags |= lib.DESC_REINSTALL


@syscall
def memfd_create(task: Task, name: UserAddr, flags: int) -> int:
    """MFD_HUGETLB answers ENODEV, as for a size of pages that there is not."""
    if flags & ~(_MFD_FLAGS | _MFD_HUGE_SIZE if flags & MFD_HUGETLB else _MFD_FLAGS):
        raise EINVAL("flags")
    if flags & MFD_EXEC and flags & MFD_NOEXEC_SEAL:
        raise EINVAL("MFD_EXEC and MFD_NOEXEC_SEAL")
    try:
        text = task.memory.read_cstr(name, _NAME_MAX + 1)
    except ENAMETOOLONG:
        raise EINVAL("name") from None
    if flags & MFD_HUGETLB:
        raise ENODEV("no huge pages")
    mode = S_IFREG | (0o666 if flags & MFD_NOEXEC_SEAL else 0o777)
    with task.fd_table.reserve(1, cloexec=bool(flags & MFD_CLOEXEC)) as slots:
        dentry = make_memfd(text, flags & ~MFD_CLOEXEC, mode, task.cred.fsuid, task.cred.fsgid)
        try:
            with host_errors():
                host_fd = os.dup(content_fd(dentry.inode))
            description = file_description(lib.DESC_FILE, host_fd, O_RDWR | O_LARGEFILE, has_own_position=True)
            attach(description, dentry)
        finally:
            lib.dentry_unref(dentry)
        slots.install(description)
    return slots.fds[0]

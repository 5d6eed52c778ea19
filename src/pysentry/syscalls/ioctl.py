"""ioctl(2): requests for every kind of descriptor, terminals, sockets; any other is ENOTTY.

Requests are tables: what is copied in and out and how large it is. What runs in the workload itself (sessions and
foreground groups are the host kernel's) gets the terminal installed at its own number first.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EBADF, EINVAL, EIO, ENOTTY, EOPNOTSUPP, EPERM, LinuxError
from pysentry.abi.fcntl import AT_FDCWD
from pysentry.kernel import host
from pysentry.kernel.description import O_NONBLOCK, SEEK_CUR, description_of
from pysentry.kernel.sigio import O_ASYNC, can_be_async, set_async
from pysentry.kernel.tty import SIGTTOU, PtyMaster, Terminal, host_may_have_signalled
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.fcntl import get_owner, set_owner
from pysentry.syscalls.registry import CONTINUE, syscall
from pysentry.vfs.dentry import attach
from pysentry.vfs.permissions import check_writable, is_owner
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

FIONCLEX, FIOCLEX, FIONBIO, FIOASYNC, FIONREAD, FIOQSIZE = 0x5450, 0x5451, 0x5421, 0x5452, 0x541B, 0x5460
FICLONE, FICLONERANGE = 0x40049409, 0x4020940D
_CLONE_RANGE = Struct("=q24x")  # struct file_clone_range: the descriptor, and of what
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602  # of an int, whatever the number says
_BLOCK = 512  # of st_blocks
_INT32, _INT64, _UINT64 = Struct("=i"), Struct("=q"), Struct("=Q")
_ALL_BITS = (1 << 64) - 1
_FIOSETOWN, _SIOCSPGRP, _FIOGETOWN, _SIOCGPGRP = 0x8901, 0x8902, 0x8903, 0x8904
_SOCKET_OWNER = (_FIOSETOWN, _SIOCSPGRP, _FIOGETOWN, _SIOCGPGRP)

_TIOCGWINSZ, _TIOCSWINSZ, _TIOCSIG, _TIOCGPTPEER, _TIOCSTI = 0x5413, 0x5414, 0x40045436, 0x5441, 0x5412
_TIOCSETD = 0x5423
# The host answers into a buffer of so many bytes.
_TTY_OUT = {
    0x5401: 36,  # TCGETS
    0x802C542A: 44,  # TCGETS2
    0x5405: 18,  # TCGETA
    _TIOCGWINSZ: 8,
    0x541B: 4,  # FIONREAD
    0x5411: 4,  # TIOCOUTQ
    0x5424: 4,  # TIOCGETD
    0x5419: 4,  # TIOCGSOFTCAR
    0x80045430: 4,  # TIOCGPTN
    0x80045439: 4,  # TIOCGPTLCK
    0x80045438: 4,  # TIOCGPKT
    0x80045440: 4,  # TIOCGEXCL
}
# The host takes so many bytes.
_TTY_IN = {
    0x5402: 36, 0x5403: 36, 0x5404: 36,  # TCSETS, TCSETSW, TCSETSF
    0x402C542B: 44, 0x402C542C: 44, 0x402C542D: 44,  # TCSETS2, ...
    0x5406: 18, 0x5407: 18, 0x5408: 18,  # TCSETA, ...
    _TIOCSWINSZ: 8,
    0x5420: 4,  # TIOCPKT
    _TIOCSETD: 4,
    0x40045431: 4,  # TIOCSPTLCK
}  # fmt: skip
# The argument is a number.
_TTY_VALUE = {0x5409, 0x540A, 0x540B, 0x5425, 0x5427, 0x5428, 0x540C, 0x540D, _TIOCSIG}
# A background job that changes the terminal is stopped: tty_check_change() in the kernel.
_TTY_CHANGES = {
    0x5402, 0x5403, 0x5404, 0x402C542B, 0x402C542C, 0x402C542D, 0x5406, 0x5407, 0x5408,
    0x5409, 0x540A, 0x540B, _TIOCSETD, 0x5425, 0x5427, 0x5428,
}  # fmt: skip
# TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCGSID: the host kernel's sessions.
_TTY_NATIVE = {0x540E, 0x5422, 0x540F, 0x5410, 0x5429}


@syscall
async def ioctl(task: Task, fd: int, request: int, arg: int) -> int:
    request &= 0xFFFFFFFF
    c = task.fd_table.get(fd)
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    if request in (FIOCLEX, FIONCLEX):
        task.fd_table.c.slots[fd].cloexec = int(request == FIOCLEX)
        return 0
    if request == FIONBIO:
        (is_on,) = task.memory.read_struct(arg, _INT32)
        c.open_flags = c.open_flags | O_NONBLOCK if is_on else c.open_flags & ~O_NONBLOCK
        return 0
    if request == FIOASYNC:
        (is_on,) = task.memory.read_struct(arg, _INT32)
        if bool(c.open_flags & O_ASYNC) != bool(is_on):
            if not can_be_async(c):
                raise ENOTTY("FIOASYNC")
            set_async(c, fd, bool(is_on))
        return 0
    if c.kind == lib.DESC_SOCKET and request in _SOCKET_OWNER:
        return _socket_owner(task, c, request, arg)
    if request == FIOQSIZE and c.kind in (lib.DESC_FILE, lib.DESC_DIR):
        blocks = os.fstat(c.host_fd).st_blocks if c.host_fd >= 0 else c.inode.blocks
        task.memory.write_struct(arg, _INT64, blocks * _BLOCK)  # what it takes, not how long it is
        return 0
    if request in (FICLONE, FICLONERANGE) and c.kind == lib.DESC_FILE:
        source = arg if request == FICLONE else task.memory.read_struct(arg, _CLONE_RANGE)[0]
        task.fd_table.get(_INT32.unpack_from(_UINT64.pack(source & _ALL_BITS))[0])
        raise EOPNOTSUPP("extents are never shared")
    if request in (FS_IOC_GETFLAGS, FS_IOC_SETFLAGS) and c.kind in (lib.DESC_FILE, lib.DESC_DIR):
        return _file_flags(task, c, request, arg)
    if c.kind == lib.DESC_TTY:
        return _terminal(task, fd, c, request, arg)
    if request == FIONREAD and c.kind == lib.DESC_PIPE:
        return _read_out(task, c, request, arg, 4)
    if request == FIONREAD and c.kind == lib.DESC_FILE:
        left = os.fstat(c.host_fd).st_size - description_of(c).seek(0, SEEK_CUR)
        task.memory.write_struct(arg, _INT32, max(min(left, 0x7FFFFFFF), -0x80000000))
        return 0
    return await description_of(c).ioctl(task, fd, request, arg)


def _file_flags(task: Task, c: CDescription, request: int, arg: UserAddr) -> int:
    """chattr(1)'s flags: files here have none and take none."""
    if c.inode == ffi.NULL or c.inode.sb.kind not in (lib.FS_TREE, lib.FS_GOFER):
        raise ENOTTY("no flags on this file system")
    if request == FS_IOC_GETFLAGS:
        task.memory.write_struct(arg, _INT32, 0)
        return 0
    (flags,) = task.memory.read_struct(arg, _INT32)
    if c.dentry != ffi.NULL:
        check_writable(c.dentry.sb)
    if not is_owner(task.cred, c.inode):
        raise EPERM("not the owner")
    if flags:
        raise EOPNOTSUPP("flags of files")
    return 0


def _socket_owner(task: Task, c: CDescription, request: int, arg: UserAddr) -> int:
    """F_SETOWN and F_GETOWN by their older names."""
    if request in (_FIOSETOWN, _SIOCSPGRP):
        (owner,) = task.memory.read_struct(arg, _INT32)
        return set_owner(task, c, owner)
    task.memory.write_struct(arg, _INT32, get_owner(c))
    return 0


def _terminal(task: Task, fd: int, c: CDescription, request: int, arg: int) -> int:
    end = description_of(c)
    if request in _TTY_NATIVE:
        task.install_native(fd)
        return CONTINUE
    if request in _TTY_CHANGES and isinstance(end, Terminal):
        end.check_job(task, SIGTTOU)
    if request == _TIOCGWINSZ and isinstance(end, Terminal) and end.pty is not None and end.pty.update_size is not None:
        end.pty.update_size()
    if request in _TTY_OUT:
        return _read_out(task, c, request, arg, _TTY_OUT[request])
    if request in _TTY_IN:
        value = bytearray(task.memory.read(arg, _TTY_IN[request]))
        if request == _TIOCSETD:
            if _INT32.unpack(value)[0]:
                raise EINVAL("only N_TTY")
            return 0  # it is what they all have; the host wants to be asked by who may
        result = host.ioctl(c.host_fd, request, value)
        if request == _TIOCSWINSZ:
            host_may_have_signalled()
        return result
    if request in _TTY_VALUE:
        result = host.ioctl_value(c.host_fd, request, arg)
        if request == _TIOCSIG:
            host_may_have_signalled()
        return result
    if request == _TIOCGPTPEER:
        return _open_peer(task, end, arg)
    if request == _TIOCSTI:
        if not isinstance(end, Terminal) or task.cred.cap_effective & 1 << 21:  # CAP_SYS_ADMIN
            raise EIO("legacy_tiocsti is 0")
        raise EPERM("TIOCSTI")
    raise ENOTTY(f"terminal request {request:#x}")


def _open_peer(task: Task, end: object, flags: int) -> int:
    if not isinstance(end, PtyMaster):
        raise EIO("not a master")
    c = end.pty.open_peer(flags & (os.O_ACCMODE | O_NONBLOCK))
    try:
        place = resolve(task, AT_FDCWD, b"/dev/pts/%d" % end.pty.index).dentry
    except LinuxError:
        place = None
    if place is not None:  # its name, where devpts is mounted as usual; the terminal is opened in any case
        attach(c, place)
    return task.fd_table.alloc(c, cloexec=bool(flags & os.O_CLOEXEC))


def _read_out(task: Task, c: CDescription, request: int, address: UserAddr, size: int) -> int:
    value = bytearray(size)
    result = host.ioctl(c.host_fd, request, value)
    task.memory.write(address, bytes(value))
    return result

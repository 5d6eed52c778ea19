"""Host calls that Python's os module lacks, typed, raising LinuxError.

Owns the call numbers and struct layouts of these calls. Does not decide who may make them: the sentry's own filter
does (sandbox/lockdown lists them). None of them waits: every descriptor that comes here is non-blocking.
"""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import check
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Buffer = bytes | bytearray | memoryview

# x86-64 numbers (syscall_tables/x86_64.tbl).
_CONNECT, _ACCEPT4, _BIND, _SENDMSG, _RECVMSG = 42, 288, 49, 46, 47
_GETSOCKNAME, _GETPEERNAME, _SETSOCKOPT, _GETSOCKOPT = 51, 52, 54, 55
_SOCKET, _LISTEN, _SHUTDOWN, _SOCKETPAIR = 41, 50, 48, 53
_EPOLL_CREATE1, _EPOLL_CTL, _EPOLL_WAIT = 291, 233, 232
_TIMERFD_CREATE, _TIMERFD_SETTIME, _TIMERFD_GETTIME = 283, 286, 287
_POLL, _FALLOCATE, _TEE, _IOCTL = 7, 285, 276, 16
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_PRLIMIT64 = 302

_POLLFD = Struct("=iHH")
_EPOLL_EVENT = Struct("=IQ")  # packed on x86-64
_MSGHDR = Struct("=QIIQQQQII")
_IOVEC = Struct("=QQ")
_INT = Struct("=i")
_RLIMIT = Struct("=QQ")

SOCK_NONBLOCK, SOCK_CLOEXEC = 0o4000, 0o2000000


def address_of(buffer: Buffer) -> int:
    """Address of a buffer's bytes; the caller keeps the buffer alive during the call."""
    return int(ffi.cast("uintptr_t", ffi.from_buffer(buffer)))


def _call(nr: int, *args: int) -> int:
    padded = args + (0,) * (6 - len(args))
    return check(lib.host_syscall(nr, *[value & 0xFFFFFFFFFFFFFFFF for value in padded]))


def prlimit(pid: int, number: int, new: tuple[int, int] | None = None) -> tuple[int, int]:
    """(soft, hard) of a host process before, (1 << 64) - 1: none; pid 0: our own. prlimit(2)."""
    old = bytearray(_RLIMIT.size)
    wanted = b"" if new is None else _RLIMIT.pack(*new)
    _call(_PRLIMIT64, pid, number, address_of(wanted) if wanted else 0, address_of(old))
    soft, hard = _RLIMIT.unpack(old)
    return soft, hard


# ---- readiness --------------------------------------------------------------------------------------------------


def poll_now(wants: Sequence[tuple[int, int]]) -> list[int]:
    """revents of each (host descriptor, events), without waiting. Error bits are always reported: poll(2)."""
    if not wants:
        return []
    size = _POLLFD.size
    table = bytearray(size * len(wants))
    for index, (fd, events) in enumerate(wants):
        _POLLFD.pack_into(table, index * size, fd, events & 0xFFFF, 0)
    _call(_POLL, address_of(table), len(wants), 0)
    return [revents for _, _, revents in _POLLFD.iter_unpack(table)]


def epoll_create() -> int:
    """A host epoll instance."""
    return _call(_EPOLL_CREATE1, SOCK_CLOEXEC)


def epoll_ctl(epoll_fd: int, operation: int, fd: int, events: int, data: int) -> None:
    """epoll_ctl(2) with the 64 bits of data that Python's select.epoll keeps for itself."""
    event = bytearray(_EPOLL_EVENT.pack(events, data))
    _call(_EPOLL_CTL, epoll_fd, operation, fd, address_of(event))


def epoll_wait_now(epoll_fd: int, limit: int) -> bytes:
    """Up to `limit` events as packed struct epoll_event, what is there now."""
    events = bytearray(_EPOLL_EVENT.size * limit)
    count = _call(_EPOLL_WAIT, epoll_fd, address_of(events), limit, 0)
    return bytes(events[: count * _EPOLL_EVENT.size])


# ---- timers, files ----------------------------------------------------------------------------------------------


def timerfd_create(clock: int, flags: int) -> int:
    """timerfd_create(2); `flags` as the host takes them."""
    return _call(_TIMERFD_CREATE, clock, flags)


def timerfd_settime(fd: int, flags: int, spec: bytes) -> bytes:
    """Arms with a packed struct itimerspec; returns the old one."""
    new, old = bytearray(spec), bytearray(32)
    _call(_TIMERFD_SETTIME, fd, flags, address_of(new), address_of(old))
    return bytes(old)


def timerfd_gettime(fd: int) -> bytes:
    """The packed struct itimerspec of what is left."""
    current = bytearray(32)
    _call(_TIMERFD_GETTIME, fd, address_of(current))
    return bytes(current)


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2), without glibc's emulation."""
    _call(_FALLOCATE, fd, mode, offset, length)


def tee(source: int, target: int, length: int) -> int:
    """Copies pipe content without taking it: tee(2), never waiting."""
    return _call(_TEE, source, target, length, 2)  # SPLICE_F_NONBLOCK


def ioctl(fd: int, request: int, argument: bytearray) -> int:
    """ioctl(2) on a buffer, changed in place."""
    return _call(_IOCTL, fd, request, address_of(argument))


def ioctl_value(fd: int, request: int, argument: int) -> int:
    """ioctl(2) whose argument is a plain number."""
    return _call(_IOCTL, fd, request, argument)


def detached_tmpfs(size_bytes: int = 0) -> int:
    """A directory descriptor of a tmpfs that is mounted nowhere (before the lock-up; needs CAP_SYS_ADMIN in the
    namespace). Paths below it lead nowhere else. size_bytes: 0: no limit."""
    kind = bytearray(b"tmpfs\0")
    limits = ((bytearray(b"size\0"), bytearray(b"%d\0" % size_bytes)), (bytearray(b"nr_inodes\0"), bytearray(b"0\0")))
    context = _call(_FSOPEN, address_of(kind), 1)  # FSOPEN_CLOEXEC
    for option, limit in limits:
        _call(_FSCONFIG, context, 1, address_of(option), address_of(limit), 0)  # FSCONFIG_SET_STRING
    _call(_FSCONFIG, context, 6, 0, 0, 0)  # FSCONFIG_CMD_CREATE
    return _call(_FSMOUNT, context, 1, 0x06)  # FSMOUNT_CLOEXEC; nosuid, nodev


# ---- sockets: addresses stay the bytes of struct sockaddr ---------------------------------------------------------


def socket(family: int, kind: int, protocol: int) -> int:
    """A non-blocking host socket."""
    return _call(_SOCKET, family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)


def socketpair(family: int, kind: int, protocol: int) -> tuple[int, int]:
    """Two connected non-blocking host sockets."""
    pair = bytearray(8)
    _call(_SOCKETPAIR, family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol, address_of(pair))
    first, second = Struct("=ii").unpack(pair)
    return first, second


def bind(fd: int, address: bytes) -> None:
    """bind(2). Two bytes of AF_UNIX let the host choose an abstract name (unix(7), autobind)."""
    buffer = bytearray(address)
    _call(_BIND, fd, address_of(buffer), len(buffer))


def connect(fd: int, address: bytes) -> None:
    """connect(2); EINPROGRESS, or EAGAIN for AF_UNIX, where it would wait."""
    buffer = bytearray(address)
    _call(_CONNECT, fd, address_of(buffer), len(buffer))


def listen(fd: int, backlog: int) -> None:
    """listen(2)."""
    _call(_LISTEN, fd, backlog)


def shutdown(fd: int, how: int) -> None:
    """shutdown(2)."""
    _call(_SHUTDOWN, fd, how)


def accept(fd: int) -> tuple[int, bytes]:
    """The next connection (non-blocking) and its peer's address; EAGAIN if there is none."""
    address, length = bytearray(128), bytearray(_INT.pack(128))
    accepted = _call(_ACCEPT4, fd, address_of(address), address_of(length), SOCK_NONBLOCK | SOCK_CLOEXEC)
    return accepted, bytes(address[: min(_INT.unpack(length)[0], 128)])


def getsockname(fd: int) -> bytes:
    """Own address."""
    return _name(_GETSOCKNAME, fd)


def getpeername(fd: int) -> bytes:
    """The peer's address; ENOTCONN."""
    return _name(_GETPEERNAME, fd)


def _name(nr: int, fd: int) -> bytes:
    address, length = bytearray(128), bytearray(_INT.pack(128))
    _call(nr, fd, address_of(address), address_of(length))
    return bytes(address[: min(_INT.unpack(length)[0], 128)])


def getsockopt(fd: int, level: int, option: int, size: int) -> bytes:
    """The value, at most `size` bytes."""
    value, length = bytearray(max(size, 1)), bytearray(_INT.pack(size))
    _call(_GETSOCKOPT, fd, level, option, address_of(value), address_of(length))
    return bytes(value[: _INT.unpack(length)[0]])


def setsockopt(fd: int, level: int, option: int, value: bytes) -> None:
    """Sets an option to these bytes."""
    buffer = bytearray(value)
    _call(_SETSOCKOPT, fd, level, option, address_of(buffer) if value else 0, len(value))


def sendmsg(fd: int, data: Buffer, address: bytes = b"", control: bytes = b"", flags: int = 0) -> int:
    """sendmsg(2) of one buffer. MSG_DONTWAIT | MSG_NOSIGNAL are always added."""
    name, extra = bytearray(address), bytearray(control)
    vector = bytearray(_IOVEC.pack(address_of(data), len(data)))
    name_at, extra_at = address_of(name) if address else 0, address_of(extra) if control else 0
    header = bytearray(_MSGHDR.pack(name_at, len(name), 0, address_of(vector), 1, extra_at, len(extra), 0, 0))
    return _call(_SENDMSG, fd, address_of(header), flags | 0x4040)


def recvmsg(fd: int, into: bytearray, control_size: int = 0, flags: int = 0) -> tuple[int, bytes, bytes, int]:
    """(count, address, control, msg_flags) of one recvmsg(2) into a buffer. MSG_DONTWAIT and, for
    descriptors that come along, MSG_CMSG_CLOEXEC are always added. With MSG_TRUNC the count may exceed the buffer."""
    name, extra = bytearray(128), bytearray(control_size)
    vector = bytearray(_IOVEC.pack(address_of(into), len(into)))
    extra_at = address_of(extra) if extra else 0
    header = bytearray(_MSGHDR.pack(address_of(name), len(name), 0, address_of(vector), 1, extra_at, len(extra), 0, 0))
    count = _call(_RECVMSG, fd, address_of(header), flags | 0x40000040)
    _, name_size, _, _, _, _, control_used, message_flags, _ = _MSGHDR.unpack(header)
    return count, bytes(name[: min(name_size, 128)]), bytes(extra[:control_used]), message_flags

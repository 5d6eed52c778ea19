"""socket(2), bind(2), connect(2), accept(2), send(2), recv(2) and kin: arguments in, addresses and messages out."""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EAFNOSUPPORT, EBADF, EFAULT, EINVAL, EMSGSIZE, ENOBUFS, ENOTSOCK, EOPNOTSUPP, LinuxError
from pysentry.kernel.description import MAX_RW_COUNT, description_of
from pysentry.kernel.poll import deadline_after
from pysentry.kernel.wait import Interrupted
from pysentry.net import rights
from pysentry.net.netlink import AF_NETLINK, open_netlink
from pysentry.net.options import MAX_VALUE_SIZE
from pysentry.net.socket import AF_INET, AF_INET6, AF_UNIX, MSG_DONTWAIT, Socket, open_inet
from pysentry.net.unix import open_pair, open_unix
from pysentry.platform.native import lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_INT32, _INT32_PAIR, _TIMESPEC = Struct("=i"), Struct("=ii"), Struct("=qq")
_MSGHDR = Struct("=QI4xQQQQi4x")  # name, namelen, iov, iovlen, control, controllen, flags
_MMSGHDR_SIZE = 64
_MSG_LEN_AT = 56
_NAMELEN_AT, _CONTROLLEN_AT, _FLAGS_AT = 8, 40, 48
_SOCK_NONBLOCK, _SOCK_CLOEXEC, _TYPE_MASK = os.O_NONBLOCK, os.O_CLOEXEC, 0xF
_MAX_ADDRESS = 128  # sizeof(struct sockaddr_storage)
_MAX_CONTROL = 1 << 16
_UIO_MAXIOV = 1024
_TASK_SIZE = 0x7FFFFFFFF000
_MSG_WAITFORONE = 0x10000


def _socket(task: Task, fd: int) -> Socket:
    c = task.fd_table.get(fd)
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    found = description_of(c)
    if not isinstance(found, Socket):
        raise ENOTSOCK(f"descriptor {fd}")
    return found


def _kind(value: int) -> int:
    if value & ~(_TYPE_MASK | _SOCK_NONBLOCK | _SOCK_CLOEXEC):
        raise EINVAL("type flags")
    return value & _TYPE_MASK


# ---- making and naming --------------------------------------------------------------------------------------------


@syscall
def socket(task: Task, domain: int, type: int, protocol: int) -> int:
    made = _open(task, domain, _kind(type), protocol, type)
    return task.fd_table.alloc(made.c, cloexec=bool(type & _SOCK_CLOEXEC))


def _open(task: Task, domain: int, kind: int, protocol: int, status: int) -> Socket:
    """A socket of any family there is. EAFNOSUPPORT: of another one."""
    if domain == AF_UNIX:
        return open_unix(task, kind, protocol, status)
    if domain in (AF_INET, AF_INET6):
        return open_inet(domain, kind, protocol, status)
    if domain == AF_NETLINK:
        return open_netlink(kind, protocol, status)
    raise EAFNOSUPPORT(f"family {domain}")


@syscall
def socketpair(task: Task, domain: int, type: int, protocol: int, sv: UserAddr) -> int:
    kind = _kind(type)
    with task.fd_table.reserve(2, cloexec=bool(type & _SOCK_CLOEXEC)) as slots:
        task.memory.write(sv, _INT32_PAIR.pack(*slots.fds))
        if domain != AF_UNIX:
            made = _open(task, domain, kind, protocol, type)  # as Linux: what cannot be made at all says so first
            lib.desc_unref(made.c)
            raise EOPNOTSUPP("socketpair")
        first, second = open_pair(task, kind, protocol, type)
        slots.install(first.c, second.c)
    return 0


@syscall
def bind(task: Task, fd: int, addr: UserAddr, addrlen: int) -> int:
    found = _socket(task, fd)
    found.bind(task, _read_address(task, addr, addrlen))
    return 0


@syscall
def listen(task: Task, fd: int, backlog: int) -> int:
    _socket(task, fd).listen(task, backlog)
    return 0


@syscall
async def connect(task: Task, fd: int, addr: UserAddr, addrlen: int) -> int:
    found = _socket(task, fd)
    await found.connect(task, _read_address(task, addr, addrlen))
    return 0


@syscall
async def accept(task: Task, fd: int, addr: UserAddr, addrlen: UserAddr) -> int:
    return await accept4(task, fd, addr, addrlen, 0)


@syscall
async def accept4(task: Task, fd: int, addr: UserAddr, addrlen: UserAddr, flags: int) -> int:
    if task.fd_table.get(fd).kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    if flags & ~(_SOCK_NONBLOCK | _SOCK_CLOEXEC):
        raise EINVAL("accept4 flags")
    with task.fd_table.reserve(1, cloexec=bool(flags & _SOCK_CLOEXEC)) as slots:  # EMFILE loses no connection
        accepted, address = await _socket(task, fd).accept(task, flags & _SOCK_NONBLOCK)
        try:
            if addr:
                _write_address(task, address, addr, addrlen)
        except LinuxError:  # the connection is lost, as in Linux
            lib.desc_unref(accepted)
            raise
        slots.install(accepted)
    return slots.fds[0]


@syscall
def getsockname(task: Task, fd: int, addr: UserAddr, addrlen: UserAddr) -> int:
    _write_address(task, _socket(task, fd).own_name(), addr, addrlen)
    return 0


@syscall
def getpeername(task: Task, fd: int, addr: UserAddr, addrlen: UserAddr) -> int:
    _write_address(task, _socket(task, fd).peer_name(), addr, addrlen)
    return 0


@syscall
def shutdown(task: Task, fd: int, how: int) -> int:
    _socket(task, fd).shutdown(how)
    return 0


@syscall
def getsockopt(task: Task, fd: int, level: int, optname: int, optval: UserAddr, optlen: UserAddr) -> int:
    found = _socket(task, fd)
    (size,) = task.memory.read_struct(optlen, _INT32)
    if size < 0:
        raise EINVAL("optlen")
    value = found.get_option(task, level, optname, min(size, MAX_VALUE_SIZE))
    task.memory.write(optval, value)
    task.memory.write_struct(optlen, _INT32, len(value))
    return 0


@syscall
def setsockopt(task: Task, fd: int, level: int, optname: int, optval: UserAddr, optlen: int) -> int:
    if optlen < 0:
        raise EINVAL("optlen")
    found = _socket(task, fd)
    found.set_option(task, level, optname, task.memory.read(optval, min(optlen, MAX_VALUE_SIZE)) if optlen else b"")
    return 0


# ---- sending --------------------------------------------------------------------------------------------------------


@syscall
async def sendto(task: Task, fd: int, buf: UserAddr, length: int, flags: int, addr: UserAddr, addrlen: int) -> int:
    length = min(length, MAX_RW_COUNT)  # before it is looked where that ends: import_ubuf()
    if buf + length > _TASK_SIZE:
        raise EFAULT("beyond user memory")
    found = _socket(task, fd)
    address = _read_address(task, addr, addrlen) if addr else b""
    return await found.send(task, [(buf, length)], flags, address, b"")


@syscall
async def sendmsg(task: Task, fd: int, msg: UserAddr, flags: int) -> int:
    return await _send_message(task, _socket(task, fd), msg, flags)


@syscall
async def sendmmsg(task: Task, fd: int, msgvec: UserAddr, vlen: int, flags: int) -> int:
    found = _socket(task, fd)
    sent = 0
    try:
        for at in range(msgvec, msgvec + min(vlen, _UIO_MAXIOV) * _MMSGHDR_SIZE, _MMSGHDR_SIZE):
            count = await _send_message(task, found, at, flags)
            task.memory.write_struct(at + _MSG_LEN_AT, _INT32, count)
            sent += 1
    except (LinuxError, Interrupted):
        if not sent:
            raise
    return sent


async def _send_message(task: Task, found: Socket, msg: UserAddr, flags: int) -> int:
    name, name_size, vectors, control, control_size, _ = _read_header(task, msg)
    address = _read_address(task, name, name_size) if name and name_size else b""
    if control_size > _MAX_CONTROL:
        raise ENOBUFS("control")
    extra = task.memory.read(control, control_size) if control_size else b""
    return await found.send(task, vectors, flags, address, extra)


# ---- receiving ------------------------------------------------------------------------------------------------------


@syscall
async def recvfrom(
    task: Task, fd: int, buf: UserAddr, length: int, flags: int, addr: UserAddr, addrlen: UserAddr
) -> int:
    length = min(length, MAX_RW_COUNT)
    if buf + length > _TASK_SIZE:
        raise EFAULT("beyond user memory")
    got = await _socket(task, fd).receive(task, [(buf, length)], flags, 0)
    if addr:
        _write_address(task, got.address, addr, addrlen)
    return got.count


@syscall
async def recvmsg(task: Task, fd: int, msg: UserAddr, flags: int) -> int:
    return await _receive_message(task, _socket(task, fd), msg, flags)


@syscall
async def recvmmsg(task: Task, fd: int, msgvec: UserAddr, vlen: int, flags: int, timeout: UserAddr) -> int:
    """The timeout is looked at after each message only: recvmmsg(2), BUGS."""
    found = _socket(task, fd)
    deadline_ns = deadline_after(*task.memory.read_struct(timeout, _TIMESPEC)) if timeout else None
    received = 0
    try:
        for at in range(msgvec, msgvec + min(vlen, _UIO_MAXIOV) * _MMSGHDR_SIZE, _MMSGHDR_SIZE):
            count = await _receive_message(task, found, at, flags & ~_MSG_WAITFORONE)
            task.memory.write_struct(at + _MSG_LEN_AT, _INT32, count)
            received += 1
            if flags & _MSG_WAITFORONE:
                flags |= MSG_DONTWAIT
            if deadline_ns is not None and lib.sentry_now_ns() >= deadline_ns:
                break
    except (LinuxError, Interrupted):
        if not received:
            raise
    return received


async def _receive_message(task: Task, found: Socket, msg: UserAddr, flags: int) -> int:
    name, name_size, vectors, control, control_size, _ = _read_header(task, msg)
    got = await found.receive(task, vectors, flags, min(control_size, _MAX_CONTROL))
    memory = task.memory
    try:
        if name:
            memory.write(name, got.address[: min(name_size, len(got.address))])
            memory.write_struct(msg + _NAMELEN_AT, _INT32, len(got.address))
        if got.control:
            memory.write(control, got.control)
    except EFAULT:
        if found.family == AF_UNIX:
            rights.take_back(task, got.control)
        raise
    memory.write_struct(msg + _FLAGS_AT, _INT32, got.flags)
    memory.write(msg + _CONTROLLEN_AT, len(got.control).to_bytes(8, "little"))
    return got.count


# ---- what they share ----


def _read_header(task: Task, msg: UserAddr) -> tuple[UserAddr, int, Sequence[tuple[int, int]], UserAddr, int, int]:
    """struct user_msghdr: name, size, vectors, control, size, flags: copy_msghdr_from_user() of net/socket.c."""
    name, name_size, iov, iov_count, control, control_size, flags = task.memory.read_struct(msg, _MSGHDR)
    if name_size >= 1 << 31:
        raise EINVAL("msg_namelen")
    if iov_count > _UIO_MAXIOV:
        raise EMSGSIZE("msg_iovlen")
    vectors = task.memory.read_iovecs(iov, iov_count)
    return name, min(name_size, _MAX_ADDRESS), vectors, control, control_size, flags


def _read_address(task: Task, address: UserAddr, size: int) -> bytes:
    """struct sockaddr of the program's size. EINVAL: no size for an address."""
    if not 0 <= size <= _MAX_ADDRESS:
        raise EINVAL("addrlen")
    return task.memory.read(address, size) if size else b""


def _write_address(task: Task, value: bytes, address: UserAddr, size_at: UserAddr) -> None:
    """Copies as much as fits and says how long it is: move_addr_to_user() of net/socket.c."""
    (room,) = task.memory.read_struct(size_at, _INT32)
    if room < 0:
        raise EINVAL("addrlen")
    fitting = value[: min(room, len(value))]
    if fitting:
        task.memory.write(address, fitting)
    task.memory.write_struct(size_at, _INT32, len(value))

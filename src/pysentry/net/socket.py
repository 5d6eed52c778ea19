"""Sockets: what all families share, and AF_INET and AF_INET6 complete.

Owns blocking, timeouts, MSG_* flags, options and the socket ioctls. Behind each socket is a non-blocking host socket in
the sandbox's network namespace; addresses stay the bytes of struct sockaddr. AF_UNIX names and descriptors in
messages are net/unix. Host sockets know SO_RCVTIMEO and SO_SNDTIMEO but never wait; who waits here asks them how long.
"""

from __future__ import annotations

import os
import time
from struct import Struct

from pysentry.abi.capability import CAP_NET_BIND_SERVICE
from pysentry.abi.errno import (
    EACCES,
    EAGAIN,
    EALREADY,
    EFAULT,
    EINPROGRESS,
    EINTR,
    EINVAL,
    EISCONN,
    EMSGSIZE,
    ENOTCONN,
    ENOTTY,
    EPERM,
    EPIPE,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
    LinuxError,
    host_errors,
)
from pysentry.kernel import host, sysctl
from pysentry.kernel.description import (
    CHUNK,
    KINDS,
    O_NONBLOCK,
    POLLIN,
    POLLOUT,
    POLLPRI,
    SIGPIPE,
    Description,
    adopt,
    new_description,
    skip,
)
from pysentry.kernel.wait import Interrupted, wait_ready
from pysentry.net import options
from pysentry.net.control import pack, parse
from pysentry.net.interfaces import IFREQ_SIZE, change_interface
from pysentry.net.options import (
    SO_DOMAIN,
    SO_LINGER,
    SO_PROTOCOL,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
    SO_TYPE,
    SOL_SOCKET,
)
from pysentry.net.policy import check_egress
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

    Iovecs = Sequence[tuple[int, int]]

AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6 = 0, 1, 2, 10
SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET = 1, 2, 3, 5
_SOCK_PACKET, _IPPROTO_MAX = 10, 263
MSG_OOB, MSG_PEEK, MSG_DONTROUTE, MSG_CTRUNC, MSG_TRUNC, MSG_DONTWAIT = 0x1, 0x2, 0x4, 0x8, 0x20, 0x40
MSG_EOR, MSG_WAITALL, MSG_CONFIRM, MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_MORE = 0x80, 0x100, 0x800, 0x2000, 0x4000, 0x8000
MSG_ZEROCOPY, MSG_FASTOPEN, MSG_CMSG_CLOEXEC = 0x4000000, 0x20000000, 0x40000000
_HOST_SEND_FLAGS = MSG_OOB | MSG_DONTROUTE | MSG_EOR | MSG_CONFIRM | MSG_MORE
_HOST_RECEIVE_FLAGS = MSG_OOB | MSG_PEEK | MSG_TRUNC | MSG_ERRQUEUE
_SMALLEST_ADDRESS = 16  # sizeof(struct sockaddr_in)
_LARGEST_MESSAGE = 1 << 24
_INT32, _TIMEVAL, _LINGER = Struct("=i"), Struct("=qq"), Struct("=ii")
_RETRY_NS = 5_000_000  # where the host has no event for "try again"


class Message:
    """What one recvmsg(2) got."""

    __slots__ = ("address", "control", "count", "flags")

    def __init__(self, count: int, address: bytes, control: bytes, flags: int) -> None:
        self.count, self.address, self.control, self.flags = count, address, control, flags


class Socket(Description):
    """A socket of any family; complete for AF_INET and AF_INET6."""

    __slots__ = ("family", "linger", "protocol", "type")
    keeps_state = True

    def __init__(self, c: CDescription, family: int = -1, kind: int = -1, protocol: int = 0) -> None:
        super().__init__(c)
        if family < 0:  # one that was given at boot, or that C made
            family = self._ask(SO_DOMAIN)
            kind, protocol = self._ask(SO_TYPE), self._ask(SO_PROTOCOL)
        self.family, self.type, self.protocol = family, kind, protocol
        self.linger: bytes | None = None

    def _ask(self, option: int) -> int:
        return int(_INT32.unpack(host.getsockopt(self.c.host_fd, SOL_SOCKET, option, 4))[0])

    @property
    def is_stream(self) -> bool:
        """Bytes without message boundaries; EPIPE comes with SIGPIPE."""
        return self.type == SOCK_STREAM

    write_piece = 32768  # a page fragment of TCP's, a buffer of AF_UNIX's
    writes_all = is_stream
    signals_epipe = is_stream

    # ---- names and connections ----

    def bind(self, task: Task, address: bytes) -> None:
        """bind(2). EACCES: a low port. The host's namespace lets all of them through, as its root is nobody here."""
        port = int.from_bytes(address[2:4], "big") if self.family in (AF_INET, AF_INET6) else 0
        is_low = 0 < port < sysctl.values[sysctl.UNPRIVILEGED_PORT_START] and len(address) >= _SMALLEST_ADDRESS
        if is_low and not task.has_cap(CAP_NET_BIND_SERVICE):
            raise EACCES(f"port {port}")
        host.bind(self.c.host_fd, address)

    def listen(self, task: Task, backlog: int) -> None:
        """listen(2)."""
        host.listen(self.c.host_fd, backlog)

    async def connect(self, task: Task, address: bytes) -> None:
        """connect(2): waits for the handshake unless the socket is O_NONBLOCK (EINPROGRESS)."""
        await self._connect(task, address, may_wait=not self.is_nonblocking)

    async def _connect(self, task: Task, address: bytes, may_wait: bool) -> None:
        check_egress(self.family, address, is_sending=False)
        try:
            host.connect(self.c.host_fd, address)
            return
        except (EINPROGRESS, EALREADY):
            if not may_wait:
                raise
        timeout_ns = self.timeout_ns(SO_SNDTIMEO)
        deadline_ns = time.monotonic_ns() + timeout_ns if timeout_ns else None
        lib.desc_ref(self.c)
        try:
            while await wait_ready(task, ((self.c, POLLOUT),), deadline_ns):
                try:
                    host.connect(self.c.host_fd, address)  # tells the outcome, and only then is it connected
                    return
                except (EINPROGRESS, EALREADY):
                    continue
            raise EINPROGRESS("connect timeout")
        except Interrupted:
            if timeout_ns:
                raise EINTR from None
            raise
        finally:
            lib.desc_unref(self.c)

    async def accept(self, task: Task, status: int) -> tuple[CDescription, bytes]:
        """The next connection, with `status` (O_NONBLOCK or 0), and its peer's address: accept(2)."""
        host_fd, address = await self.accept_host(task)
        accepted = new_socket(type(self), host_fd, self.family, self.type, self.protocol, status)
        return accepted.c, address

    async def accept_host(self, task: Task) -> tuple[int, bytes]:
        """The host's part of accept, waiting as the description says."""
        try:
            return host.accept(self.c.host_fd)
        except EAGAIN:
            if self.is_nonblocking:
                raise
        with _Timed(self, SO_RCVTIMEO) as deadline_ns:
            return await self.when_ready(task, POLLIN, lambda: host.accept(self.c.host_fd), deadline_ns)

    def own_name(self) -> bytes:
        """getsockname(2)."""
        return host.getsockname(self.c.host_fd)

    def peer_name(self) -> bytes:
        """getpeername(2)."""
        return host.getpeername(self.c.host_fd)

    def shutdown(self, how: int) -> None:
        """shutdown(2)."""
        host.shutdown(self.c.host_fd, how)

    # ---- sending ----

    async def send(self, task: Task, iovs: Iovecs, flags: int, address: bytes, control: bytes) -> int:
        """sendto(2), sendmsg(2): bytes sent. `control`: packed struct cmsghdr, as the program has them."""
        if flags & MSG_FASTOPEN and self.is_stream:
            await self._connect_to_send(task, flags, address)
            address = b""
        if address:
            check_egress(self.family, address, is_sending=True)
        return await self.send_to_host(task, iovs, flags, address, _checked_control(control))

    async def _connect_to_send(self, task: Task, flags: int, address: bytes) -> None:
        """MSG_FASTOPEN to a server without a cookie of ours: the handshake comes first. tcp_sendmsg_fastopen()."""
        if not address:
            try:
                self.peer_name()
            except ENOTCONN:
                raise EINVAL("to whom") from None
            raise EISCONN("connected")
        await self._connect(task, address, may_wait=not (flags & MSG_DONTWAIT or self.is_nonblocking))

    async def send_to_host(self, task: Task, iovs: Iovecs, flags: int, to: bytes, extra: bytes) -> int:
        """Sends with the host's address and control messages. A blocking stream send returns when all is sent."""
        size = sum(length for _, length in iovs)
        if not self.is_stream and size > _LARGEST_MESSAGE:
            raise EMSGSIZE("message")
        done, deadline_ns, timeout_ns, is_held = 0, None, 0, False
        try:
            while True:
                try:
                    wanted = min(size - done, CHUNK) if self.is_stream else size
                    data = task.memory.gather(skip(iovs, done), wanted)
                    if len(data) < wanted:
                        data = data[: len(data) - len(data) % self.write_piece] if self.is_stream else b""
                        if not data:
                            raise EFAULT("a hole")
                    done += host.sendmsg(self.c.host_fd, data, to, extra, flags & _HOST_SEND_FLAGS)
                    extra = b""  # descriptors go with the first byte
                    if not self.is_stream or done >= size:
                        return done
                    continue
                except EAGAIN:
                    if flags & MSG_DONTWAIT or self.is_nonblocking:
                        raise
                except EPIPE:
                    if self.signals_epipe and not flags & MSG_NOSIGNAL:
                        task.send_signal(SIGPIPE)
                    raise
                if not is_held:
                    lib.desc_ref(self.c)
                    is_held = True
                    timeout_ns = self.timeout_ns(SO_SNDTIMEO)
                    deadline_ns = time.monotonic_ns() + timeout_ns if timeout_ns else None
                await self._wait_to_send(task, deadline_ns, bool(to))
        except Interrupted:
            if done:
                return done
            if timeout_ns:
                raise EINTR from None
            raise
        except LinuxError:
            if done:
                return done
            raise
        finally:
            if is_held:
                lib.desc_unref(self.c)

    async def _wait_to_send(self, task: Task, deadline_ns: int | None, has_address: bool) -> None:
        """Until sending may work. An AF_UNIX datagram to a full peer that is not connected has no event: ask again."""
        if has_address and self.family == AF_UNIX:
            retry_ns = time.monotonic_ns() + _RETRY_NS
            if deadline_ns is None or retry_ns < deadline_ns:
                await wait_ready(task, (), retry_ns)
                return
        if not await wait_ready(task, ((self.c, POLLOUT),), deadline_ns):
            raise EAGAIN("send timeout")

    def write_now(self, task: Task, iovs: Iovecs, size: int, offset: int | None, done: int) -> int:
        if self.is_stream:
            return super().write_now(task, iovs, size, offset, done)
        if size > _LARGEST_MESSAGE:
            raise EMSGSIZE("message")
        data = task.memory.gather(iovs, size)
        if len(data) < size:
            raise EFAULT("message")  # all of it or none
        with host_errors():
            return self.host_write(task, data, offset)

    def write_deadline_ns(self) -> int | None:
        timeout_ns = self.timeout_ns(SO_SNDTIMEO)
        return time.monotonic_ns() + timeout_ns if timeout_ns else None

    # ---- receiving ----

    async def receive(self, task: Task, iovs: Iovecs, flags: int, control_size: int) -> Message:
        """recvfrom(2), recvmsg(2): what arrived, placed in the vectors."""
        if self.family not in (AF_INET, AF_INET6):
            flags &= ~MSG_ERRQUEUE  # others have no such queue, and do not look at the flag
        size = sum(length for _, length in iovs)
        done = 0
        buffer = bytearray(min(size, CHUNK if self.is_stream else _LARGEST_MESSAGE))
        events = POLLPRI if flags & MSG_OOB else POLLIN
        is_whole = self.is_stream and flags & MSG_WAITALL and not flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)
        discards = self.is_stream and flags & MSG_TRUNC and self.family != AF_UNIX  # tcp(7): nothing is copied
        may_wait = not (flags & (MSG_DONTWAIT | MSG_ERRQUEUE) or self.is_nonblocking)
        while True:
            try:
                got = await self._receive_once(task, buffer, flags, control_size, events, may_wait)
            except (LinuxError, Interrupted):
                if done:
                    return Message(done, b"", b"", 0)
                raise
            placed = 0 if discards else min(got.count, len(buffer))
            if placed and task.memory.scatter(skip(iovs, done), memoryview(buffer)[:placed]) < placed:
                raise EFAULT("message")
            if not is_whole:
                return got
            done += got.count
            if not got.count or done >= size or not may_wait or got.control:
                got.count = done
                return got
            buffer = bytearray(min(size - done, CHUNK))

    async def _receive_once(
        self, task: Task, buffer: bytearray, flags: int, control_size: int, events: int, may_wait: bool
    ) -> Message:
        def attempt() -> Message:
            got = Message(*host.recvmsg(self.c.host_fd, buffer, control_size, flags & _HOST_RECEIVE_FLAGS))
            got.flags = got.flags & ~MSG_CMSG_CLOEXEC | flags & MSG_CMSG_CLOEXEC
            return got

        try:
            return attempt()
        except EAGAIN:
            if not may_wait:
                raise
        with _Timed(self, SO_RCVTIMEO) as deadline_ns:
            return await self.when_ready(task, events, attempt, deadline_ns)

    async def read(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        try:
            return await super().read(task, iovs, offset, rwf)
        except Interrupted:
            if self.timeout_ns(SO_RCVTIMEO):
                raise EINTR from None
            raise

    def read_deadline_ns(self) -> int | None:
        timeout_ns = self.timeout_ns(SO_RCVTIMEO)
        return time.monotonic_ns() + timeout_ns if timeout_ns else None

    def timeout_ns(self, option: int) -> int:
        """SO_RCVTIMEO or SO_SNDTIMEO; 0: waits without end."""
        seconds, microseconds = _TIMEVAL.unpack(host.getsockopt(self.c.host_fd, SOL_SOCKET, option, _TIMEVAL.size))
        return int(seconds * 1_000_000_000 + microseconds * 1000)

    # ---- options, ioctls ----

    def get_option(self, task: Task, level: int, option: int, size: int) -> bytes:
        """getsockopt(2): the value, at most `size` bytes."""
        if (level, option) == (SOL_SOCKET, SO_LINGER) and self.linger is not None:
            return self.linger[:size]
        if not options.is_readable(level, option):
            raise options.unknown(self.family, self.type, level, is_read=True)
        return host.getsockopt(self.c.host_fd, level, option, size)

    def set_option(self, task: Task, level: int, option: int, value: bytes) -> None:
        """setsockopt(2)."""
        if options.is_privileged(level, option):
            raise EPERM(f"{level}:{option}")
        if not options.is_writable(level, option):
            raise options.unknown(self.family, self.type, level, is_read=False)
        if (level, option) == (SOL_SOCKET, SO_LINGER):
            if len(value) < _LINGER.size:
                raise EINVAL("linger")
            is_on, seconds = _LINGER.unpack(value[: _LINGER.size])
            self.linger = value[: _LINGER.size] if is_on and seconds else None
            if self.linger is not None:
                return  # close() of the host socket would wait
        host.setsockopt(self.c.host_fd, level, option, value)
        if level == SOL_SOCKET and option in options.TIMEOUTS:
            self.c.flags |= lib.DESC_PY_READ | lib.DESC_PY_WRITE  # fast paths wait without end

    async def ioctl(self, task: Task, fd: int, request: int, argument: int) -> int:
        if request in _INT_REQUESTS:
            value = bytearray(4)
            result = host.ioctl(self.c.host_fd, request, value)
            task.memory.write(argument, bytes(value))
            return result
        if request in _INTERFACE_REQUESTS:
            interface = bytearray(task.memory.read(argument, IFREQ_SIZE))
            result = host.ioctl(self.c.host_fd, request, interface)
            task.memory.write(argument, bytes(interface))
            return result
        if request == _SIOCGIFCONF:
            return self._list_interfaces(task, argument)
        if request in _INTERFACE_CHANGES:
            return change_interface(task, self.c.host_fd, request, task.memory.read(argument, IFREQ_SIZE))
        raise ENOTTY(f"socket request {request:#x}")

    def _list_interfaces(self, task: Task, argument: int) -> int:
        """SIOCGIFCONF: struct ifconf names a buffer; NULL asks for the size."""
        length, address = task.memory.read_struct(argument, _IFCONF)
        if length < 0:
            raise EINVAL("ifc_len")
        room = min(length, 1 << 16)
        table = bytearray(room or 1)
        request = bytearray(_IFCONF.pack(room, host.address_of(table) if address else 0))
        host.ioctl(self.c.host_fd, _SIOCGIFCONF, request)
        used, _ = _IFCONF.unpack(request)
        if address:
            task.memory.write(address, bytes(table[:used]))
        task.memory.write_struct(argument, _IFCONF, used, address)
        return 0


class _Timed:
    """The deadline of a wait, from SO_RCVTIMEO. A wait with one is never restarted: socket(7), signal(7)."""

    __slots__ = ("timeout_ns",)

    def __init__(self, socket: Socket, option: int) -> None:
        self.timeout_ns = socket.timeout_ns(option)

    def __enter__(self) -> int | None:
        return time.monotonic_ns() + self.timeout_ns if self.timeout_ns else None

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is Interrupted and self.timeout_ns:
            raise EINTR from None


KINDS[lib.DESC_SOCKET] = Socket

_IFCONF = Struct("=i4xQ")
_SIOCGIFCONF = 0x8912
_INT_REQUESTS = {0x541B, 0x5411, 0x8905}  # SIOCINQ, SIOCOUTQ, SIOCATMARK
# SIOCGIFNAME, FLAGS, ADDR, DSTADDR, BRDADDR, NETMASK, METRIC, MTU, HWADDR, INDEX, TXQLEN, MAP
_INTERFACE_REQUESTS = {
    0x8910, 0x8913, 0x8915, 0x8917, 0x8919, 0x891B, 0x891D, 0x8921, 0x8927, 0x8933, 0x8942, 0x8970,
}  # fmt: skip
_INTERFACE_CHANGES = {0x8914, 0x8916, 0x8918, 0x891A, 0x891C, 0x891E, 0x8922, 0x8924, 0x8923, 0x8943, 0x8971}
_CONTROL_OF_UNIX = {(SOL_SOCKET, 1), (SOL_SOCKET, 2)}  # RIGHTS, CREDENTIALS
_CONTROL_ALLOWED = {(0, 1), (0, 2), (0, 8), (41, 50), (41, 52), (41, 67), (17, 103)}  # TOS, TTL, PKTINFO, UDP_SEGMENT


def _checked_control(control: bytes) -> bytes:
    """Control messages of an AF_INET send: those that are about the packet alone. EINVAL for others, but what is
    AF_UNIX's means nothing here: __sock_cmsg_send() of net/core/sock.c."""
    kept = b""
    for level, kind, data in parse(control):
        if (level, kind) in _CONTROL_ALLOWED:
            kept += pack(level, kind, data)
        elif (level, kind) not in _CONTROL_OF_UNIX:
            raise EINVAL(f"control message {level}:{kind}")
    return kept


def new_socket(
    cls: type[Socket], host_fd: int, family: int, kind: int, protocol: int, status: int
) -> Socket:
    """The description of a host socket; `status`: O_NONBLOCK or 0."""
    c = new_description(lib.DESC_SOCKET, host_fd, os.O_RDWR | status, Description).c
    if family in (AF_INET, AF_INET6):
        c.flags |= lib.DESC_INET
    made = cls(c, family, kind, protocol)
    adopt(made)
    return made


def open_inet(family: int, kind: int, protocol: int, status: int) -> Socket:
    """socket(2) for AF_INET and AF_INET6. EPERM: raw sockets, which must name a protocol, and packet sockets by their
    old name. DCCP is as unknown as to Linux since 6.16. Which errno wins: inet_create() of net/ipv4/af_inet.c."""
    if kind == _SOCK_PACKET and family == AF_INET:
        raise EPERM("packet sockets")
    if not 0 <= protocol < _IPPROTO_MAX:
        raise EINVAL("protocol")
    if kind == SOCK_RAW:
        if not protocol:
            raise EPROTONOSUPPORT("raw sockets of no protocol")
        raise EPERM("raw sockets")
    if kind not in (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET):
        raise ESOCKTNOSUPPORT("type")
    host_fd = host.socket(family, kind, protocol)
    return new_socket(Socket, host_fd, family, kind, protocol, status & O_NONBLOCK)



"""AF_NETLINK sockets of the NETLINK_ROUTE protocol, for reading: what getifaddrs(3) and `ip` need. rtnetlink(7).

Behind each is a host socket in the sandbox's network namespace, so the answers are the host kernel's. Port ids are
virtual: the host numbers its sockets after the sentry. Only requests that read are passed on; of any other the host
gets the header alone, and refuses it as it refuses everybody without CAP_NET_ADMIN (which the sentry never has). One
that asks for what is so already (net/interfaces.py) reaches it as a message that says nothing, and is acknowledged.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import (
    EADDRINUSE,
    EFAULT,
    EINVAL,
    EMSGSIZE,
    EOPNOTSUPP,
    EPERM,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
    LinuxError,
    host_errors,
)
from pysentry.kernel import host
from pysentry.kernel.description import O_NONBLOCK
from pysentry.net.interfaces import changes_no_link
from pysentry.net.socket import AF_UNIX, MSG_OOB, SOCK_DGRAM, SOCK_RAW, Message, Socket, new_socket
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

    Iovecs = Sequence[tuple[int, int]]

AF_UNSPEC, AF_NETLINK, NETLINK_ROUTE = 0, 16, 0
_ADDRESS = Struct("=HxxII")  # struct sockaddr_nl: family, port id, groups
_HEADER = Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
_PORT_AT = 12
_UINT32 = Struct("=I")
_NOOP, _NEW_LINK = 1, 16
_FIRST_REQUEST, _KINDS, _DELETE = 16, 4, 1  # RTM_BASE; four kinds of request to a subject: new, delete, get, set
# RTM_GET of LINK, ADDR, ROUTE, NEIGH, RULE, QDISC, TCLASS, TFILTER, MULTICAST, ANYCAST, NEIGHTBL, ADDRLABEL, NETCONF,
# MDB, STATS, NEXTHOP. Not of NSID: it names namespaces by the sentry's descriptors.
_READS = frozenset((18, 22, 26, 30, 34, 38, 42, 46, 58, 62, 66, 74, 82, 86, 94, 106))
_LARGEST_REQUEST = 1 << 16
_FIRST_OTHER_PORT = 0xFFFFEFFF  # a process' second socket: netlink_autobind() counts down from -4097

_ports: dict[int, NetlinkSocket] = {}


def _aligned(size: int) -> int:
    return size + 3 & ~3


class NetlinkSocket(Socket):
    """One socket. `port`: its virtual port id, 0 while it is not bound; `host_port`: the host's."""

    __slots__ = ("cookies_fd", "host_port", "port")

    def __init__(self, c: CDescription, family: int = -1, kind: int = -1, protocol: int = 0) -> None:
        super().__init__(c, family, kind, protocol)
        self.port = self.host_port = 0
        self.cookies_fd = -1
        c.flags |= lib.DESC_PY_READ | lib.DESC_PY_WRITE

    def bind(self, task: Task, address: bytes) -> None:
        _, port, groups = _parse_address(address)
        if self.port and port not in (0, self.port):
            raise EINVAL("bound already")
        if not self.port and port in _ports:
            raise EADDRINUSE("port id")
        host.bind(self.c.host_fd, _ADDRESS.pack(AF_NETLINK, self.host_port, groups))
        self._take_port(task, port)

    def _take_port(self, task: Task, wanted: int) -> None:
        """A virtual port id, when the host has given the socket one of its own."""
        if self.port:
            return
        port = wanted or task.group.pid
        candidate = _FIRST_OTHER_PORT
        while port in _ports:
            port, candidate = candidate, candidate - 1
        _, self.host_port, _ = _ADDRESS.unpack(host.getsockname(self.c.host_fd))
        self.port = port
        _ports[port] = self

    def _autobind(self, task: Task) -> None:
        if not self.port:
            self.bind(task, _ADDRESS.pack(AF_NETLINK, 0, 0))

    async def connect(self, task: Task, address: bytes) -> None:
        if len(address) >= 2 and int.from_bytes(address[:2], "little") == AF_UNSPEC:
            return
        _, port, groups = _parse_address(address)
        if port or groups:
            raise EPERM("only the kernel can be talked to")
        self._autobind(task)

    def own_name(self) -> bytes:
        _, _, groups = _ADDRESS.unpack(host.getsockname(self.c.host_fd))
        return _ADDRESS.pack(AF_NETLINK, self.port, groups)

    def peer_name(self) -> bytes:
        return _ADDRESS.pack(AF_NETLINK, 0, 0)

    async def send(self, task: Task, iovs: Iovecs, flags: int, address: bytes, control: bytes) -> int:
        if flags & MSG_OOB:
            raise EOPNOTSUPP("MSG_OOB")
        if address:
            _, port, groups = _parse_address(address)
            if port or groups:
                raise EPERM("only the kernel can be talked to")
        if control:
            raise EINVAL("control messages")
        self._autobind(task)
        size = sum(length for _, length in iovs)
        if size > _LARGEST_REQUEST:
            raise EMSGSIZE("request")
        data = task.memory.gather(iovs, size)
        if len(data) < size:
            raise EFAULT("request")
        host.sendmsg(self.c.host_fd, self._readable_only(task, data), _ADDRESS.pack(AF_NETLINK, 0, 0))
        return size

    def _readable_only(self, task: Task, data: bytes) -> bytes:
        """The datagram with every request that does not read cut down to its header and one byte, which the host needs
        to refuse it."""
        parts = []
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, flags, sequence, port = _HEADER.unpack_from(data, at)
            if length < _HEADER.size or at + length > len(data):
                break
            message = data[at : at + length]
            if kind == _NEW_LINK and changes_no_link(task, self.c.host_fd, message):
                message = _HEADER.pack(_HEADER.size, _NOOP, flags, sequence, port)
            elif kind >= _FIRST_REQUEST and kind not in _READS:
                refused = kind if (kind - _FIRST_REQUEST) % _KINDS < 2 else kind - kind % _KINDS + _DELETE
                head = _HEADER.pack(_HEADER.size + 1, refused, flags, sequence, port)
                message = head + message[16:17].ljust(1, b"\0")
            parts.append(message.ljust(_aligned(len(message)), b"\0"))
            at += _aligned(length)
        return b"".join(parts)

    async def write(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        return await self.send(task, iovs, 0, b"", b"")

    async def read(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        return (await self.receive(task, iovs, 0, 0)).count

    async def _receive_once(
        self, task: Task, buffer: bytearray, flags: int, control_size: int, events: int, may_wait: bool
    ) -> Message:
        got = await super()._receive_once(task, buffer, flags, control_size, events, may_wait)
        if self.cookies_fd >= 0:
            got.address = self.peer_name()
        else:
            self._translate(buffer, min(got.count, len(buffer)))
        return got

    def _translate(self, buffer: bytearray, size: int) -> None:
        """The host's port id becomes the virtual one in every whole header."""
        at = 0
        while at + _HEADER.size <= size:
            length, _, _, _, port = _HEADER.unpack_from(buffer, at)
            if port == self.host_port:
                _UINT32.pack_into(buffer, at + _PORT_AT, self.port)
            at += max(_aligned(length), _HEADER.size)

    def sender(self) -> Callable[[bytes], None]:
        """Puts messages into the socket's queue, for mq_notify(2). Nobody can send to a host socket of this kind, so
        from now on it is the end of a pair; the kernel has no other use for it."""
        if self.cookies_fd < 0:
            own_end, self.cookies_fd = host.socketpair(AF_UNIX, SOCK_DGRAM, 0)
            with host_errors():
                os.dup2(own_end, self.c.host_fd, inheritable=False)
                os.close(own_end)
            self.c.flags &= ~lib.DESC_IN_EPOLL
            waiter = self.c.waiters
            while waiter != ffi.NULL:
                lib.task_wake(waiter.task)
                waiter = waiter.next

        def send(message: bytes) -> None:
            try:
                host.sendmsg(self.cookies_fd, message)
            except LinuxError:
                pass  # it was closed, or nobody reads

        return send

    def closed(self) -> None:
        if self.cookies_fd >= 0:
            os.close(self.cookies_fd)
            self.cookies_fd = -1
        if self.port:
            del _ports[self.port]
        super().closed()


def _parse_address(address: bytes) -> tuple[int, int, int]:
    """(family, port id, groups). EINVAL: too short, or another family's."""
    if len(address) < _ADDRESS.size:
        raise EINVAL("address")
    family, port, groups = _ADDRESS.unpack_from(address)
    if family != AF_NETLINK:
        raise EINVAL("family")
    return family, port, groups


def open_netlink(kind: int, protocol: int, status: int) -> NetlinkSocket:
    """socket(2) for AF_NETLINK. EPROTONOSUPPORT: no protocol but NETLINK_ROUTE."""
    if kind not in (SOCK_RAW, SOCK_DGRAM):
        raise ESOCKTNOSUPPORT("type")
    if protocol != NETLINK_ROUTE:
        raise EPROTONOSUPPORT("netlink protocol")
    host_fd = host.socket(AF_NETLINK, kind, protocol)
    made = new_socket(NetlinkSocket, host_fd, AF_NETLINK, kind, protocol, status & O_NONBLOCK)
    assert isinstance(made, NetlinkSocket)
    return made

"""AF_UNIX sockets: names, connections, credentials. unix(7).

A name of the sandbox never becomes a host path. Each named host socket has an abstract name that the host chose
(autobind), in the sandbox's network namespace; which sandbox name leads to which socket is kept here: by inode for
paths, by bytes for abstract names, where the type is part of the name, as in Linux. A socket that connects is named
too, so that the one that accepts can tell who it is: the host knows only the sentry.

Data, queues, shutdown and readiness are the host's. Descriptors and credentials in messages are net/rights.
"""

from __future__ import annotations

import os
import time
from struct import Struct

from pysentry.abi.errno import (
    EADDRINUSE,
    EAGAIN,
    ECONNREFUSED,
    EEXIST,
    EINTR,
    EINVAL,
    EISCONN,
    ENODATA,
    ENOTCONN,
    EOPNOTSUPP,
    EPROTONOSUPPORT,
    EPROTOTYPE,
    ERANGE,
    ESOCKTNOSUPPORT,
    LinuxError,
)
from pysentry.abi.fcntl import AT_FDCWD
from pysentry.abi.stat import S_IFMT, S_IFSOCK
from pysentry.kernel import host
from pysentry.kernel.wait import Interrupted, WaitQueue, wait_event
from pysentry.net import rights
from pysentry.net.options import SO_PASSCRED, SO_PEERCRED, SO_PEERGROUPS, SO_SNDTIMEO, SOL_SOCKET
from pysentry.net.rights import NOBODY, Outgoing, Ucred, credentials_of
from pysentry.net.socket import (
    AF_UNIX,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    Message,
    Socket,
    new_socket,
)
from pysentry.platform.native import lib
from pysentry.vfs.namei import mknod, unlink
from pysentry.vfs.permissions import MAY_WRITE, check_permission
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription, CInode

_FAMILY = Struct("=H")
_INT32 = Struct("=i")
_UCRED = Struct("=iII")
_AUTOBIND = _FAMILY.pack(AF_UNIX)
_MAX_ADDRESS = 110  # sizeof(struct sockaddr_un)
_REMEMBERED_NAMES = 1024

_by_inode: dict[int, UnixSocket] = {}
_by_abstract: dict[tuple[int, bytes], UnixSocket] = {}
_by_host_name: dict[bytes, UnixSocket] = {}
_names_of_closed: dict[bytes, bytes] = {}  # host name -> sandbox name, for datagrams that outlive their sender
_all: set[UnixSocket] = set()
_are_credentials_wanted = False  # somebody set SO_PASSCRED: from then on every message says who sent it


class Peer:
    """What a connected socket knows of the other side, also after that is gone."""

    __slots__ = ("credentials", "groups", "name")

    def __init__(self, name: bytes, credentials: Ucred, groups: list[int]) -> None:
        self.name, self.credentials, self.groups = name, credentials, groups


def _groups_of(task: Task) -> list[int]:
    return list(task.cred.groups[0 : task.cred.ngroups])


class UnixSocket(Socket):
    """One AF_UNIX socket."""

    __slots__ = (
        "accepted", "host_name", "inode", "is_bound", "is_listening", "name", "owner", "passes", "peer", "waiting",
    )  # fmt: skip

    def __init__(self, c: CDescription, family: int = AF_UNIX, kind: int = SOCK_STREAM, protocol: int = 0) -> None:
        super().__init__(c, family, kind, protocol)
        self.name = b""  # sun_path as the program sees it
        self.host_name = b""  # struct sockaddr_un of the host socket
        self.is_bound = False
        self.inode: CInode | None = None
        self.is_listening = False
        self.peer: Peer | None = None
        self.owner: tuple[Ucred, list[int]] = (NOBODY, [])  # who made it, or listens
        self.passes = False  # SO_PASSCRED
        self.waiting: dict[bytes, Peer] = {}  # listening: who connected and was not accepted yet
        self.accepted = WaitQueue()
        _all.add(self)
        if _are_credentials_wanted:
            c.flags |= lib.DESC_PY_WRITE

    # ---- names ----

    def bind(self, task: Task, address: bytes) -> None:
        path = _sun_path(address, is_bind=True)
        if self.is_bound:
            self._bind_again(task, path)
        elif not path:
            self._get_host_name()
            self._take_abstract(self.host_name[2:])
        elif path[0]:
            mode = S_IFSOCK | 0o777
            try:
                inode = mknod(task, AT_FDCWD, path, mode, 0).inode
            except EEXIST:
                raise EADDRINUSE(repr(path)) from None
            self._get_host_name()
            lib.inode_ref(inode)  # its number must not come to mean another file
            self.inode = inode
            _by_inode[inode.id] = self
            self.name = path + b"\0"
        else:
            self._take_abstract(path)
        self.is_bound = True

    def _bind_again(self, task: Task, path: bytes) -> None:
        """EINVAL, but what is wrong with a path comes first, and any name is good enough: unix_bind()."""
        if path and path[0]:
            try:
                mknod(task, AT_FDCWD, path, S_IFSOCK | 0o777, 0)
            except EEXIST:
                raise EADDRINUSE(repr(path)) from None
            unlink(task, AT_FDCWD, path)
        if path:
            raise EINVAL("has a name")

    def _take_abstract(self, name: bytes) -> None:
        key = (self.type, name)
        if key in _by_abstract:
            raise EADDRINUSE(repr(name))
        self._get_host_name()
        _by_abstract[key] = self
        self.name = name

    def _get_host_name(self) -> None:
        """Lets the host choose the name by which its sockets reach this one."""
        if not self.host_name:
            host.bind(self.c.host_fd, _AUTOBIND)
            self.host_name = host.getsockname(self.c.host_fd)
            _by_host_name[self.host_name] = self

    def own_name(self) -> bytes:
        return _AUTOBIND + self.name

    def peer_name(self) -> bytes:
        if self.peer is None:
            raise ENOTCONN("no peer")
        return _AUTOBIND + self.peer.name

    # ---- connections ----

    def listen(self, task: Task, backlog: int) -> None:
        if not self.is_bound and self.type != SOCK_DGRAM:
            raise EINVAL("no name")
        host.listen(self.c.host_fd, backlog)
        self.is_listening = True
        self.owner = (credentials_of(task), _groups_of(task))

    async def connect(self, task: Task, address: bytes) -> None:
        if len(address) >= 2 and not _FAMILY.unpack_from(address)[0]:  # AF_UNSPEC: a datagram socket forgets its peer
            host.connect(self.c.host_fd, address)
            self.peer = None
            return
        path = _sun_path(address)
        if self.type == SOCK_DGRAM:
            target = self._find(task, path)
            host.connect(self.c.host_fd, target.host_name)
            self.peer = Peer(target.name, *target.owner)
            return
        timeout_ns = -1
        deadline_ns: int | None = None
        lib.desc_ref(self.c)
        try:
            while True:
                if self.peer is not None:
                    raise EISCONN("connected")
                target = self._find(task, path)
                if not target.is_listening:
                    raise ECONNREFUSED("nobody listens")
                try:
                    self._connect_to(task, target)
                    return
                except EAGAIN:  # its queue is full
                    if self.is_nonblocking:
                        raise
                if timeout_ns < 0:
                    timeout_ns = self.timeout_ns(SO_SNDTIMEO)
                    deadline_ns = time.monotonic_ns() + timeout_ns if timeout_ns else None
                if not await wait_event(task, target.accepted, deadline_ns):
                    raise EAGAIN("connect timeout")
        except Interrupted:
            if timeout_ns > 0:
                raise EINTR from None
            raise
        finally:
            lib.desc_unref(self.c)

    def _connect_to(self, task: Task, target: UnixSocket) -> None:
        self._get_host_name()
        me = Peer(self.name, credentials_of(task), _groups_of(task))
        target.waiting[self.host_name] = me
        try:
            host.connect(self.c.host_fd, target.host_name)
        except LinuxError:
            target.waiting.pop(self.host_name, None)
            raise
        self.peer = Peer(target.name, *target.owner)

    def _find(self, task: Task, path: bytes) -> UnixSocket:
        """The socket that a name leads to. ENOENT, EACCES; ECONNREFUSED: nobody is bound to it any more."""
        if not path:
            raise ECONNREFUSED("no name")
        if not path[0]:
            target = _by_abstract.get((self.type, path))
            if target is None:
                raise ECONNREFUSED("no such abstract name")
            return target
        inode = resolve(task, AT_FDCWD, path).require().inode
        check_permission(task.cred, inode, MAY_WRITE)
        if inode.mode & S_IFMT != S_IFSOCK:
            raise ECONNREFUSED("not a socket")
        target = _by_inode.get(inode.id)
        if target is None:
            raise ECONNREFUSED("nobody is bound to it")
        if target.type != self.type:
            raise EPROTOTYPE("another type")
        return target

    async def accept(self, task: Task, status: int) -> tuple[CDescription, bytes]:
        host_fd, host_name = await self.accept_host(task)
        peer = self.waiting.pop(host_name, None) or Peer(b"", NOBODY, [])
        self.accepted.wake_all()
        made = new_socket(UnixSocket, host_fd, AF_UNIX, self.type, 0, status)
        assert isinstance(made, UnixSocket)
        made.name, made.is_bound, made.peer, made.passes = self.name, self.is_bound, peer, self.passes
        made.owner = self.owner
        return made.c, _AUTOBIND + peer.name

    # ---- messages ----

    async def send(
        self, task: Task, iovs: Sequence[tuple[int, int]], flags: int, address: bytes, control: bytes
    ) -> int:
        to = b""
        if address:
            if self.type == SOCK_STREAM:
                raise EISCONN("stream") if self.peer is not None else EOPNOTSUPP("stream")
            if self.type == SOCK_DGRAM:
                to = self._find(task, _sun_path(address)).host_name
        ticket = Outgoing(task, control, stamps=_are_credentials_wanted)
        try:
            return await self.send_to_host(task, iovs, flags, to, ticket.control)
        finally:
            ticket.close()

    def host_write(self, task: Task, data: bytes, offset: int | None) -> int:
        if not _are_credentials_wanted or offset is not None:
            return super().host_write(task, data, offset)
        ticket = Outgoing(task, b"", stamps=True)
        try:
            return host.sendmsg(self.c.host_fd, data, control=ticket.control)
        finally:
            ticket.close()

    async def receive(self, task: Task, iovs: Sequence[tuple[int, int]], flags: int, control_size: int) -> Message:
        got = await super().receive(task, iovs, flags, rights.HOST_CONTROL_SIZE)
        sender = self._sender_of(got)
        got.address = _AUTOBIND + sender.name if self.type == SOCK_DGRAM and sender.name else b""
        credentials = sender.credentials if self.passes else None
        is_cloexec = bool(flags & MSG_CMSG_CLOEXEC)
        got.control, is_truncated = rights.deliver(task, got.control, control_size, is_cloexec, credentials)
        got.flags = got.flags & ~MSG_CTRUNC | (MSG_CTRUNC if is_truncated else 0)
        return got

    def _sender_of(self, got: Message) -> Peer:
        """Who sent a message, as far as the host's address of it tells."""
        if self.type != SOCK_DGRAM or len(got.address) <= 2:
            return self.peer or Peer(b"", NOBODY, [])
        sender = _by_host_name.get(got.address)
        if sender is not None:
            return Peer(sender.name, *sender.owner)
        return Peer(_names_of_closed.get(got.address, b""), NOBODY, [])

    # ---- options, end ----

    def get_option(self, task: Task, level: int, option: int, size: int) -> bytes:
        if level == SOL_SOCKET and option == SO_PEERCRED:
            return _UCRED.pack(*(self.peer.credentials if self.peer else (0, 0xFFFFFFFF, 0xFFFFFFFF)))[:size]
        if level == SOL_SOCKET and option == SO_PASSCRED:
            return _INT32.pack(self.passes)[:size]
        if level == SOL_SOCKET and option == SO_PEERGROUPS:
            return self._peer_groups(size)
        return super().get_option(task, level, option, size)

    def _peer_groups(self, size: int) -> bytes:
        if self.peer is None:
            raise ENODATA("no peer")
        packed = b"".join(_INT32.pack(gid) for gid in self.peer.groups)
        if size < len(packed):
            raise ERANGE("groups")
        return packed

    def set_option(self, task: Task, level: int, option: int, value: bytes) -> None:
        if (level, option) != (SOL_SOCKET, SO_PASSCRED):
            super().set_option(task, level, option, value)
            return
        if len(value) < _INT32.size:
            raise EINVAL("value")
        self.passes = bool(_INT32.unpack(value[: _INT32.size])[0])
        if self.passes:
            self.c.flags |= lib.DESC_PY_READ
            want_credentials()

    def closed(self) -> None:
        _all.discard(self)
        if self.host_name:
            _by_host_name.pop(self.host_name, None)
            if self.type == SOCK_DGRAM and self.name:
                if len(_names_of_closed) >= _REMEMBERED_NAMES:
                    del _names_of_closed[next(iter(_names_of_closed))]
                _names_of_closed[self.host_name] = self.name
        if self.inode is not None:
            _by_inode.pop(self.inode.id, None)
            lib.inode_unref(self.inode)
        elif self.name and _by_abstract.get((self.type, self.name)) is self:
            del _by_abstract[self.type, self.name]
        self.accepted.wake_all()


def want_credentials() -> None:
    """A receiver wants to know who sends: all writes of AF_UNIX sockets come to Python from now on."""
    global _are_credentials_wanted
    _are_credentials_wanted = True
    for socket in _all:
        socket.c.flags |= lib.DESC_PY_WRITE


def _sun_path(address: bytes, is_bind: bool = False) -> bytes:
    """The name of a struct sockaddr_un: path without NUL, abstract name with its leading NUL, or b"" (autobind).

    EINVAL as unix_validate_addr() of net/unix/af_unix.c."""
    if not (2 if is_bind else 3) <= len(address) <= _MAX_ADDRESS or _FAMILY.unpack_from(address)[0] != AF_UNIX:
        raise EINVAL("sockaddr_un")
    path = address[2:]
    if not path or not path[0]:
        return path
    return path.split(b"\0", 1)[0]


def _checked_type(kind: int, protocol: int) -> int:
    if protocol not in (0, AF_UNIX):
        raise EPROTONOSUPPORT("protocol")
    if kind == SOCK_RAW:
        return SOCK_DGRAM  # as unix_create()
    if kind not in (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET):
        raise ESOCKTNOSUPPORT("type")
    return kind


def open_unix(task: Task, kind: int, protocol: int, status: int) -> Socket:
    """socket(2) for AF_UNIX."""
    kind = _checked_type(kind, protocol)
    made = new_socket(UnixSocket, host.socket(AF_UNIX, kind, 0), AF_UNIX, kind, 0, status & os.O_NONBLOCK)
    assert isinstance(made, UnixSocket)
    made.owner = (credentials_of(task), _groups_of(task))
    return made


def open_pair(task: Task, kind: int, protocol: int, status: int) -> tuple[Socket, Socket]:
    """socketpair(2): each is the other's peer, with the credentials of who made them."""
    kind = _checked_type(kind, protocol)
    first_fd, second_fd = host.socketpair(AF_UNIX, kind, 0)
    pair = []
    for fd in (first_fd, second_fd):
        made = new_socket(UnixSocket, fd, AF_UNIX, kind, 0, status & os.O_NONBLOCK)
        assert isinstance(made, UnixSocket)
        made.owner = (credentials_of(task), _groups_of(task))
        made.peer = Peer(b"", *made.owner)
        pair.append(made)
    return pair[0], pair[1]

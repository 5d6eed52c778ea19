"""/proc/net: the interfaces and sockets of the sandbox; in a network that it shares, what others listen on, too, which
who can reach a port finds anyway, but not whom they talk to."""

from __future__ import annotations

import os

from pysentry.abi.errno import EACCES, LinuxError
from pysentry.kernel.description import description_of
from pysentry.kernel.proc_status import read_host_path
from pysentry.kernel.task import all_tasks
from pysentry.net import policy
from pysentry.platform.native import ffi, lib
from pysentry.vfs.filesystems.generated import Directory, File, Node, constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

_STATE_FIELD, _UID_FIELD, _INODE_FIELD = 3, 7, 9  # of a line of tcp, udp, ...
_LISTENING = {"tcp": b"0A", "tcp6": b"0A", "udp": b"07", "udp6": b"07"}  # TCP_LISTEN; TCP_CLOSE: bound, to no peer
_UNIX_INODE_FIELD = 6
_HOST_FILES = (
    *("dev", "route", "if_inet6", "ipv6_route", "arp", "dev_mcast", "igmp", "fib_trie"),
    *("snmp", "snmp6", "netstat", "sockstat", "sockstat6", "protocols"),
)


def _sockets() -> dict[bytes, CDescription]:
    """The sockets that somebody in the sandbox holds, by the inode number that the host's tables show."""
    found: dict[bytes, CDescription] = {}
    seen: set[int] = set()
    for c in all_tasks():
        table = c.files
        if table == ffi.NULL:
            continue
        for fd in range(table.capacity):
            desc = table.slots[fd].desc
            if desc == ffi.NULL or desc.kind != lib.DESC_SOCKET or desc.id in seen or desc.host_fd < 0:
                continue
            seen.add(desc.id)
            found[b"%d" % os.fstat(desc.host_fd).st_ino] = desc
    return found


def _host(name: str) -> bytes:
    try:
        return read_host_path(f"self/net/{name}")
    except LinuxError:
        return b""


def _inet_table(name: str) -> Callable[[], bytes]:
    """Lines of sockets in the sandbox, and of what listens beside it; a uid of the host means nothing here and
    becomes 0."""
    listening = _LISTENING.get(name)

    def content() -> bytes:
        header, *lines = _host(name).splitlines(keepends=True) or [b""]
        ours = _sockets()
        shown = [header]
        for line in lines:
            fields = line.split()
            if len(fields) <= _INODE_FIELD:
                continue
            if fields[_INODE_FIELD] in ours or (policy.is_shared and fields[_STATE_FIELD] == listening):
                uid = fields[_UID_FIELD]
                at = line.index(b" " + uid + b" ", line.index(fields[6]) + len(fields[6]))
                shown.append(line[:at] + b" " + b"0".rjust(len(uid)) + line[at + 1 + len(uid) :])
        return b"".join(shown)

    return content


def _unix_table() -> bytes:
    """Without the host's names, which are not the sandbox's."""
    header, *lines = _host("unix").splitlines(keepends=True) or [
        b"Num       RefCount Protocol Flags    Type St Inode Path\n"
    ]
    ours = _sockets()
    shown = [header]
    for line in lines:
        fields = line.split(None, 7)
        if len(fields) > _UNIX_INODE_FIELD and fields[_UNIX_INODE_FIELD] in ours:
            number = fields[_UNIX_INODE_FIELD]
            shown.append(b" ".join((*fields[:_UNIX_INODE_FIELD], number.rjust(5))) + _unix_name(ours[number]) + b"\n")
    return b"".join(shown)


def _unix_name(c: CDescription) -> bytes:
    """A path, or an abstract name with "@" for each NUL."""
    name: bytes = getattr(description_of(c), "name", b"")
    if not name:
        return b""
    return b" " + (name.replace(b"\0", b"@") if name[:1] == b"\0" else name.rstrip(b"\0"))


def _host_file(name: str) -> Callable[[], bytes]:
    """As the host has it: interfaces and routes of the sandbox's own network namespace, counters."""
    return lambda: _host(name)


class NetFile(File):
    """Nobody opens one for writing (seq_open_net)."""

    __slots__ = ()

    def open(self, task: Task, flags: int) -> CDescription:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise EACCES("about the network")
        return super().open(task, flags)


_ENTRIES: dict[bytes, Node] = {}


def net_directory() -> Directory:
    """/proc/PID/net: there is one network."""
    if not _ENTRIES:
        for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "udplite", "udplite6"):
            _ENTRIES[name.encode()] = NetFile(_inet_table(name))
        for name in _HOST_FILES:
            _ENTRIES[name.encode()] = NetFile(_host_file(name))
        _ENTRIES[b"unix"] = NetFile(_unix_table)
        _ENTRIES[b"wireless"] = NetFile(constant(b""))
        _ENTRIES[b"packet"] = NetFile(constant(b"sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n"))
        _ENTRIES[b"netlink"] = NetFile(
            constant(b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n")
        )
    return Directory(_ENTRIES)

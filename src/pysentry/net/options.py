"""Socket options: which ones reach the host socket.

Owns the list per level. An option that is not here is ENOPROTOOPT, as for a protocol without it. Options that need
a capability over the host's network are EPERM. SO_LINGER with a time would make close() wait, so it is kept in the
socket's object; SO_PASSCRED and SO_PEERCRED are AF_UNIX's own business (net/unix).
"""

from __future__ import annotations

from pysentry.abi.errno import ENOPROTOOPT, EOPNOTSUPP, LinuxError

_AF_UNIX, _AF_INET, _SOCK_STREAM = 1, 2, 1
SOL_IP, SOL_SOCKET, SOL_TCP, SOL_UDP, SOL_IPV6, SOL_NETLINK = 0, 1, 6, 17, 41, 270
SO_TYPE, SO_ERROR, SO_LINGER, SO_PASSCRED, SO_PEERCRED, SO_RCVTIMEO, SO_SNDTIMEO = 3, 4, 13, 16, 17, 20, 21
SO_PEERGROUPS, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN = 59, 30, 38, 39

_BOTH = {
    SOL_SOCKET: {
        2,  # REUSEADDR
        5,  # DONTROUTE
        6,  # BROADCAST
        7, 8,  # SNDBUF, RCVBUF
        9,  # KEEPALIVE
        10,  # OOBINLINE
        12,  # PRIORITY
        13,  # LINGER
        15,  # REUSEPORT
        18,  # RCVLOWAT
        20, 21,  # RCVTIMEO, SNDTIMEO
        29, 35,  # TIMESTAMP, TIMESTAMPNS
        42,  # PEEK_OFF
        63, 64,  # TIMESTAMP_NEW, TIMESTAMPNS_NEW
        66, 67,  # RCVTIMEO_NEW, SNDTIMEO_NEW
    },
    SOL_IP: {1, 2, 8, 10, 11, 12, 13, 15, 24, 32, 33, 34, 49},
    SOL_IPV6: {16, 17, 18, 19, 23, 24, 25, 26, 49, 51, 60, 62, 66, 67, 70, 72},
    SOL_TCP: {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 18, 23, 25, 36},
    SOL_UDP: {1, 103, 104},
    SOL_NETLINK: {3, 4, 5, 10, 11, 12},  # PKTINFO, BROADCAST_ERROR, NO_ENOBUFS, CAP_ACK, EXT_ACK, GET_STRICT_CHK
}  # fmt: skip
_READ_ONLY = {
    SOL_SOCKET: {SO_TYPE, SO_ERROR, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN, 19, 31, 49, 56, 57},
    SOL_IP: {14},
    SOL_TCP: {11},
    SOL_NETLINK: {9},  # LIST_MEMBERSHIPS
}
_WRITE_ONLY = {SOL_IP: {35, 36}, SOL_IPV6: {20, 21}, SOL_NETLINK: {1, 2}}  # multicast membership
_PRIVILEGED = {SOL_SOCKET: {1, 32, 33, 36, 62}, SOL_NETLINK: {8}}  # DEBUG, *BUFFORCE, MARK; LISTEN_ALL_NSID
TIMEOUTS = {SO_RCVTIMEO, SO_SNDTIMEO, 66, 67}
MAX_VALUE_SIZE = 4096


def is_readable(level: int, option: int) -> bool:
    """True if getsockopt may ask the host."""
    return option in _BOTH.get(level, ()) or option in _READ_ONLY.get(level, ())


def is_writable(level: int, option: int) -> bool:
    """True if setsockopt may tell the host."""
    return option in _BOTH.get(level, ()) or option in _WRITE_ONLY.get(level, ())


def unknown(family: int, kind: int, level: int, is_read: bool) -> LinuxError:
    """What Linux answers to an option it does not know: do_ip_getsockopt(), sock_no_getsockopt()."""
    own = {_AF_UNIX: (), _AF_INET: (SOL_IP, SOL_TCP if kind == _SOCK_STREAM else SOL_UDP)}.get(family)
    if own is None or level == SOL_SOCKET or level in own or (family == _AF_INET and not is_read):
        return ENOPROTOOPT(f"level {level}")
    return EOPNOTSUPP(f"level {level}")


def is_privileged(level: int, option: int) -> bool:
    """True if setting it needs a capability that nobody here has."""
    return option in _PRIVILEGED.get(level, ())

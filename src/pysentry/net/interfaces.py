"""Changes of interfaces. They are the host's to change, so the only ones that are done are those that change nothing:
`ip link set lo up` and `ifconfig lo up` where that is up already, as in every sandbox. All others answer EPERM.
"""

from __future__ import annotations

from struct import Struct

from pysentry.abi.capability import CAP_NET_ADMIN
from pysentry.abi.errno import EADDRNOTAVAIL, ENODEV, EPERM
from pysentry.kernel import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task

IFREQ_SIZE = 40
_SIOCGIFNAME, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8910, 0x8913, 0x8914
_FLAGS = Struct("=16xH22x")
_INDEX = Struct("=16xi20x")
# UP, DEBUG, NOTRAILERS, NOARP, PROMISC, ALLMULTI, MULTICAST, PORTSEL, AUTOMEDIA, DYNAMIC: dev_change_flags()
_SETTABLE = 0xF3A5
# A request that sets, the one that reads the same, and where in struct ifreq that lies: ADDR, NETMASK (without the
# port), MTU.
_VALUES = {
    0x8916: (0x8915, (slice(16, 18), slice(20, 24))),
    0x891C: (0x891B, (slice(16, 18), slice(20, 24))),
    0x8922: (0x8921, (slice(16, 20),)),
}
_LINK_MESSAGE = Struct("=16xBxHiII")  # struct nlmsghdr, struct ifinfomsg: family, type, index, flags, change


def change_interface(task: Task, host_fd: int, request: int, interface: bytes) -> int:
    """One of the SIOCSIF* with its struct ifreq. ENODEV: there is no such interface."""
    if task.has_cap(CAP_NET_ADMIN) and _is_so_already(host_fd, request, interface):
        return 0
    raise EPERM("the sandbox's interfaces are not the workload's to change")


def _is_so_already(host_fd: int, request: int, interface: bytes) -> bool:
    now = bytearray(interface)
    if request == _SIOCSIFFLAGS:
        host.ioctl(host_fd, _SIOCGIFFLAGS, now)
        return not (_FLAGS.unpack(now)[0] ^ _FLAGS.unpack(interface)[0]) & _SETTABLE
    if request not in _VALUES:
        return False
    reading, places = _VALUES[request]
    try:
        host.ioctl(host_fd, reading, now)
    except EADDRNOTAVAIL:
        return False
    return all(now[place] == interface[place] for place in places)


def changes_no_link(task: Task, host_fd: int, message: bytes) -> bool:
    """True for a whole RTM_NEWLINK that only asks for flags which the interface has."""
    if len(message) != _LINK_MESSAGE.size or not task.has_cap(CAP_NET_ADMIN):
        return False
    _, _, index, flags, change = _LINK_MESSAGE.unpack(message)
    if not change:
        change = 0xFFFFFFFF if flags else 0
    interface = bytearray(_INDEX.pack(index))
    try:
        host.ioctl(host_fd, _SIOCGIFNAME, interface)
        host.ioctl(host_fd, _SIOCGIFFLAGS, interface)
    except ENODEV:
        return False
    return not (_FLAGS.unpack(interface)[0] ^ flags) & change & _SETTABLE

"""Notices of a directory by a signal, as Linux had them before inotify(7): fcntl(2) F_NOTIFY.

Each open description of a directory has at most one interest in it, which is a watch like those of inotify instances.
"""

from __future__ import annotations

from pysentry.abi.errno import EINVAL, ENOTDIR
from pysentry.kernel import sysctl
from pysentry.kernel.description import watch_close
from pysentry.kernel.inotify import Watch, attach_watch, detach_watch
from pysentry.kernel.sigio import POLL_MSG, owner_of
from pysentry.platform.native import lib
from pysentry.vfs import notify as events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

_MULTISHOT = 1 << 31
_EVENTS = {
    0x01: events.IN_ACCESS,
    0x02: events.IN_MODIFY,
    0x04: events.IN_CREATE | events.IN_MOVED_TO,
    0x08: events.IN_DELETE | events.IN_MOVED_FROM,
    0x20: events.IN_ATTRIB,
}
_RENAME = 0x10  # from and to the directory, with the same cookie
_ALL = 0x3F


class _Interest:
    """What one description wants to hear of its directory. Takes the place of an inotify instance."""

    __slots__ = ("asked", "c", "fd", "mask", "moved_away", "watches")

    def __init__(self, c: CDescription) -> None:
        self.c = c
        self.fd = -1
        self.asked = 0  # DN_*
        self.mask = 0  # IN_* of it, but for DN_RENAME
        self.moved_away = 0  # the cookie of what was moved out of the directory last
        self.watches = {1: Watch(self, 1, c.dentry, 0)}
        attach_watch(self.watches[1])
        watch_close(c, self)

    def ask(self, fd: int, wanted: int) -> None:
        """More of it; the number by which it was asked last is told."""
        self.fd = fd
        self.asked |= wanted
        for bit, meaning in _EVENTS.items():
            if self.asked & bit:
                self.mask |= meaning
        moves = events.IN_MOVED_FROM | events.IN_MOVED_TO if self.asked & _RENAME else 0
        self.watches[1].mask = self.mask | moves

    def put(self, wd: int, mask: int, name: bytes, cookie: int) -> None:
        """An event of the directory or of an entry. Without DN_MULTISHOT the first one is the last."""
        is_rename = bool(self.asked & _RENAME and mask & events.IN_MOVED_TO and cookie == self.moved_away)
        if mask & events.IN_MOVED_FROM:
            self.moved_away = cookie
        for _ in range(bool(mask & self.mask) + is_rename):
            owner_of(self.c).send(self.fd, POLL_MSG)
            if not self.asked & _MULTISHOT:
                self.remove(wd)
                return

    def remove(self, wd: int) -> None:
        """It is over: cancelled, heard, closed, or the directory is gone."""
        watch = self.watches.pop(wd, None)
        if watch is not None:
            detach_watch(watch)
            _interests.pop(self.c.id, None)

    def target_closed(self, identity: int) -> None:
        """The last close of the description."""
        self.remove(1)


_interests: dict[int, _Interest] = {}  # by description


def notify(task: Task, c: CDescription, fd: int, wanted: int) -> int:
    """F_NOTIFY; no event: all is cancelled. ENOTDIR: no directory."""
    if not sysctl.values[sysctl.DIR_NOTIFY]:
        raise EINVAL("dir-notify-enable")
    interest = _interests.get(c.id)
    if not wanted & ~_MULTISHOT:
        if interest is not None:
            interest.remove(1)
        return 0
    if c.kind != lib.DESC_DIR:
        raise ENOTDIR("F_NOTIFY")
    owner_of(c).set_default(task)
    if interest is None:
        interest = _interests[c.id] = _Interest(c)
    interest.ask(fd, wanted & (_ALL | _MULTISHOT))
    return 0

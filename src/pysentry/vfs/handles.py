"""Handles of files, name_to_handle_at(2): numbers that stand for dentries which were asked for.

Owns the table. A handle says nothing by itself, so guessing one finds only what somebody in the sandbox has named.
"""

from __future__ import annotations

from pysentry.abi.errno import ESTALE
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CDentry

HANDLE_BYTES = 8
HANDLE_TYPE = 0x81  # of the sentry's own
_KEPT = 65536

_by_number: dict[int, CDentry] = {}  # in the order they were made; a reference on each
_by_inode: dict[int, int] = {}
_last = 0


def make_handle(dentry: CDentry) -> int:
    """The number of the file that a dentry names: always the same one."""
    global _last
    known = _by_inode.get(dentry.inode.id)
    if known is not None:
        return known
    if len(_by_number) >= _KEPT:
        _forget(next(iter(_by_number)))
    _last += 1
    lib.dentry_ref(dentry)
    _by_number[_last] = dentry
    _by_inode[dentry.inode.id] = _last
    return _last


def find_handle(number: int, place: CDentry) -> CDentry:
    """The dentry, which is in the same file system as `place`. ESTALE: forgotten, unlinked, or of another one."""
    dentry = _by_number.get(number)
    if dentry is None or dentry.inode.sb != place.inode.sb:
        raise ESTALE("handle")
    if dentry.flags & lib.DENTRY_UNHASHED:
        _forget(number)
        raise ESTALE("unlinked")
    return dentry


def _forget(number: int) -> None:
    dentry = _by_number.pop(number)
    _by_inode.pop(dentry.inode.id, None)
    lib.dentry_unref(dentry)

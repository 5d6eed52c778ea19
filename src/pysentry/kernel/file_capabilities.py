"""Capabilities that a program file gives: its attribute security.capability. capabilities(7), File capabilities."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.capability import CAP_FULL_SET
from pysentry.abi.errno import LinuxError
from pysentry.vfs.filesystem import filesystem_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CDentry

NAME = b"security.capability"
_MAGIC = Struct("<I")
_PAIR, _PAIRS = Struct("<II"), Struct("<IIII")  # permitted, inheritable; the low halves come first
_REVISION, _EFFECTIVE = 0xFF000000, 1
_REVISION_1, _REVISION_2, _REVISION_3 = 0x01000000, 0x02000000, 0x03000000
_SIZES = {_REVISION_1: 12, _REVISION_2: 20, _REVISION_3: 24}


class FileCapabilities:
    """struct vfs_cap_data. `is_effective`: what is permitted is effective at once."""

    __slots__ = ("inheritable", "is_effective", "permitted")

    def __init__(self, permitted: int, inheritable: int, is_effective: bool) -> None:
        self.permitted, self.inheritable, self.is_effective = permitted, inheritable, is_effective


def parse(value: bytes) -> FileCapabilities | None:
    """get_vfs_caps_from_disk(). None: of no form that is known, or those of another user namespace's root."""
    if len(value) < _MAGIC.size:
        return None
    (magic,) = _MAGIC.unpack_from(value)
    revision = magic & _REVISION
    if _SIZES.get(revision) != len(value):
        return None
    if revision == _REVISION_1:
        permitted, inheritable = _PAIR.unpack_from(value, 4)
    else:
        low_permitted, low_inheritable, high_permitted, high_inheritable = _PAIRS.unpack_from(value, 4)
        permitted, inheritable = low_permitted | high_permitted << 32, low_inheritable | high_inheritable << 32
        if revision == _REVISION_3 and any(value[20:]):
            return None
    return FileCapabilities(permitted & CAP_FULL_SET, inheritable & CAP_FULL_SET, bool(magic & _EFFECTIVE))


def may_be_written(value: bytes) -> bool:
    """validheader(): of a form that may be given to a file; revision 1 is only read."""
    return (len(value), value[3:4]) in ((20, b"\x02"), (24, b"\x03"))


def of_file(dentry: CDentry) -> FileCapabilities | None:
    """What an executable file gives."""
    try:
        return parse(filesystem_of(dentry.sb).get_xattr(dentry, NAME))
    except LinuxError:
        return None

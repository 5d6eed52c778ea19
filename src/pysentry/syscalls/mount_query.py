"""statmount(2), listmount(2): the mount table by number, of the mount family."""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.capability import CAP_SYS_ADMIN
from pysentry.abi.errno import E2BIG, EBADF, EFAULT, EINVAL, ENOENT, EOVERFLOW, EPERM
from pysentry.abi.stat import MNT_UNIQUE_ID_OFFSET
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs.mounting import MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE
from pysentry.vfs.mounts import first_root, mount_table
from pysentry.vfs.propagation import visible_master

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry
    from pysentry.vfs.mounts import Mount

_REQ_V0, _REQ_V1, _PAGE = Struct("=IIQQ"), Struct("=IIQQQ"), 4096
_STATMOUNT = Struct("=IIQIIQIIQQIIQQQQQIIQIIIIIIQ360x")  # struct statmount up to 512 bytes
_LSMT_ROOT = (1 << 64) - 1
_LISTMOUNT_REVERSE = 1
_MOST = 1_000_000
_TASK_SIZE = 0x7FFFFFFFF000
_SB_BASIC, _MNT_BASIC, _PROPAGATE_FROM, _MNT_ROOT, _MNT_POINT = 1, 2, 4, 8, 0x10
_FS_TYPE, _MNT_NS_ID, _MNT_OPTS, _SB_SOURCE = 0x20, 0x40, 0x80, 0x200
_STRINGS = _MNT_ROOT | _MNT_POINT | _FS_TYPE | _MNT_OPTS | _SB_SOURCE
_SUPPORTED_MASK = 0x1000
_SUPPORTED = (
    _SB_BASIC | _MNT_BASIC | _PROPAGATE_FROM | _MNT_ROOT | _MNT_POINT | _FS_TYPE | _MNT_NS_ID | _MNT_OPTS | _SB_SOURCE
    | _SUPPORTED_MASK
)  # fmt: skip
_MS_RDONLY = 1
_ATTRIBUTES = (
    (lib.SB_RDONLY, 0x1), (lib.SB_NOSUID, 0x2), (lib.SB_NODEV, 0x4), (lib.SB_NOEXEC, 0x8), (lib.SB_NOATIME, 0x10),
    (lib.SB_NODIRATIME, 0x80), (lib.SB_NOSYMFOLLOW, 0x200000),
)  # fmt: skip


def _request(task: Task, address: UserAddr) -> tuple[int, int]:
    """(mnt_id, param). Another namespace than one's own answers EBADF or EINVAL."""
    size = int.from_bytes(task.memory.read(address, 4), "little")
    if size > _PAGE:
        raise E2BIG("struct mnt_id_req")
    if size < _REQ_V0.size:
        raise EINVAL("struct mnt_id_req")
    given = task.memory.read(address, size)
    if any(given[_REQ_V1.size :]):
        raise E2BIG("fields of a newer kernel")
    _, namespace_fd, identity, param = _REQ_V0.unpack_from(given)
    if namespace_fd:
        task.fd_table.get(namespace_fd - (namespace_fd >> 31 << 32))
        raise EBADF("not a mount namespace")
    if any(given[_REQ_V0.size :]):
        raise EINVAL("another namespace")
    if identity <= MNT_UNIQUE_ID_OFFSET:
        raise EINVAL("mnt_id")
    return identity, param


def _unique(mount: Mount) -> int:
    return mount.identity + MNT_UNIQUE_ID_OFFSET


def _find(task: Task, identity: int) -> Mount:
    for mount in mount_table(task.c.fs.root):
        if _unique(mount) == identity:
            return mount
    raise ENOENT("mnt_id")


def _is_reachable(task: Task, mount: Mount) -> bool:
    return _is_below(mount.sb.root, task.c.fs.root)


def _is_below(place: CDentry, root: CDentry) -> bool:
    while place != root:
        if place.parent == place:
            if place.sb.covered == ffi.NULL:
                return False
            place = place.sb.covered
        else:
            place = place.parent
    return True


@syscall
def statmount(task: Task, req: UserAddr, buf: UserAddr, bufsize: int, flags: int) -> int:
    """Security options, option arrays and identity maps are not in the answer's mask."""
    if flags:
        raise EINVAL("flags")
    identity, mask = _request(task, req)
    mount = _find(task, identity)
    if not _is_reachable(task, mount) and not task.has_cap(CAP_SYS_ADMIN):
        raise EPERM("not below one's root")
    mask &= _SUPPORTED
    strings = bytearray(1 if mask & _STRINGS else 0)  # an empty one first, for what is not told
    texts = {
        _FS_TYPE: mount.file_system.type_name.encode(),
        _MNT_ROOT: mount.root,
        _MNT_POINT: mount.mountpoint_below(task.c.fs.root) or b"",
        _MNT_OPTS: b"",
        _SB_SOURCE: os.fsencode(mount.source),
    }
    places = dict.fromkeys(texts, 0)
    for bit, text in texts.items():
        if mask & bit:
            places[bit] = len(strings)
            strings += text + b"\0"
    if strings and bufsize < _STATMOUNT.size + len(strings):
        raise EOVERFLOW("strings")
    fixed = _STATMOUNT.pack(
        _STATMOUNT.size + len(strings), places[_MNT_OPTS], mask, *_super_block(mount, mask), places[_FS_TYPE],
        *_basic(mount, mask), visible_master(mount, task.c.fs.root) if mask & _PROPAGATE_FROM else 0,
        places[_MNT_ROOT], places[_MNT_POINT],
        first_root(task.c.fs.root).sb.id if mask & _MNT_NS_ID else 0, 0, places[_SB_SOURCE], 0, 0, 0, 0,
        _SUPPORTED if mask & _SUPPORTED_MASK else 0,
    )  # fmt: skip
    task.memory.write(buf, (fixed + bytes(strings))[:bufsize])
    return 0


def _super_block(mount: Mount, mask: int) -> tuple[int, int, int, int]:
    if not mask & _SB_BASIC:
        return 0, 0, 0, 0
    sb = mount.sb
    is_read_only = bool(sb.flags & lib.SB_RDONLY)
    return os.major(sb.dev), os.minor(sb.dev), mount.file_system.magic, _MS_RDONLY if is_read_only else 0


def _basic(mount: Mount, mask: int) -> tuple[int, int, int, int, int, int, int, int]:
    """Ids, attributes and propagation."""
    if not mask & _MNT_BASIC:
        return 0, 0, 0, 0, 0, 0, 0, 0
    parent = mount.parent_identity
    attributes = sum(linux for ours, linux in _ATTRIBUTES if mount.sb.flags & ours)
    kinds = (MS_SHARED, mount.group), (MS_SLAVE, mount.master), (MS_UNBINDABLE, mount.sb.flags & lib.SB_UNBINDABLE)
    propagation = sum(kind for kind, is_so in kinds if is_so) or MS_PRIVATE
    unique = _unique(mount), parent + MNT_UNIQUE_ID_OFFSET
    return *unique, mount.identity, parent, attributes, propagation, mount.group, mount.master


@syscall
def listmount(task: Task, req: UserAddr, mnt_ids: UserAddr, nr_mnt_ids: int, flags: int) -> int:
    if flags & ~_LISTMOUNT_REVERSE:
        raise EINVAL("flags")
    if nr_mnt_ids > _MOST:
        raise EOVERFLOW("nr_mnt_ids")
    if mnt_ids + nr_mnt_ids * 8 > _TASK_SIZE:
        raise EFAULT("mnt_ids")
    identity, last = _request(task, req)
    if last and last <= MNT_UNIQUE_ID_OFFSET:
        raise EINVAL("param")
    top = first_root(task.c.fs.root) if identity == _LSMT_ROOT else _find(task, identity).sb.root
    start = task.c.fs.root if identity == _LSMT_ROOT else top
    if not _is_below(start, task.c.fs.root) and not task.has_cap(CAP_SYS_ADMIN):
        raise EPERM("not below one's root")
    is_reverse = bool(flags & _LISTMOUNT_REVERSE)
    found = sorted(
        _unique(mount) for mount in mount_table(top) if mount.sb.root != top and _is_below(mount.sb.root, start)
    )
    if is_reverse:
        found.reverse()
    if last:
        found = [each for each in found if (each < last if is_reverse else each > last)]
    found = found[:nr_mnt_ids]
    task.memory.write(mnt_ids, b"".join(each.to_bytes(8, "little") for each in found))
    return len(found)

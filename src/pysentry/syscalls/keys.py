"""add_key(2), request_key(2), keyctl(2): arguments and errors in Linux's order; what keys are is in kernel/keys.py."""

from __future__ import annotations

from struct import Struct
from time import time_ns

from pysentry.abi.capability import CAP_SYS_ADMIN
from pysentry.abi.errno import (
    EACCES,
    EAGAIN,
    EEXIST,
    EINVAL,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOKEY,
    EOPNOTSUPP,
    EPERM,
)
from pysentry.kernel import keys
from pysentry.kernel.keys import LINK, READ, SEARCH, SETATTR, VIEW, WRITE, Key, lookup
from pysentry.syscalls.registry import syscall
from pysentry.vfs.permissions import is_in_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_TYPE_MAX, _PAGE, _PAYLOAD_MAX = 32, 4096, (1 << 20) - 1
_INT = Struct("=i")
_UNCHANGED = 0xFFFFFFFF
_NS = 1_000_000_000
_CAPABILITIES = bytes((0x01 | 0x20 | 0x40 | 0x80, 0))  # CAPABILITIES, INVALIDATE, RESTRICT_KEYRING, MOVE
_MOVE_EXCL = 1
_DEFAULT_RINGS = (0, 1, 2, 3, 4, 5, 7)  # KEY_REQKEY_DEFL_*; 6, a group's, does not exist
_REQUESTOR = 7
_RING_OF_DEFAULT = {
    1: keys.THREAD_RING, 2: keys.PROCESS_RING, 3: keys.SESSION_RING, 4: keys.USER_RING, 5: keys.USER_SESSION_RING
}  # fmt: skip


def _type(task: Task, address: UserAddr) -> bytes:
    try:
        name = task.memory.read_cstr(address, _TYPE_MAX)
    except ENAMETOOLONG:
        raise EINVAL("type") from None
    if not name:
        raise EINVAL("type")
    if name[:1] == b".":
        raise EPERM("a type of the kernel's own")
    return name


def _text(task: Task, address: UserAddr) -> bytes:
    try:
        return task.memory.read_cstr(address, _PAGE)
    except ENAMETOOLONG:
        raise EINVAL("too long") from None


def _number(value: int) -> int:
    """A key_serial_t in a register."""
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


@syscall
def add_key(task: Task, type: UserAddr, description: UserAddr, payload: UserAddr, plen: int, ringid: int) -> int:
    if plen > _PAYLOAD_MAX:
        raise EINVAL("payload")
    kind = _type(task, type)
    name = _text(task, description) if description else b""
    if name[:1] == b"." and kind == keys.KEYRING:
        raise EPERM("a name of the kernel's own")
    content = task.memory.read(payload, plen) if plen else b""
    ring, is_possessed = lookup(task, ringid, WRITE, makes=True)
    if kind not in keys.TYPES:
        raise ENODEV("no such type")
    return keys.add(task, ring, is_possessed, kind, name, content).serial


@syscall
def request_key(task: Task, type: UserAddr, description: UserAddr, callout_info: UserAddr, destringid: int) -> int:
    """Nobody is asked for a key that is not there: ENOENT, as without /sbin/request-key, and a negative key. One that
    has expired is not there."""

    def is_wanted(key: Key) -> bool:
        return (key.type, key.description) == (kind, name) and (key.is_revoked or not key.is_expired)

    kind = _type(task, type)
    name = _text(task, description)
    if callout_info:
        _text(task, callout_info)
    ring = lookup(task, destringid, WRITE, makes=True)[0] if destringid else None
    if kind not in keys.TYPES:
        raise ENOKEY("no such type")
    try:
        found = keys.search_own(task, is_wanted)
    except EAGAIN:
        if not callout_info:
            raise ENOKEY("not found") from None
        keys.add_negative(task, ring or _default_ring(task), kind, name)
        raise ENOENT("/sbin/request-key") from None
    if ring is not None:
        keys.link(ring, found)
    return found.serial


def _default_ring(task: Task) -> Key:
    """construct_get_dest_keyring(): where a requested key goes if its caller does not say."""
    wanted = task.state.get("request_key_ring", 0)
    if wanted in _RING_OF_DEFAULT:
        return lookup(task, _RING_OF_DEFAULT[wanted], WRITE, makes=True)[0]
    own = keys.thread_ring(task, False) or keys.process_ring(task, False) if wanted in (0, _REQUESTOR) else None
    if own is None:
        return lookup(task, keys.SESSION_RING, WRITE)[0]
    if not keys.may(task, own, WRITE, True):
        raise EACCES("keyring")
    return own


@syscall
def keyctl(task: Task, option: int, arg2: int, arg3: int, arg4: int, arg5: int) -> int:
    handler = _OPTIONS.get(option)
    if handler is None:
        raise EOPNOTSUPP("option")
    return handler(task, arg2, arg3, arg4, arg5)


# ---- keyctl's options ----------------------------------------------------------------------------------------------


def _get_ring(task: Task, number: int, makes: int, _4: int, _5: int) -> int:
    return lookup(task, _number(number), SEARCH, makes=bool(makes & 0xFFFFFFFF))[0].serial


def _join_session(task: Task, name: int, _3: int, _4: int, _5: int) -> int:
    text = _text(task, name) if name else None
    if text is not None and (not text or text[:1] == b"."):
        raise EPERM("a name of the kernel's own") if text else EINVAL("name")
    return keys.join_session(task, text).serial


def _update(task: Task, number: int, payload: int, size: int, _5: int) -> int:
    if size > _PAGE:
        raise EINVAL("payload")
    content = task.memory.read(payload, size) if size else b""
    key, _ = lookup(task, _number(number), WRITE)
    if key.type not in keys.UPDATABLE:
        raise EOPNOTSUPP("update")
    keys.check_payload(key.type, content)
    key.set_payload(content)
    return 0


def _revoke(task: Task, number: int, _3: int, _4: int, _5: int) -> int:
    try:
        key, _ = lookup(task, _number(number), WRITE)
    except EACCES:
        key, _ = lookup(task, _number(number), SETATTR)
    key.is_revoked = True
    if key.members is not None:
        keys.clear(key)
    return 0


def _chown(task: Task, number: int, uid: int, gid: int, _5: int) -> int:
    uid, gid = uid & _UNCHANGED, gid & _UNCHANGED
    if uid == gid == _UNCHANGED:
        return 0
    key, _ = lookup(task, _number(number), SETATTR, makes=True, takes_negative=True)
    if not task.has_cap(CAP_SYS_ADMIN):
        if uid not in (_UNCHANGED, key.uid):
            raise EACCES("owner")
        if gid not in (_UNCHANGED, key.gid) and not is_in_group(task.cred, gid):
            raise EACCES("group")
    key.give(key.uid if uid == _UNCHANGED else uid, key.gid if gid == _UNCHANGED else gid)
    return 0


def _set_perm(task: Task, number: int, perm: int, _4: int, _5: int) -> int:
    perm &= 0xFFFFFFFF
    if perm & ~keys.PERM_ALL:
        raise EINVAL("permissions")
    key, _ = lookup(task, _number(number), SETATTR, makes=True, takes_negative=True)
    if not task.has_cap(CAP_SYS_ADMIN) and key.uid != task.cred.fsuid:
        raise EACCES("owner")
    key.perm = perm
    return 0


def _describe(task: Task, number: int, buffer: int, size: int, _5: int) -> int:
    key, _ = lookup(task, _number(number), VIEW, takes_negative=True)
    gid = 65534 if key.gid == _UNCHANGED else key.gid
    return _answer(task, b"%s;%d;%d;%08x;%s\0" % (key.type, key.uid, gid, key.perm, key.description), buffer, size)


def _answer(task: Task, content: bytes, buffer: int, size: int) -> int:
    """All of it if there is room, and how much that is."""
    if buffer and content and size >= len(content):
        task.memory.write(buffer, content)
    return len(content)


def _clear(task: Task, number: int, _3: int, _4: int, _5: int) -> int:
    keys.clear(lookup(task, _number(number), WRITE, makes=True)[0])
    return 0


def _link(task: Task, number: int, ring_number: int, _4: int, _5: int) -> int:
    ring, _ = lookup(task, _number(ring_number), WRITE, makes=True)
    key, _ = lookup(task, _number(number), LINK, makes=True)
    keys.link(ring, key)
    return 0


def _unlink(task: Task, number: int, ring_number: int, _4: int, _5: int) -> int:
    ring, _ = lookup(task, _number(ring_number), WRITE)
    key, _ = lookup(task, _number(number), keys.UNLINK)
    keys.unlink(ring, key)
    return 0


def _search(task: Task, ring_number: int, type: int, description: int, destination: int) -> int:
    kind, name = _type(task, type), _text(task, description)
    ring, is_possessed = lookup(task, _number(ring_number), SEARCH)
    into = lookup(task, _number(destination), WRITE, makes=True)[0] if _number(destination) else None
    if kind not in keys.TYPES:
        raise ENOKEY("no such type")
    try:
        found = keys.search(task, ring, lambda key: (key.type, key.description) == (kind, name), is_possessed)
    except EAGAIN:
        raise ENOKEY("not found") from None
    if into is not None:
        if not keys.may(task, found, LINK, is_possessed):
            raise EACCES("link")
        keys.link(into, found)
    return found.serial


def _read(task: Task, number: int, buffer: int, size: int, _5: int) -> int:
    """What the task possesses it may read, whatever the key's own permission says of strangers."""
    try:
        key, is_possessed = lookup(task, _number(number), 0)
    except EINVAL:
        raise ENOKEY("no key's number") from None
    if not is_possessed and not keys.may(task, key, READ, False):
        raise EACCES("read")
    if key.type not in keys.READABLE:
        raise EOPNOTSUPP("read")
    content = key.payload if key.members is None else b"".join(_INT.pack(each.serial) for each in key.members)
    return _answer(task, content, buffer, size)


def _set_default_ring(task: Task, wanted: int, _3: int, _4: int, _5: int) -> int:
    wanted = _number(wanted)
    old: int = task.state.get("request_key_ring", 0)
    if wanted == -1:
        return old
    if wanted not in _DEFAULT_RINGS:
        raise EINVAL("keyring")
    if wanted in (1, 2):
        lookup(task, _RING_OF_DEFAULT[wanted], 0, makes=True)
    task.state["request_key_ring"] = wanted
    return old


def _set_timeout(task: Task, number: int, seconds: int, _4: int, _5: int) -> int:
    key, _ = lookup(task, _number(number), SETATTR, makes=True, takes_negative=True)
    seconds &= 0xFFFFFFFF
    key.expires_ns = time_ns() + seconds * _NS if seconds else 0
    return 0


def _no_authority(task: Task, _2: int, _3: int, _4: int, _5: int) -> int:
    raise EPERM("no key is being made")


def _assume_authority(task: Task, number: int, _3: int, _4: int, _5: int) -> int:
    if _number(number) < 0:
        raise EINVAL("key")
    if _number(number):
        raise ENOKEY("no key is being made")
    return 0


def _label(task: Task, number: int, buffer: int, size: int, _5: int) -> int:
    lookup(task, _number(number), VIEW)
    return _answer(task, b"\0", buffer, size)


def _invalidate(task: Task, number: int, _3: int, _4: int, _5: int) -> int:
    keys.invalidate(lookup(task, _number(number), SEARCH)[0])
    return 0


def _restrict(task: Task, number: int, type: int, restriction: int, _5: int) -> int:
    ring, _ = lookup(task, _number(number), SETATTR)
    if bool(type) != bool(restriction):
        raise EINVAL("restriction")
    if type:
        raise ENOENT("a restriction") if _type(task, type) in keys.TYPES else ENOKEY("no such type")
    ring.ring()
    if ring.is_restricted:
        raise EEXIST("restricted")
    ring.is_restricted = True
    return 0


def _move(task: Task, number: int, from_number: int, to_number: int, flags: int) -> int:
    if flags & 0xFFFFFFFF & ~_MOVE_EXCL:
        raise EINVAL("flags")
    key, _ = lookup(task, _number(number), LINK, makes=True)
    origin, _ = lookup(task, _number(from_number), WRITE)
    target, _ = lookup(task, _number(to_number), WRITE, makes=True)
    if origin is target:
        return 0
    if key not in origin.ring():
        raise ENOENT("no link")
    same: list[Key] = [each for each in target.ring() if (each.type, each.description) == (key.type, key.description)]
    if flags & _MOVE_EXCL and same:
        raise EEXIST("there is one")
    keys.link(target, key)
    keys.unlink(origin, key)
    return 0


def _capabilities(task: Task, buffer: int, size: int, _4: int, _5: int) -> int:
    """KEYCTL_CAPS0_{CAPABILITIES,INVALIDATE,RESTRICT_KEYRING,MOVE}; the rest of the buffer is zeroed."""
    if size:
        task.memory.write(buffer, _CAPABILITIES[:size].ljust(min(size, _PAGE), b"\0"))
    return len(_CAPABILITIES)


_OPTIONS: dict[int, Callable[[Task, int, int, int, int], int]] = {
    0: _get_ring,
    1: _join_session,
    2: _update,
    3: _revoke,
    4: _chown,
    5: _set_perm,
    6: _describe,
    7: _clear,
    8: _link,
    9: _unlink,
    10: _search,
    11: _read,
    12: _no_authority,  # KEYCTL_INSTANTIATE
    13: _no_authority,  # KEYCTL_NEGATE
    14: _set_default_ring,
    15: _set_timeout,
    16: _assume_authority,
    17: _label,
    19: _no_authority,  # KEYCTL_REJECT
    20: _no_authority,  # KEYCTL_INSTANTIATE_IOV
    21: _invalidate,
    29: _restrict,
    30: _move,
    31: _capabilities,
}

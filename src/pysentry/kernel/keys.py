"""Keys and keyrings: keyrings(7). The sandbox's own; the host's keyrings are never asked.

Owns what a key is, who may do what with it, which keyrings a task has and how they are searched. A key lives as long as
something holds it: a keyring, a task, a process, a user, or a session that a task is in. Sources: Linux security/keys/.
"""

from __future__ import annotations

from _weakref import ref
from time import time_ns

from pysentry.abi.errno import (
    EACCES,
    EAGAIN,
    EDEADLK,
    EDQUOT,
    EINVAL,
    EKEYEXPIRED,
    EKEYREVOKED,
    ELOOP,
    ENOENT,
    ENOKEY,
    ENOTDIR,
    EPERM,
    LinuxError,
)
from pysentry.kernel.task import all_tasks
from pysentry.platform.native import ffi
from pysentry.vfs.permissions import is_in_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task

VIEW, READ, WRITE, SEARCH, LINK, SETATTR = (1 << bit for bit in range(6))
UNLINK = -1  # nothing is asked of the key itself
_POSSESSOR, _USER = 24, 16
PERM_ALL = 0x3F3F3F3F
_PERM_OWN, _PERM_USERS, _PERM_SESSION, PERM_NAMED_SESSION = 0x3F010000, 0x1F3F0000, 0x3F030000, 0x3F130000
KEYRING, USER, LOGON = b"keyring", b"user", b"logon"
TYPES = (KEYRING, USER, LOGON)
READABLE, UPDATABLE = (KEYRING, USER), (USER, LOGON)
THREAD_RING, PROCESS_RING, SESSION_RING, USER_RING, USER_SESSION_RING = -1, -2, -3, -4, -5
_GROUP_RING, _REQUEST_AUTHORITY, _REQUESTOR_RING = -6, -7, -8
_MOST_NESTED = 6
_NOBODY = 0xFFFFFFFF
_PAYLOAD_MAX = 32767
_NEGATIVE_NS = 60_000_000_000
_QUOTA, _QUOTA_ROOT = (200, 20_000), (10_000, 2_500_000)  # keys, bytes; Linux lets root have a hundred times as many
_MOST_KEYS = 20_000  # of all users: they are kept in the sentry
_LINK_BYTES = 4

_all: dict[int, ref[Key]] = {}
_users: dict[bytes, Key] = {}
_sessions: dict[int, Key] = {}
_used: dict[int, list[int]] = {}  # by uid: keys, bytes
_last_serial = 0x1000000


class Key:
    """One key. `members`: what a keyring links to; None: no keyring."""

    __slots__ = (
        "__weakref__", "description", "expires_ns", "gid", "is_gone", "is_negative", "is_restricted", "is_revoked",
        "members", "payload", "perm", "serial", "type", "uid",
    )  # fmt: skip

    def __init__(
        self, kind: bytes, description: bytes, owner: tuple[int, int], perm: int, payload: bytes = b""
    ) -> None:
        """EDQUOT: the user has too many."""
        global _last_serial
        _charge(owner[0], 1, len(description) + 1 + len(payload))
        _last_serial += 1
        self.serial = _last_serial
        self.type, self.description, self.payload, self.perm = kind, description, payload, perm
        self.uid, self.gid = owner
        self.members: list[Key] | None = [] if kind == KEYRING else None
        self.expires_ns = 0
        self.is_revoked = self.is_gone = self.is_restricted = self.is_negative = False
        _all[self.serial] = ref(self)

    def __del__(self) -> None:
        if _all.pop(getattr(self, "serial", 0), None) is not None:
            _discharge(self.uid, 1, self.size)

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        links = 0 if self.members is None else len(self.members)
        return len(self.description) + 1 + len(self.payload) + _LINK_BYTES * links

    def set_payload(self, payload: bytes) -> None:
        _charge(self.uid, 0, max(0, len(payload) - len(self.payload)))
        _discharge(self.uid, 0, max(0, len(self.payload) - len(payload)))
        self.payload = payload
        self.expires_ns = 0
        self.is_negative = False

    def give(self, uid: int, gid: int) -> None:
        """To another user and group. EDQUOT."""
        if uid != self.uid:
            _charge(uid, 1, self.size)
            _discharge(self.uid, 1, self.size)
            self.uid = uid
        self.gid = gid

    @property
    def is_expired(self) -> bool:
        return bool(self.expires_ns) and time_ns() >= self.expires_ns

    def check_valid(self, takes_negative: bool = False) -> None:
        """key_validate(); and ENOKEY for one that stands for "there is none"."""
        if self.is_gone:
            raise ENOKEY("invalidated")
        if self.is_revoked:
            raise EKEYREVOKED("revoked")
        if self.is_expired:
            raise EKEYEXPIRED("expired")
        if self.is_negative and not takes_negative:
            raise ENOKEY("negative")

    def ring(self) -> list[Key]:
        """What it links to. ENOTDIR: it is no keyring."""
        if self.members is None:
            raise ENOTDIR("no keyring")
        return self.members


def _charge(uid: int, keys: int, size: int) -> None:
    most_keys, most_bytes = _QUOTA_ROOT if uid == 0 else _QUOTA
    used = _used.setdefault(uid, [0, 0])
    if used[0] + keys > most_keys or used[1] + size > most_bytes or len(_all) >= _MOST_KEYS:
        _forget_sessions()
        if len(_all) >= _MOST_KEYS or used[0] + keys > most_keys or used[1] + size > most_bytes:
            raise EDQUOT("keys")
    used[0] += keys
    used[1] += size


def _discharge(uid: int, keys: int, size: int) -> None:
    used = _used.get(uid)
    if used is not None:
        used[0] -= keys
        used[1] -= size


def _forget_sessions() -> None:
    """Those that no task is in any more."""
    in_use = {c.cred.session_keyring for c in all_tasks() if c.cred != ffi.NULL}
    for serial in [serial for serial in _sessions if serial not in in_use]:
        del _sessions[serial]


def by_serial(serial: int) -> Key | None:
    found = _all.get(serial)
    return None if found is None else found()


# ---- a task's keyrings ----------------------------------------------------------------------------------------------


def _owner(task: Task) -> tuple[int, int]:
    return task.cred.fsuid, task.cred.fsgid


def thread_ring(task: Task, makes: bool) -> Key | None:
    return _own(task.state, task, b"_tid", makes)


def process_ring(task: Task, makes: bool) -> Key | None:
    return _own(task.group.state, task, b"_pid", makes)


def _own(state: dict[str, Key], task: Task, name: bytes, makes: bool) -> Key | None:
    found = state.get("keyring")
    if found is None and makes:
        found = state["keyring"] = Key(KEYRING, name, _owner(task), _PERM_OWN)
    return found


def user_ring(task: Task, is_session: bool) -> Key:
    """The keyring of a user; or that of his sessions, which links to it."""
    uid = task.cred.uid
    name = b"_uid_ses.%d" % uid if is_session else b"_uid.%d" % uid
    found = _users.get(name)
    if found is None:
        made = Key(KEYRING, name, (uid, _NOBODY), _PERM_USERS)
        if is_session:
            link(made, user_ring(task, False))
        found = _users[name] = made
    return found


def session_ring(task: Task) -> Key | None:
    return _sessions.get(task.cred.session_keyring)


def join_session(task: Task, name: bytes | None) -> Key:
    """A session of its own, or one by name that it may search."""
    found = None
    if name is not None:
        for each in list(_sessions.values()):
            if each.description == name and not each.is_revoked and may(task, each, SEARCH, False):
                found = each
    if found is None:
        perm = _PERM_SESSION if name is None else PERM_NAMED_SESSION
        found = Key(KEYRING, b"_ses" if name is None else name, _owner(task), perm)
    _enter(task, found)
    return found


def _enter(task: Task, ring: Key) -> None:
    _sessions[ring.serial] = ring
    task.set_cred(session_keyring=ring.serial)


# ---- looking up -----------------------------------------------------------------------------------------------------


def may(task: Task, key: Key, need: int, is_possessed: bool) -> bool:
    """key_task_permission()."""
    cred = task.cred
    shift = 0
    if key.uid == cred.fsuid:
        shift = _USER
    elif key.gid != _NOBODY and key.perm >> 8 & 0x3F and is_in_group(cred, key.gid):
        shift = 8
    allowed = key.perm >> shift & 0x3F
    if is_possessed:
        allowed |= key.perm >> _POSSESSOR & 0x3F
    return allowed & need == need


def lookup(task: Task, number: int, need: int, makes: bool = False, takes_negative: bool = False) -> tuple[Key, bool]:
    """lookup_user_key(): the key with a serial number or a special name, and whether the task possesses it."""
    key, is_possessed = _named(task, number, makes)
    if need != UNLINK:
        key.check_valid(takes_negative)
        if need and not may(task, key, need, is_possessed):
            raise EACCES("key")
    return key, is_possessed


def _named(task: Task, number: int, makes: bool) -> tuple[Key, bool]:
    found: Key | None = None
    if number == THREAD_RING:
        found = thread_ring(task, makes)
    elif number == PROCESS_RING:
        found = process_ring(task, makes)
    elif number == SESSION_RING:
        found = session_ring(task)
        if found is None:
            if makes:
                found = join_session(task, None)
            else:
                found = user_ring(task, True)
                _enter(task, found)
        elif makes and found is user_ring(task, True):
            found = join_session(task, None)
    elif number in (USER_RING, USER_SESSION_RING):
        found = user_ring(task, number == USER_SESSION_RING)
    elif number in (_REQUEST_AUTHORITY, _REQUESTOR_RING):
        raise ENOKEY("nothing is requested")
    elif number < 1:
        raise EINVAL("key")
    else:
        found = by_serial(number)
        if found is None:
            raise ENOKEY("no such key")
        return found, is_possessed(task, found)
    if found is None:
        raise ENOKEY("no such keyring")
    return found, True


def is_possessed(task: Task, key: Key) -> bool:
    """True if a search of the task's own keyrings comes to it."""
    try:
        return search_own(task, lambda other: other is key, checks=False) is key
    except LinuxError:
        return False


def search_own(task: Task, matches: Callable[[Key], bool], checks: bool = True) -> Key:
    """search_cred_keyrings(). EAGAIN: in none; else why the one that there is will not do."""
    rings = [thread_ring(task, False), process_ring(task, False), session_ring(task) or user_ring(task, True)]
    nothing: LinuxError | None = None
    refused: LinuxError | None = None
    for ring in rings:
        if ring is None:
            continue
        try:
            return search(task, ring, matches, True, checks)
        except (EAGAIN, ENOKEY) as error:
            nothing = nothing or error
        except LinuxError as error:
            refused = error
    raise nothing or refused or EAGAIN("no keyring")


def search(task: Task, ring: Key, matches: Callable[[Key], bool], is_possessed: bool, checks: bool = True) -> Key:
    """keyring_search_rcu(): the first that matches, below as well. EAGAIN: none."""
    ring.ring()
    if not may(task, ring, SEARCH, is_possessed):
        raise EACCES("keyring")
    refused: list[LinuxError] = []
    found = _search(task, ring, matches, is_possessed, checks, 0, refused, set())
    if found is None:
        raise refused[-1] if refused else EAGAIN("not found")
    return found


def _search(
    task: Task,
    ring: Key,
    matches: Callable[[Key], bool],
    is_possessed: bool,
    checks: bool,
    depth: int,
    refused: list[LinuxError],
    seen: set[Key],
) -> Key | None:
    if matches(ring):
        return ring
    seen.add(ring)
    for key in ring.ring():
        if matches(key):
            try:
                if checks:
                    key.check_valid()
                if not may(task, key, SEARCH, is_possessed):
                    raise EACCES("key")
                return key
            except LinuxError as error:
                refused.append(error)
    if depth < _MOST_NESTED:
        for key in ring.ring():
            if key.members is None or key in seen or key.is_revoked:
                continue
            if may(task, key, SEARCH, is_possessed):
                found = _search(task, key, matches, is_possessed, checks, depth + 1, refused, seen)
                if found is not None:
                    return found
    return None


# ---- links ----------------------------------------------------------------------------------------------------------


def link(ring: Key, key: Key) -> None:
    """key_link(): in the place of one of the same type and name. EPERM: restricted; EDEADLK: a circle; ELOOP."""
    members = ring.ring()
    if ring.is_restricted:
        raise EPERM("restricted")
    if key.members is not None:
        _check_no_circle(ring, key, 0, set())
    _drop(ring, lambda other: (other.type, other.description) == (key.type, key.description))
    _charge(ring.uid, 0, _LINK_BYTES)
    members.append(key)


def _check_no_circle(ring: Key, below: Key, depth: int, seen: set[Key]) -> None:
    if below is ring:
        raise EDEADLK("a circle")
    if depth > _MOST_NESTED:
        raise ELOOP("too deep")
    seen.add(below)
    for key in below.ring():
        if key.members is not None and key not in seen:
            _check_no_circle(ring, key, depth + 1, seen)


def _drop(ring: Key, is_dropped: Callable[[Key], bool]) -> None:
    members = ring.ring()
    kept = [key for key in members if not is_dropped(key)]
    _discharge(ring.uid, 0, _LINK_BYTES * (len(members) - len(kept)))
    members[:] = kept


def clear(ring: Key) -> None:
    """No links any more. ENOTDIR."""
    _drop(ring, lambda _: True)


def unlink(ring: Key, key: Key) -> None:
    """key_unlink(). ENOENT: it is not there."""
    members = ring.ring()
    if key not in members:
        raise ENOENT("no link")
    _drop(ring, lambda other: other is key)


def invalidate(key: Key) -> None:
    """Out of every keyring, at once."""
    key.is_gone = True
    for each in list(_all.values()):
        ring = each()
        if ring is not None and ring.members is not None and key in ring.members:
            _drop(ring, lambda other: other is key)


def add(task: Task, ring: Key, is_possessed: bool, kind: bytes, description: bytes | None, payload: bytes) -> Key:
    """key_create_or_update()."""
    members = ring.ring()
    check_payload(kind, payload)
    if not description or (kind == LOGON and b":" not in description[1:]):
        raise EINVAL("description")
    if ring.is_restricted:
        raise EPERM("restricted")
    if kind in UPDATABLE:
        for key in members:
            if (key.type, key.description) == (kind, description) and not key.is_revoked:
                if not may(task, key, WRITE, is_possessed):
                    raise EACCES("key")
                key.set_payload(payload)
                return key
    made = _make(task, kind, description, payload)
    link(ring, made)
    return made


def add_negative(task: Task, ring: Key, kind: bytes, description: bytes) -> None:
    """What is left of a request that nobody answered: for a minute, ENOKEY."""
    made = _make(task, kind, description, b"")
    made.is_negative = True
    made.expires_ns = time_ns() + _NEGATIVE_NS
    link(ring, made)


def _make(task: Task, kind: bytes, description: bytes, payload: bytes) -> Key:
    perm = _PERM_OWN if kind in READABLE else _PERM_OWN & ~(READ << _POSSESSOR)
    return Key(kind, description, _owner(task), perm, payload)


def check_payload(kind: bytes, payload: bytes) -> None:
    """What a type takes: a keyring nothing, the others some bytes."""
    if kind == KEYRING and payload:
        raise EINVAL("payload")
    if kind != KEYRING and not 0 < len(payload) <= _PAYLOAD_MAX:
        raise EINVAL("payload")

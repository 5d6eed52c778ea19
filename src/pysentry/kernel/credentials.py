"""The rules of virtual credentials: which ids, groups and capabilities a task may give itself, and what follows.

Every function takes a `struct credentials` (read-only) and returns the fields that change, for `Task.set_cred`; EPERM
where Linux refuses. Does not own what the ids then allow: files are vfs/permissions, signals kernel/signals.
Sources: Linux kernel/sys.c, security/commoncap.c; credentials(7), capabilities(7).
"""

from __future__ import annotations

from pysentry.abi.capability import (
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_FSETID,
    CAP_FULL_SET,
    CAP_LAST_CAP,
    CAP_LINUX_IMMUTABLE,
    CAP_MAC_OVERRIDE,
    CAP_MKNOD,
    CAP_SETGID,
    CAP_SETPCAP,
    CAP_SETUID,
    CAP_SYS_PTRACE,
)
from pysentry.abi.errno import EINVAL, EPERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pysentry.kernel.file_capabilities import FileCapabilities
    from pysentry.platform.cdefs import CCredentials

    Changes = dict[str, Any]

UNCHANGED = 0xFFFFFFFF
"""-1 as a uid or gid: leave it as it is."""

SECBIT_NOROOT, SECBIT_NO_SETUID_FIXUP, SECBIT_KEEP_CAPS, SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 0, 1 << 2, 1 << 4, 1 << 6
SECURE_ALL_BITS = SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS | SECBIT_NO_CAP_AMBIENT_RAISE
SECURE_ALL_LOCKS = SECURE_ALL_BITS << 1
_KEEP_CAPS_LOCKED = SECBIT_KEEP_CAPS << 1

_FS_CAPS = sum(
    1 << bit
    for bit in (
        CAP_CHOWN,
        CAP_DAC_OVERRIDE,
        CAP_DAC_READ_SEARCH,
        CAP_FOWNER,
        CAP_FSETID,
        CAP_LINUX_IMMUTABLE,
        CAP_MAC_OVERRIDE,
        CAP_MKNOD,
    )
)


def is_capable(cred: CCredentials, capability: int) -> bool:
    """True if the capability (bit number) is effective."""
    return bool(cred.cap_effective >> capability & 1)


# ---- user ids -----------------------------------------------------------------------------------------------------


def setuid(cred: CCredentials, uid: int) -> Changes:
    """setuid(2): all three ids for the privileged, else the effective one, to the real or saved."""
    if uid == UNCHANGED:
        raise EINVAL("uid -1")
    if is_capable(cred, CAP_SETUID):
        return _with_uids(cred, uid, uid, uid)
    if uid not in (cred.uid, cred.suid):
        raise EPERM("setuid")
    return _with_uids(cred, cred.uid, uid, cred.suid)


def setreuid(cred: CCredentials, ruid: int, euid: int) -> Changes:
    """setreuid(2)."""
    return _with_uids(cred, *_real_effective(cred, ruid, euid, (cred.uid, cred.euid, cred.suid), CAP_SETUID))


def setresuid(cred: CCredentials, ruid: int, euid: int, suid: int) -> Changes:
    """setresuid(2)."""
    if _is_same((ruid, euid, suid), (cred.uid, cred.euid, cred.suid), cred.fsuid):
        return {}
    return _with_uids(cred, *_all_three(cred, (ruid, euid, suid), (cred.uid, cred.euid, cred.suid), CAP_SETUID))


def setfsuid(cred: CCredentials, uid: int) -> Changes:
    """setfsuid(2): no error, nothing changes where it is not allowed."""
    if uid == UNCHANGED or uid == cred.fsuid:
        return {}
    if uid not in (cred.uid, cred.euid, cred.suid, cred.fsuid) and not is_capable(cred, CAP_SETUID):
        return {}
    changes: Changes = {"fsuid": uid}
    if not cred.securebits & SECBIT_NO_SETUID_FIXUP:
        if cred.fsuid == 0:
            changes["cap_effective"] = cred.cap_effective & ~_FS_CAPS
        elif uid == 0:
            changes["cap_effective"] = cred.cap_effective | cred.cap_permitted & _FS_CAPS
    return changes


def _with_uids(cred: CCredentials, uid: int, euid: int, suid: int) -> Changes:
    """New user ids, with what they do to the capabilities: cap_emulate_setxuid()."""
    changes: Changes = {"uid": uid, "euid": euid, "suid": suid, "fsuid": euid}
    if cred.securebits & SECBIT_NO_SETUID_FIXUP:
        return changes
    permitted, effective = cred.cap_permitted, cred.cap_effective
    if 0 in (cred.uid, cred.euid, cred.suid) and 0 not in (uid, euid, suid):
        if not cred.securebits & SECBIT_KEEP_CAPS:
            permitted = effective = 0
        changes["cap_ambient"] = 0
    if cred.euid == 0 and euid != 0:
        effective = 0
    elif cred.euid != 0 and euid == 0:
        effective = permitted
    changes.update(cap_permitted=permitted, cap_effective=effective)
    return changes


# ---- group ids ----------------------------------------------------------------------------------------------------


def setgid(cred: CCredentials, gid: int) -> Changes:
    """setgid(2)."""
    if gid == UNCHANGED:
        raise EINVAL("gid -1")
    if is_capable(cred, CAP_SETGID):
        return _with_gids(gid, gid, gid)
    if gid not in (cred.gid, cred.sgid):
        raise EPERM("setgid")
    return _with_gids(cred.gid, gid, cred.sgid)


def setregid(cred: CCredentials, rgid: int, egid: int) -> Changes:
    """setregid(2)."""
    return _with_gids(*_real_effective(cred, rgid, egid, (cred.gid, cred.egid, cred.sgid), CAP_SETGID))


def setresgid(cred: CCredentials, rgid: int, egid: int, sgid: int) -> Changes:
    """setresgid(2)."""
    if _is_same((rgid, egid, sgid), (cred.gid, cred.egid, cred.sgid), cred.fsgid):
        return {}
    return _with_gids(*_all_three(cred, (rgid, egid, sgid), (cred.gid, cred.egid, cred.sgid), CAP_SETGID))


def setfsgid(cred: CCredentials, gid: int) -> Changes:
    """setfsgid(2)."""
    allowed = gid in (cred.gid, cred.egid, cred.sgid, cred.fsgid) or is_capable(cred, CAP_SETGID)
    return {"fsgid": gid} if gid != UNCHANGED and allowed else {}


def setgroups(cred: CCredentials, groups: Sequence[int]) -> Changes:
    """setgroups(2); Linux keeps them sorted."""
    if UNCHANGED in groups:
        raise EINVAL("groups")
    return {"groups": sorted(groups)}


def _with_gids(gid: int, egid: int, sgid: int) -> Changes:
    return {"gid": gid, "egid": egid, "sgid": sgid, "fsgid": egid}


def _real_effective(
    cred: CCredentials, real: int, effective: int, old: tuple[int, int, int], capability: int
) -> tuple[int, int, int]:
    """setreuid and setregid: the new (real, effective, saved). The saved one follows if the real one is set, or the
    effective one to anything but the real."""
    old_real, old_effective, old_saved = old
    may = is_capable(cred, capability)
    if real != UNCHANGED and real not in (old_real, old_effective) and not may:
        raise EPERM("real id")
    if effective != UNCHANGED and effective not in old and not may:
        raise EPERM("effective id")
    new_real = old_real if real == UNCHANGED else real
    new_effective = old_effective if effective == UNCHANGED else effective
    follows = real != UNCHANGED or (effective != UNCHANGED and effective != old_real)
    return new_real, new_effective, new_effective if follows else old_saved


def _is_same(wanted: tuple[int, int, int], old: tuple[int, int, int], file_system: int) -> bool:
    """setresuid and setresgid change nothing then, not even the file system id."""
    is_same = all(new in (UNCHANGED, was) for new, was in zip(wanted, old, strict=True))
    return is_same and wanted[1] in (UNCHANGED, file_system)


def _all_three(
    cred: CCredentials, wanted: tuple[int, int, int], old: tuple[int, int, int], capability: int
) -> tuple[int, int, int]:
    for one in wanted:
        if one != UNCHANGED and one not in old and not is_capable(cred, capability):
            raise EPERM("id")
    real, effective, saved = (was if new == UNCHANGED else new for new, was in zip(wanted, old, strict=True))
    return real, effective, saved


# ---- capabilities ---------------------------------------------------------------------------------------------------


def capset(cred: CCredentials, effective: int, permitted: int, inheritable: int) -> Changes:
    """capset(2): cap_capset()."""
    effective, permitted, inheritable = effective & CAP_FULL_SET, permitted & CAP_FULL_SET, inheritable & CAP_FULL_SET
    if inheritable & ~(cred.cap_inheritable | cred.cap_permitted) and not is_capable(cred, CAP_SETPCAP):
        raise EPERM("inheritable beyond permitted")
    if inheritable & ~(cred.cap_inheritable | cred.cap_bounding):
        raise EPERM("inheritable beyond the bounding set")
    if permitted & ~cred.cap_permitted:
        raise EPERM("permitted only falls")
    if effective & ~permitted:
        raise EPERM("effective beyond permitted")
    return {
        "cap_effective": effective,
        "cap_permitted": permitted,
        "cap_inheritable": inheritable,
        "cap_ambient": cred.cap_ambient & permitted & inheritable,
    }


def check_capability(number: int) -> int:
    """The bit of a capability number. EINVAL if there is none such."""
    if not 0 <= number <= CAP_LAST_CAP:
        raise EINVAL("capability")
    return 1 << number


def drop_bounding(cred: CCredentials, number: int) -> Changes:
    """PR_CAPBSET_DROP."""
    if not is_capable(cred, CAP_SETPCAP):
        raise EPERM("CAP_SETPCAP")
    return {"cap_bounding": cred.cap_bounding & ~check_capability(number)}


def raise_ambient(cred: CCredentials, number: int) -> Changes:
    """PR_CAP_AMBIENT_RAISE: only what is permitted and inheritable."""
    bit = check_capability(number)
    if not cred.cap_permitted & cred.cap_inheritable & bit or cred.securebits & SECBIT_NO_CAP_AMBIENT_RAISE:
        raise EPERM("not permitted and inheritable")
    return {"cap_ambient": cred.cap_ambient | bit}


def lower_ambient(cred: CCredentials, number: int) -> Changes:
    """PR_CAP_AMBIENT_LOWER."""
    return {"cap_ambient": cred.cap_ambient & ~check_capability(number)}


def set_securebits(cred: CCredentials, bits: int) -> Changes:
    """PR_SET_SECUREBITS: locked bits stay, locks stay."""
    locks = cred.securebits & SECURE_ALL_LOCKS
    changed = cred.securebits ^ bits
    if (
        locks >> 1 & changed
        or locks & ~bits
        or bits & ~(SECURE_ALL_BITS | SECURE_ALL_LOCKS)
        or not is_capable(cred, CAP_SETPCAP)
    ):
        raise EPERM("securebits")
    return {"securebits": bits}


def set_keep_caps(cred: CCredentials, value: int) -> Changes:
    """PR_SET_KEEPCAPS."""
    if value > 1:
        raise EINVAL("PR_SET_KEEPCAPS")
    if cred.securebits & _KEEP_CAPS_LOCKED:
        raise EPERM("locked")
    bits = cred.securebits & ~SECBIT_KEEP_CAPS
    return {"securebits": bits | SECBIT_KEEP_CAPS if value else bits}


# ---- exec ---------------------------------------------------------------------------------------------------------


def at_exec(
    cred: CCredentials, euid: int, egid: int, given: FileCapabilities | None = None, may_gain: bool = True
) -> Changes:
    """What exec makes of the credentials when the effective ids become these (those of a set-id file, or the old ones)
    and the file gives these capabilities: cap_bprm_creds_from_file(). EPERM: it would get fewer than it relies on.
    may_gain: False under no_new_privs, or a tracer without CAP_SYS_PTRACE"""
    is_set_id = (euid, egid) != (cred.euid, cred.egid)
    permitted, becomes_effective = 0, False
    if given is not None:
        permitted = cred.cap_bounding & given.permitted | cred.cap_inheritable & given.inheritable
        becomes_effective = given.is_effective
        if becomes_effective and given.permitted & ~permitted:
            raise EPERM("file capabilities beyond the bounding set")
    is_set_to_root = euid == 0 and cred.uid != 0
    if not cred.securebits & SECBIT_NOROOT and 0 in (cred.uid, euid) and not (given and is_set_to_root):
        permitted = cred.cap_bounding | cred.cap_inheritable
        becomes_effective = becomes_effective or euid == 0
    if not may_gain:
        permitted &= cred.cap_permitted
    ambient = 0 if is_set_id or given is not None else cred.cap_ambient
    permitted |= ambient
    effective = permitted if becomes_effective else ambient
    return {
        "euid": euid,
        "suid": euid,
        "fsuid": euid,
        "egid": egid,
        "sgid": egid,
        "fsgid": egid,
        "cap_permitted": permitted,
        "cap_effective": effective,
        "cap_ambient": ambient,
        "securebits": cred.securebits & ~SECBIT_KEEP_CAPS,
    }


def may_inspect(cred: CCredentials, other: CCredentials, by_real_ids: bool = False) -> bool:
    """PTRACE_MODE_READ: whose limits, maps and links a task may look at. CAP_SYS_PTRACE, or the same ids throughout and
    no capability that one lacks. By its file system ids (/proc), or by its real ones (system calls)."""
    if is_capable(cred, CAP_SYS_PTRACE):
        return True
    uid, gid = (cred.uid, cred.gid) if by_real_ids else (cred.fsuid, cred.fsgid)
    same = uid == other.uid == other.euid == other.suid and gid == other.gid == other.egid == other.sgid
    return same and not other.cap_permitted & ~cred.cap_permitted

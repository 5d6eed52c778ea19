"""The rules of kernel/credentials against Linux: random sequences of calls, in a child of root and in the model."""

from __future__ import annotations

import ctypes
import json
import os
import random
from types import SimpleNamespace
from typing import Any

import pytest

from pysentry.abi.capability import CAP_FULL_SET, CAP_SETGID, CAP_SETPCAP, CAP_SETUID
from pysentry.abi.errno import EINVAL, EPERM, LinuxError
from pysentry.kernel import credentials
from pysentry.kernel.credentials import UNCHANGED

IDS = (0, 1000, 1001, 1002, UNCHANGED)
NR = {
    "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "setresuid": 117, "setresgid": 119,
    "setfsuid": 122, "setfsgid": 123, "capset": 126, "prctl": 157, "setgroups": 116,
}  # fmt: skip
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_CAP_AMBIENT = 8, 24, 28, 47
CAP_CHOICES = (CAP_SETUID, CAP_SETGID, CAP_SETPCAP, 0, 21)
Call = tuple[Any, ...]


def state() -> SimpleNamespace:
    return SimpleNamespace(
        uid=0, euid=0, suid=0, fsuid=0, gid=0, egid=0, sgid=0, fsgid=0, groups=[], ngroups=0, securebits=0,
        cap_effective=CAP_FULL_SET, cap_permitted=CAP_FULL_SET, cap_inheritable=0, cap_bounding=CAP_FULL_SET,
        cap_ambient=0, no_new_privs=0,
    )  # fmt: skip


def random_set(rng: random.Random) -> int:
    return rng.choice((0, CAP_FULL_SET, sum(1 << c for c in CAP_CHOICES if rng.random() < 0.6)))


def random_call(rng: random.Random) -> Call:
    name = rng.choice([*NR, "setresuid", "setreuid"])
    if name in ("setuid", "setgid", "setfsuid", "setfsgid"):
        return name, rng.choice(IDS)
    if name in ("setreuid", "setregid"):
        return name, rng.choice(IDS), rng.choice(IDS)
    if name in ("setresuid", "setresgid"):
        return name, rng.choice(IDS), rng.choice(IDS), rng.choice(IDS)
    if name == "setgroups":
        return name, [rng.randrange(100) for _ in range(rng.randrange(4))]
    if name == "capset":
        return name, random_set(rng), random_set(rng), random_set(rng)
    option = rng.choice((PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_CAP_AMBIENT))
    if option == PR_SET_KEEPCAPS:
        return name, option, rng.choice((0, 1, 2)), 0
    if option == PR_CAPBSET_DROP:
        return name, option, rng.choice((*CAP_CHOICES, 63)), 0
    if option == PR_SET_SECUREBITS:
        return name, option, rng.choice((0, 0x10, 0x30, 0x04, 0x0C, 0x40, 0xC0, 0x15, 0x1000)), 0
    return name, option, rng.choice((2, 3)), rng.choice(CAP_CHOICES)


def model(cred: SimpleNamespace, call: Call) -> int:
    """The call by our rules, as syscalls/{identity,prctl}.py apply them: 0 or -errno."""
    name, *args = call
    try:
        if name == "setgroups":
            if not credentials.is_capable(cred, CAP_SETGID):
                raise EPERM("CAP_SETGID")
            changes = credentials.setgroups(cred, args[0])
        elif name == "prctl":
            option, first, second = args
            if option == PR_SET_KEEPCAPS:
                changes = credentials.set_keep_caps(cred, first)
            elif option == PR_CAPBSET_DROP:
                changes = credentials.drop_bounding(cred, first)
            elif option == PR_SET_SECUREBITS:
                changes = credentials.set_securebits(cred, first)
            else:
                rule = credentials.raise_ambient if first == 2 else credentials.lower_ambient
                changes = rule(cred, second)
        else:
            changes = getattr(credentials, name)(cred, *args)
    except LinuxError as error:
        return -error.errno
    for field, value in changes.items():
        setattr(cred, field, value)
    cred.ngroups = len(cred.groups)
    return 0


def real(libc: ctypes.CDLL, call: Call) -> int:
    """The call on this very process."""
    name, *args = call
    if name == "setgroups":
        args = [len(args[0]), (ctypes.c_uint32 * max(1, len(args[0])))(*args[0])]
    elif name == "capset":
        effective, permitted, inheritable = args
        words = [one >> shift & 0xFFFFFFFF for shift in (0, 32) for one in (effective, permitted, inheritable)]
        args = [(ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*words)]
    elif name == "prctl":
        args = [ctypes.c_long(value) for value in (*args, 0, 0)]
    else:
        args = [ctypes.c_uint32(value) for value in args]
    result: int = libc.syscall(ctypes.c_long(NR[name]), *args)
    if name in ("setfsuid", "setfsgid"):
        return 0
    return -ctypes.get_errno() if result < 0 else 0


def shown(cred: SimpleNamespace) -> dict[str, Any]:
    return {
        "Uid": [cred.uid, cred.euid, cred.suid, cred.fsuid],
        "Gid": [cred.gid, cred.egid, cred.sgid, cred.fsgid],
        "Groups": list(cred.groups),
        "CapInh": cred.cap_inheritable,
        "CapPrm": cred.cap_permitted,
        "CapEff": cred.cap_effective,
        "CapBnd": cred.cap_bounding,
        "CapAmb": cred.cap_ambient,
    }


def read_state() -> dict[str, Any]:
    fields = {}
    with open("/proc/thread-self/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("Uid", "Gid", "Groups"):
                fields[name] = [int(word) for word in value.split()]
            elif name.startswith("Cap"):
                fields[name] = int(value, 16)
    return fields


def run_for_real(calls: list[Call]) -> list[tuple[int, dict[str, Any]]]:
    """Each call's result and the state after it, in a child that ends with them."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            real(libc, ("setgroups", []))
            found = [(real(libc, call), read_state()) for call in calls]
            with os.fdopen(writer, "w") as out:
                json.dump(found, out)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as into:
        answer = json.load(into)
    os.waitpid(pid, 0)
    return [(result, fields) for result, fields in answer]


@pytest.mark.skipif(os.geteuid() != 0, reason="changing ids needs root")
@pytest.mark.parametrize("seed", range(40))
def test_as_linux_does(seed: int) -> None:
    fields = read_state()
    cred = state()
    cred.cap_effective, cred.cap_permitted = fields["CapEff"], fields["CapPrm"]
    cred.cap_bounding, cred.cap_inheritable = fields["CapBnd"], fields["CapInh"]
    if cred.cap_permitted != cred.cap_bounding or any(fields["Uid"] + fields["Gid"]):
        pytest.skip("not an ordinary root")
    rng = random.Random(seed)
    calls = [random_call(rng) for _ in range(12)]
    for number, (call, (result, fields)) in enumerate(zip(calls, run_for_real(calls), strict=True)):
        assert (model(cred, call), shown(cred)) == (result, fields), f"call {number} of {calls}"


def test_ids_of_minus_one() -> None:
    for rule in (credentials.setuid, credentials.setgid):
        with pytest.raises(EINVAL):
            rule(state(), UNCHANGED)


def test_exec_gives_root_its_capabilities_back() -> None:
    cred = state()
    model(cred, ("setresuid", 1000, 1000, 0))
    assert not cred.cap_effective
    changes = credentials.at_exec(cred, 0, 0)
    assert changes["cap_effective"] == changes["cap_permitted"] == CAP_FULL_SET
    changes = credentials.at_exec(cred, 1000, 0)
    assert not changes["cap_effective"]
    assert changes["suid"] == 1000


def test_exec_keeps_ambient_capabilities_of_others() -> None:
    cred = state()
    cred.uid = cred.euid = cred.suid = cred.fsuid = 1000
    cred.cap_permitted = cred.cap_inheritable = cred.cap_ambient = 1 << CAP_SETUID
    assert credentials.at_exec(cred, 1000, 0)["cap_effective"] == 1 << CAP_SETUID
    assert credentials.at_exec(cred, 1001, 0)["cap_effective"] == 0


def test_who_may_be_inspected() -> None:
    root, user, other = state(), state(), state()
    for cred, uid in ((user, 1000), (other, 1001)):
        model(cred, ("setresgid", uid, uid, uid))
        model(cred, ("setresuid", uid, uid, uid))
    assert credentials.may_inspect(root, user)
    assert credentials.may_inspect(user, user)
    assert not credentials.may_inspect(user, other)
    assert not credentials.may_inspect(user, root)

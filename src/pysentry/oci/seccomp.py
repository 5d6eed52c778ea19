"""`linux.seccomp` compiled to a BPF program that the host kernel applies to the workload's calls, on top of our filter.

Owns the translation, as runc makes it with libseccomp. Filters only ever restrict: what the container's filter allows
still goes where ours sends it, and what it denies is denied before the sentry sees it. Does not own its installation.

Only the native architecture is compiled: ours kills calls of any other. TRACE answers ENOSYS, which the kernel does
where nobody traces for the filter's sake (our tracer does not). NOTIFY has nobody to ask and is refused.
"""

from __future__ import annotations

import errno
import os
import struct

from pysentry.abi.syscall_nr import NR_CLOSE, NR_DUP3, NR_EXECVEAT, NR_RECVMSG
from pysentry.oci.errors import OciError, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from pysentry.oci.spec_linux import Seccomp, SyscallArg, SyscallRule

MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS

# linux/seccomp.h
_RET_KILL_PROCESS = 0x8000_0000
_RET_KILL_THREAD = 0x0000_0000
_RET_TRAP = 0x0003_0000
_RET_ERRNO = 0x0005_0000
_RET_LOG = 0x7FFC_0000
_RET_ALLOW = 0x7FFF_0000

_ACTIONS = {
    "SCMP_ACT_ALLOW": _RET_ALLOW,
    "SCMP_ACT_ERRNO": _RET_ERRNO,
    "SCMP_ACT_KILL": _RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": _RET_KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": _RET_KILL_THREAD,
    "SCMP_ACT_LOG": _RET_LOG,
    "SCMP_ACT_TRACE": _RET_ERRNO | errno.ENOSYS,
    "SCMP_ACT_TRAP": _RET_TRAP,
}
SUPPORTED_ACTIONS = tuple(_ACTIONS)
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_LENIENT = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")

_AT_EMPTY_PATH = 0x1000
_X32_BIT = 0x4000_0000
_AUDIT_ARCH_X86_64 = 0xC000_003E
_BINARY_TREE = 2  # SCMP_FLTATR_CTL_OPTIMIZE
_TREE_FROM = 32  # rules; libseccomp below 2.5.5 makes a wrong tree of none

# Classic BPF, linux/bpf_common.h, and struct seccomp_data.
_LOAD, _JUMP, _IF_EQUAL, _IF_ABOVE, _IF_BITS, _RETURN = 0x20, 0x05, 0x15, 0x25, 0x45, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16

_SONAMES = {"c": "libc.so.6", "seccomp": "libseccomp.so.2"}

_Code = list[tuple[int, int, int, int]]


class SeccompError(OciError):
    """The filter cannot be compiled here."""


def compile_seccomp(seccomp: Seccomp) -> bytes:
    """The program as an array of struct sock_filter, for SECCOMP_SET_MODE_FILTER.

    Raises:
        SpecError: an action that cannot be had, an errno where there can be none, or too many rules.
        SeccompError: libseccomp is missing.
    """
    default = _action(seccomp.default_action, seccomp.default_errno_ret, f"{seccomp.path}.default")
    library = _library()
    native = library.Arch.NATIVE
    try:
        compiled = library.SyscallFilter(default)
        if sum(len(rule.names) for rule in seccomp.syscalls) > _TREE_FROM:
            compiled.set_attr(library.Attr.CTL_OPTIMIZE, _BINARY_TREE)
        last = -1
        for rule in seccomp.syscalls:
            action = _action(rule.action, rule.errno_ret, f"{rule.path}.")
            for name in rule.names:
                try:
                    number = int(library.resolve_syscall(native, name))
                except (OSError, ValueError):
                    continue  # of another architecture, or newer than libseccomp: as runc
                last = max(last, number)
                if number >= 0 and action != default:
                    _add_rule(compiled, library, action, number, rule)
        body = _export(compiled)
    except OSError as error:
        raise SpecError(seccomp.path, f"libseccomp cannot compile it: {os.strerror(error.errno or 0)}") from None
    head = _own_calls()
    if last >= 0 and seccomp.default_action not in _LENIENT:
        head += _newer_than(last)
    program = _pack(head) + body
    if len(program) // 8 > MOST_INSTRUCTIONS:
        raise SpecError(seccomp.path, f"too many rules: {len(program) // 8} instructions, {MOST_INSTRUCTIONS} fit")
    return program


def _library() -> ModuleType:
    """pyseccomp, without 60 ms that its import would cost each `create`: it asks ctypes.util.find_library() for the
    names of two libraries, which imports shutil and subprocess, and runs ldconfig. The names are known."""
    import ctypes
    import sys
    from types import ModuleType

    stand_in = ModuleType("ctypes.util")
    stand_in.__dict__["find_library"] = _SONAMES.__getitem__
    before = sys.modules.get("ctypes.util")
    ctypes.__dict__["util"] = sys.modules["ctypes.util"] = stand_in
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:  # the last: there is no such library
        raise SeccompError(f"linux.seccomp needs pyseccomp and libseccomp (Debian: libseccomp2): {error}") from None
    finally:
        del sys.modules["ctypes.util"], ctypes.__dict__["util"]
        if before is not None:
            ctypes.__dict__["util"] = sys.modules["ctypes.util"] = before
    module: ModuleType = pyseccomp
    return module


def _action(name: str, errno_ret: int | None, where: str) -> int:
    field = "action" if where.endswith(".") else "Action"
    if name == "SCMP_ACT_NOTIFY":
        raise SpecError(where + field, "SCMP_ACT_NOTIFY is not supported")
    if errno_ret is not None and name not in _WITH_ERRNO:
        raise SpecError(where + ("errnoRet" if field == "action" else "ErrnoRet"), f"{name} takes no errno")
    if name == "SCMP_ACT_ERRNO":
        return _RET_ERRNO | ((errno.EPERM if errno_ret is None else errno_ret) & 0xFFFF)
    return _ACTIONS[name]


def _add_rule(compiled: object, library: ModuleType, action: int, number: int, rule: SyscallRule) -> None:
    """Conditions of one rule hold together, unless two look at the same argument: libseccomp takes one of each, and
    runc makes a rule of each condition then."""
    conditions = [_condition(library, arg) for arg in rule.args]
    add = compiled.add_rule  # type: ignore[attr-defined]
    if len({arg.index for arg in rule.args}) < len(rule.args):
        for condition in conditions:
            add(action, number, condition)
    else:
        add(action, number, *conditions)


def _condition(library: ModuleType, arg: SyscallArg) -> object:
    """For MASKED_EQ the document's value is the mask and valueTwo what must come out, as libseccomp has them."""
    operator = getattr(library, arg.op.removeprefix("SCMP_CMP_"))
    return library.Arg(arg.index, operator, arg.value, arg.value_two)


def _export(compiled: object) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    with open(fd, "w+b", buffering=0) as file:
        compiled.export_bpf(file)  # type: ignore[attr-defined]
        return os.pread(fd, os.fstat(fd).st_size, 0)


def _own_calls() -> _Code:
    """Allows what we have the task do in the program's place: execveat of the stub, the stub's call to the sentry, and
    the three by which the ptrace platform hands over a descriptor. The program's own call was judged before. If the
    program makes such a call by itself, it goes to the sentry like all others: this filter is passed, ours is not.
    """
    from pysentry.platform.native import lib  # `features` asks for our actions only

    magic = lib.STUB_MAGIC

    def is_magic(index: int) -> _Code:
        return [
            (_LOAD, 0, 0, _ARGS + 8 * index),
            (_IF_EQUAL, 0, 3, magic & 0xFFFF_FFFF),
            (_LOAD, 0, 0, _ARGS + 8 * index + 4),
            (_IF_EQUAL, 0, 1, magic >> 32),
            (_RETURN, 0, 0, _RET_ALLOW),
        ]

    is_stub: _Code = [
        (_LOAD, 0, 0, _ARGS),
        (_IF_EQUAL, 0, 3, lib.STUB_FD),
        (_LOAD, 0, 0, _ARGS + 8 * 4),
        (_IF_EQUAL, 0, 1, _AT_EMPTY_PATH),
        (_RETURN, 0, 0, _RET_ALLOW),
    ]
    checks: _Code = []
    for number, check in (
        (NR_EXECVEAT, is_stub),
        (lib.STUB_CALL, is_magic(2)),
        (NR_DUP3, is_magic(5)),
        (NR_RECVMSG, is_magic(5)),
        (NR_CLOSE, is_magic(5)),
    ):
        checks += [(_LOAD, 0, 0, _NR), (_IF_EQUAL, 0, len(check), number), *check]
    return [(_LOAD, 0, 0, _ARCH), (_IF_EQUAL, 0, len(checks), _AUDIT_ARCH_X86_64), *checks]


def _newer_than(last: int) -> _Code:
    """ENOSYS for numbers above all that the profile names, so that libc falls back to an older call: EPERM would be
    taken for an answer. runc does the same."""
    return [
        (_LOAD, 0, 0, _ARCH),
        (_IF_EQUAL, 0, 4, _AUDIT_ARCH_X86_64),
        (_LOAD, 0, 0, _NR),
        (_IF_BITS, 2, 0, _X32_BIT),
        (_IF_ABOVE, 0, 1, last),
        (_RETURN, 0, 0, _RET_ERRNO | errno.ENOSYS),
    ]


def _pack(code: _Code) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
